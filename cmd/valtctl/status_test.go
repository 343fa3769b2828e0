package main

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/keyuse"
	"ipivs.com/valtctl/installer/status"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/release"
	"ipivs.com/valtctl/updater"
)

// beginning is the first line of a status.
func beginning(t *testing.T, st *updater.SiteStatus) string {
	t.Helper()
	first, _, _ := strings.Cut(printedBy(t, func(w io.Writer) error { return writeStatus(w, statusOf(st)) }), "\n")
	return first
}

// Each of these is alone what a person must know first.
func TestTheFirstLineOfAStatus(t *testing.T) {
	hosts := func(edit func(h *status.Host)) []status.Host {
		h := status.Host{Host: "media1", Facts: facts.Facts{Installed: &facts.Installed{Release: "6.4.1"},
			Engine: &facts.EngineFacts{Containers: []facts.Container{{Name: "valt-engine", State: "running", Health: "healthy"}}}}}
		edit(&h)
		return []status.Host{h}
	}
	in := func(state txn.State) func(h *status.Host) {
		return func(h *status.Host) { h.Transactions = []txn.Summary{{ID: "t1", State: state}} }
	}
	well := func(*status.Host) {}
	end := time.Date(2026, 12, 24, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name string
		st   updater.SiteStatus
		want string
	}{
		{"well", updater.SiteStatus{Hosts: hosts(well)}, "nothing to do"},
		{"quarantined", updater.SiteStatus{Hosts: hosts(in("quarantined"))}, "next: media1: transaction t1 is quarantined; valtctl repair --host media1"},
		{"unconfirmed", updater.SiteStatus{Hosts: hosts(in("unconfirmed"))},
			"next: media1: transaction t1 is unconfirmed; valtctl resume confirms it if it serves, valtctl abort takes it back; without either it goes back by itself"},
		{"a rollout is not over", updater.SiteStatus{Site: "st-marys", Hosts: hosts(well), Lease: &status.Lease{}, Intent: &updater.Intent{Kind: updater.KindUpdate, To: "6.4.2", Who: "kim@desk"}},
			"next: st-marys: a rollout is unfinished, and nobody is at work on it: the update to 6.4.2 that kim@desk began; valtctl resume goes on with it, valtctl abort ends it"},
		{"a reboot is pending", updater.SiteStatus{Hosts: hosts(func(h *status.Host) { h.Facts.RebootRequired = true })},
			"next: media1: a package asked for a reboot; reboot it in a maintenance window"},
		{"left drained", updater.SiteStatus{Hosts: hosts(func(h *status.Host) { h.Facts.GateClosed = true })},
			"next: media1: it takes no new sessions: its gate is closed; valtctl undrain media1"},
		{"metadata ends soon", updater.SiteStatus{Site: "st-marys", Hosts: hosts(well), Expiring: []release.Expiry{{Role: "releases", Expires: end}, {Role: "root", Expires: end}}},
			"next: st-marys: the release repository's releases metadata expires on 2026-12-24 00:00 UTC; from then on no new release can be installed until the vendor signs it again; " +
				"valtctl check expiry asks the repository anew; where it says the same, ask the vendor to sign it again"},
		{"somebody is at it", updater.SiteStatus{Hosts: hosts(well), Lease: &status.Lease{Who: "kim@desk", Run: "r1"}},
			"next: wait for kim@desk, who changes the site; if that run never ends: valtctl lock break --reason WHY"},
		{"somebody is at it, and looks after what is unfinished", updater.SiteStatus{Lease: &status.Lease{Who: "kim@desk", Run: "r1"}, Intent: &updater.Intent{},
			Hosts: hosts(func(h *status.Host) { in("unconfirmed")(h); h.Attended = true })},
			"next: wait for kim@desk, who changes the site; if that run never ends: valtctl lock break --reason WHY"},
	} {
		if got := beginning(t, &c.st); got != c.want {
			t.Errorf("%s:\n  %s\n  wanted\n  %s", c.name, got, c.want)
		}
	}
}

