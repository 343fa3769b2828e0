package status_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/keyuse"
	"ipivs.com/valtctl/installer/status"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
)

func TestNeedsSayWhatAPersonMustDo(t *testing.T) {
	serving := func() status.Host {
		return status.Host{Host: "app1", Facts: facts.Facts{Installed: &facts.Installed{Release: "6.4.2"},
			Engine: &facts.EngineFacts{Containers: []facts.Container{{Name: "valt-web", State: "running", Health: "healthy"}}}}}
	}
	for name, c := range map[string]struct {
		edit func(*status.Host)
		want string // "cause | fix"; empty: nothing to do
	}{
		"it serves": {func(*status.Host) {}, ""},
		"not reached": {func(h *status.Host) {
			h.Err = &problem.Error{Err: errors.New("no route"), Fix: "look at the cable"}
		}, "no route | look at the cable"},
		"bare":      {func(h *status.Host) { h.Facts = facts.Facts{} }, "VALT is not installed | valtctl install"},
		"no engine": {func(h *status.Host) { h.Facts.Engine = nil }, "the Docker engine does not answer | look at it with: systemctl status docker"},
		"stopped":   {func(h *status.Host) { h.Facts.Engine.Containers[0].State = "exited" }, "container valt-web is exited | valtctl logs --host app1; then valtctl install"},
		"unhealthy": {func(h *status.Host) { h.Facts.Engine.Containers[0].Health = "unhealthy" }, "container valt-web is unhealthy | valtctl logs --host app1; then valtctl install"},
		"reboot":    {func(h *status.Host) { h.Facts.RebootRequired = true }, "a package asked for a reboot | reboot it in a maintenance window"},
		"running":   {func(h *status.Host) { h.Transactions = []txn.Summary{{ID: "t1", State: "running"}} }, "transaction t1 is running | it goes on by itself; follow it with: valtctl resume"},
		"waiting":   {func(h *status.Host) { h.Transactions = []txn.Summary{{ID: "t1", State: "waiting"}} }, "transaction t1 is waiting | valtctl resume"},
		"damaged":   {func(h *status.Host) { h.Transactions = []txn.Summary{{ID: "t1", State: "damaged"}} }, "transaction t1 is damaged | keep its folder below /var/lib/valtctl/txn as evidence, then: valtctl install"},
		"done":      {func(h *status.Host) { h.Transactions = []txn.Summary{{ID: "t1", State: "done"}} }, ""},
		"reboot, and for whom": {func(h *status.Host) {
			h.Facts.RebootRequired, h.Facts.RebootPackages = true, []string{"libc6", "linux-image"}
		}, "libc6, linux-image asked for a reboot | reboot it in a maintenance window"},
		"gate left closed": {func(h *status.Host) { h.Facts.GateClosed = true }, "it takes no new sessions: its gate is closed | valtctl undrain app1"},
		"a drain that nobody follows": {func(h *status.Host) {
			h.Facts.GateClosed, h.Transactions = true, []txn.Summary{{ID: "t1", Who: "pat", State: "running", Stage: true, Yields: true}}
		}, "what pat began at its gate is running and nobody follows it (transaction t1): its gate is closed | valtctl undrain app1 opens it, valtctl resume follows it"},
		"a drain that was cut off": {func(h *status.Host) {
			h.Facts.GateClosed, h.Transactions = true, []txn.Summary{{ID: "t1", Who: "pat", State: "interrupted", Stage: true, Yields: true}}
		}, "what pat began at its gate is interrupted and nobody follows it (transaction t1): its gate is closed | valtctl undrain app1 opens it, valtctl drain app1 drains it to its end"},
		"a drain that was cut off at once": {func(h *status.Host) {
			h.Transactions = []txn.Summary{{ID: "t1", Who: "pat", State: "interrupted", Stage: true, Yields: true}}
		}, "what pat began at its gate is interrupted and nobody follows it (transaction t1): its gate is open still | valtctl undrain app1 opens it, valtctl drain app1 drains it to its end"},
		"a drain that somebody follows": {func(h *status.Host) {
			h.Attended, h.Facts.GateClosed, h.Transactions = true, true, []txn.Summary{{ID: "t1", Who: "pat", State: "running", Stage: true, Yields: true}}
		}, ""},
		"a drain that is over": {func(h *status.Host) {
			h.Facts.GateClosed, h.Transactions = true, []txn.Summary{{ID: "t1", Who: "pat", State: "done", Stage: true, Yields: true}}
		}, "it takes no new sessions: its gate is closed | valtctl undrain app1"},
		"unconfirmed": {func(h *status.Host) {
			h.Facts.GateClosed, h.Transactions = true, []txn.Summary{{ID: "t1", State: "unconfirmed"}}
		}, "transaction t1 is unconfirmed | valtctl resume confirms it if it serves, valtctl abort takes it back; without either it goes back by itself"},
		"unconfirmed, and a run looks after it": {func(h *status.Host) {
			h.Attended, h.Facts.GateClosed, h.Transactions = true, true, []txn.Summary{{ID: "t1", State: "unconfirmed"}}
		}, ""},
		"quarantined": {func(h *status.Host) {
			h.Facts.GateClosed, h.Facts.Engine.Containers[0].State = true, "exited"
			h.Transactions = []txn.Summary{{ID: "t2", State: "quarantined"}, {ID: "t1", State: "done"}}
		}, "transaction t2 is quarantined | valtctl repair --host app1"},
		"repaired since": {func(h *status.Host) {
			h.Transactions = []txn.Summary{{ID: "t2", State: "done"}, {ID: "t1", State: "quarantined"}}
		}, ""},
		"only fetched since": {func(h *status.Host) {
			h.Transactions = []txn.Summary{{ID: "t2", State: "done", Stage: true}, {ID: "t1", State: "quarantined"}}
		}, "transaction t1 is quarantined | valtctl repair --host app1"},
		"its key was tried at noon": {func(h *status.Host) {
			h.Facts.Clock.Now = time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
			at := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
			h.KeyUse = &keyuse.Record{Uses: []keyuse.Use{
				{First: at, Last: at, Count: 4, Who: "the schedule's key of app1", Call: keyuse.Update, Release: "6.6.0", Refused: keyuse.OutsideHours, Text: "no window is open"},
				{First: at, Last: at, Count: 1, Who: "the schedule's key of app1", Call: keyuse.Confirm, Refused: keyuse.Ill, Text: "502"}}}
		}, "the schedule's key of app1 was refused 4 times, last at 2026-11-29 12:00:00 UTC: an update to 6.6.0: no window is open | if nobody of yours tried that, the key is stolen: valtctl schedule disable"},
		"its key was tried long ago": {func(h *status.Host) {
			h.Facts.Clock.Now = time.Date(2026, 12, 30, 0, 0, 0, 0, time.UTC)
			h.KeyUse = &keyuse.Record{Uses: []keyuse.Use{{Last: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC), Refused: keyuse.OutsideHours}}}
		}, ""},
		"its key's record is damaged": {func(h *status.Host) { h.KeyUse = &keyuse.Record{Trouble: "it is torn"} },
			"it is torn | look at the disk; what was tried with the schedule's key is not known"},
		"interrupted": {func(h *status.Host) { h.Transactions = []txn.Summary{{ID: "t1", State: "interrupted"}} }, "transaction t1 is interrupted | valtctl resume"},
	} {
		t.Run(name, func(t *testing.T) {
			h := serving()
			c.edit(&h)
			var got []string
			for _, p := range h.Needs() {
				got = append(got, p.Err.Error()+" | "+p.Fix)
			}
			if strings.Join(got, "\n") != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
