package installer_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
)

func TestNeedsSayWhatAPersonMustDo(t *testing.T) {
	serving := func() installer.HostFacts {
		return installer.HostFacts{Host: "app1", Facts: facts.Facts{Installed: &facts.Installed{Release: "6.4.2"},
			Engine: &facts.EngineFacts{Containers: []facts.Container{{Name: "valt-web", State: "running", Health: "healthy"}}}}}
	}
	for name, c := range map[string]struct {
		edit func(*installer.HostFacts)
		want string // "cause | fix"; empty: nothing to do
	}{
		"it serves": {func(*installer.HostFacts) {}, ""},
		"not reached": {func(h *installer.HostFacts) {
			h.Err = &problem.Error{Err: errors.New("no route"), Fix: "look at the cable"}
		}, "no route | look at the cable"},
		"bare":      {func(h *installer.HostFacts) { h.Facts = facts.Facts{} }, "VALT is not installed | valtctl install"},
		"no engine": {func(h *installer.HostFacts) { h.Facts.Engine = nil }, "the Docker engine does not answer | look at it with: systemctl status docker"},
		"stopped":   {func(h *installer.HostFacts) { h.Facts.Engine.Containers[0].State = "exited" }, "container valt-web is exited | valtctl logs --host app1; then valtctl install"},
		"unhealthy": {func(h *installer.HostFacts) { h.Facts.Engine.Containers[0].Health = "unhealthy" }, "container valt-web is unhealthy | valtctl logs --host app1; then valtctl install"},
		"reboot":    {func(h *installer.HostFacts) { h.Facts.RebootRequired = true }, "a package asked for a reboot | reboot it in a maintenance window"},
		"running":   {func(h *installer.HostFacts) { h.Transactions = []txn.Summary{{ID: "t1", State: "running"}} }, "transaction t1 is running | it goes on by itself; follow it with: valtctl resume"},
		"waiting":   {func(h *installer.HostFacts) { h.Transactions = []txn.Summary{{ID: "t1", State: "waiting"}} }, "transaction t1 is waiting | valtctl resume"},
		"damaged":   {func(h *installer.HostFacts) { h.Transactions = []txn.Summary{{ID: "t1", State: "damaged"}} }, "transaction t1 is damaged | keep its folder below /var/lib/valtctl/txn as evidence, then: valtctl install"},
		"done":      {func(h *installer.HostFacts) { h.Transactions = []txn.Summary{{ID: "t1", State: "done"}} }, ""},
		"reboot, and for whom": {func(h *installer.HostFacts) {
			h.Facts.RebootRequired, h.Facts.RebootPackages = true, []string{"libc6", "linux-image"}
		}, "libc6, linux-image asked for a reboot | reboot it in a maintenance window"},
		"gate left closed": {func(h *installer.HostFacts) { h.Facts.GateClosed = true }, "it takes no new sessions: its gate is closed | valtctl undrain app1"},
		"unconfirmed": {func(h *installer.HostFacts) {
			h.Facts.GateClosed, h.Transactions = true, []txn.Summary{{ID: "t1", State: "unconfirmed"}}
		}, "transaction t1 is unconfirmed | valtctl resume confirms it if it serves, valtctl abort takes it back; without either it goes back by itself"},
		"unconfirmed, and a run looks after it": {func(h *installer.HostFacts) {
			h.Attended, h.Facts.GateClosed, h.Transactions = true, true, []txn.Summary{{ID: "t1", State: "unconfirmed"}}
		}, ""},
		"quarantined": {func(h *installer.HostFacts) {
			h.Facts.GateClosed, h.Facts.Engine.Containers[0].State = true, "exited"
			h.Transactions = []txn.Summary{{ID: "t2", State: "quarantined"}, {ID: "t1", State: "done"}}
		}, "transaction t2 is quarantined | valtctl repair --host app1"},
		"repaired since": {func(h *installer.HostFacts) {
			h.Transactions = []txn.Summary{{ID: "t2", State: "done"}, {ID: "t1", State: "quarantined"}}
		}, ""},
		"only fetched since": {func(h *installer.HostFacts) {
			h.Transactions = []txn.Summary{{ID: "t2", State: "done", Stage: true}, {ID: "t1", State: "quarantined"}}
		}, "transaction t1 is quarantined | valtctl repair --host app1"},
		"interrupted": {func(h *installer.HostFacts) { h.Transactions = []txn.Summary{{ID: "t1", State: "interrupted"}} }, "transaction t1 is interrupted | valtctl resume"},
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

func TestAHostThatIsAwayDoesNotHideTheOthers(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.install()
	p.down["media1"] = errNo
	all, err := installer.Gather(t.Context(), p.options(), false)
	if !errors.Is(err, errNo) || len(all) != 2 || all[0].Facts.Installed.Release != "6.4.2" || all[1].Err == nil {
		t.Errorf("%+v, %v", all, err)
	}
	past, err := installer.History(t.Context(), p.options())
	if !errors.Is(err, errNo) || len(past) != 1 || past[0].Host != "app1" || past[0].Who != "pat@laptop" {
		t.Errorf("%+v, %v", past, err)
	}
}

func TestHistoryHasEveryHostsTransactionsNewestFirst(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.hosts["media1"].Fails["licence"] = errNo
	if _, err := p.try(); err == nil {
		t.Fatal("it should fail")
	}
	delete(p.hosts["media1"].Fails, "licence")
	p.install()
	past, err := installer.History(t.Context(), p.options())
	if err != nil || len(past) != 3 {
		t.Fatalf("%d transactions, %v", len(past), err)
	}
	if past[0].Host != "media1" || past[0].State != "done" || past[0].Result.Changed == 0 {
		t.Errorf("the newest is %+v", past[0])
	}
	for i := 1; i < len(past); i++ {
		if past[i].Started.After(past[i-1].Started) {
			t.Errorf("%v comes after %v", past[i].Started, past[i-1].Started)
		}
	}
}

func TestLogsOfEveryHostGoWhereTheyBelong(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	var mu sync.Mutex
	logs := map[string]*bytes.Buffer{}
	err := installer.Logs(t.Context(), p.options(), agent.LogsRequest{Name: "web"}, func(host string) io.Writer {
		mu.Lock()
		defer mu.Unlock()
		logs[host] = &bytes.Buffer{}
		return logs[host]
	})
	if err != nil || len(logs) != 2 || logs["app1"].String() != "log of web\n" {
		t.Errorf("%v, %v", logs, err)
	}
}