// Which key did what, and when, is told of each host, the newest first.
func TestStatusTellsWhatWasDoneWithTheSchedulesKey(t *testing.T) {
	at := time.Date(2026, 11, 29, 8, 46, 0, 0, time.UTC)
	const who = "the schedule's key of app1"
	uses := []keyuse.Use{
		{First: at, Last: at.Add(time.Hour), Count: 3, Who: who, Call: keyuse.Update, Release: "6.6.0", Refused: keyuse.OutsideHours, Text: "no window is open"},
		{First: at, Last: at, Count: 1, Who: who, Call: keyuse.Update, Release: "6.5.0"},
	}
	for range 5 {
		uses = append(uses, keyuse.Use{First: at, Last: at, Count: 1, Who: who, Call: keyuse.Stage})
	}
	host := status.Host{Host: "media1", Facts: facts.Facts{Clock: facts.Clock{Now: at.Add(2 * time.Hour)}}, KeyUse: &keyuse.Record{Uses: uses}}
	st := statusOf(&updater.SiteStatus{Site: "st-marys", Hosts: []status.Host{host}})
	got := printedBy(t, func(w io.Writer) error { return writeStatus(w, st) })
	for _, want := range []string{
		"media1: 2026-11-29 09:46:00 UTC, the schedule's key of app1: an update to 6.6.0: refused: no window is open (3 times since 2026-11-29 08:46:00)\n",
		"media1: 2026-11-29 08:46:00 UTC, the schedule's key of app1: an update to 6.5.0: done\n",
		"media1: and 2 uses before with that key; all of it with: -o json\n",
		"next: media1: the schedule's key of app1 was refused 3 times, last at 2026-11-29 09:46:00 UTC: an update to 6.6.0: no window is open; if nobody",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("it does not say %q:\n%s", want, got)
		}
	}
	if len(st.Hosts[0].KeyUses) != len(uses) {
		t.Errorf("%d uses are in the JSON", len(st.Hosts[0].KeyUses))
	}
}

func TestStatusBeginsWithWhatAPersonMustDo(t *testing.T) {
	serving := func(release, before string) facts.Facts {
		return facts.Facts{OS: facts.OS{Pretty: "Ubuntu 24.04"}, Installed: &facts.Installed{Release: release, Previous: before, Roles: []string{"media"}},
			Engine: &facts.EngineFacts{Containers: []facts.Container{{Name: "valt-engine", State: "running", Health: "healthy"}}}}
	}
	closed := serving("6.4.1", "")
	closed.GateClosed = true
	reboot := serving("6.4.2", "6.4.1")
	reboot.RebootRequired, reboot.RebootPackages = true, []string{"libc6"}
	got := printedBy(t, func(w io.Writer) error {
		return writeStatus(w, statusOf(&updater.SiteStatus{Site: "st-marys", Lease: &status.Lease{Broken: "kim@desk of run r1, by pat@laptop: lost"},
			Intent: &updater.Intent{Kind: updater.KindUpdate, From: "6.4.1", To: "6.4.2", Who: "kim@desk", Done: map[string]updater.HostRecord{"media2": {}}},
			Hosts: []status.Host{
				{Host: "media1", Facts: closed, Transactions: []txn.Summary{{ID: "t1", State: "unconfirmed", Release: "6.4.2", Who: "kim@desk", ConfirmBy: time.Date(2026, 11, 22, 2, 10, 0, 0, time.UTC)}}},
				{Host: "media2", Facts: reboot},
				{Host: "media3", Err: errors.New("no route")},
			},
			Drift: []updater.HostDrift{{Host: "media2", Release: "6.4.2", Steps: 18, Differ: []string{"the engine's settings"}}},
		}))
	})
	want := `next: st-marys: a rollout is unfinished, and nobody is at work on it: the update to 6.4.2 that kim@desk began; valtctl resume goes on with it, valtctl abort ends it
next: media1: transaction t1 is unconfirmed; valtctl resume confirms it if it serves, valtctl abort takes it back; without either it goes back by itself
next: media2: libc6 asked for a reboot; reboot it in a maintenance window
next: no route
next: media2: 1 of 18 steps would change something: the engine's settings; look with: valtctl update --dry-run; apply with: valtctl update

the lease was broken: kim@desk of run r1, by pat@laptop: lost
update 6.4.1 → 6.4.2, begun by kim@desk: 1 of 3 hosts done

HOST    RELEASE  BEFORE  ROLES  CONTAINERS    SESSIONS  SYSTEM
media1  6.4.1    -       media  1 of 1 serve  kept out  Ubuntu 24.04
media2  6.4.2    6.4.1   media  1 of 1 serve  let in    Ubuntu 24.04
media3  not reached
media1: switched to 6.4.2, and kim@desk has not confirmed it; it goes back at 2026-11-22 02:10:00 UTC
media2: a reboot is pending (libc6)
media2: drift: 1 of 18 steps would change something
  the engine's settings
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
