package updater_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater"
)

// leasedBy has the application's host say that a run holds the lease until an uptime.
func (p *practice) leasedBy(run string, until time.Duration, intent updater.Intent) {
	p.t.Helper()
	app := p.hosts["app1"]
	boot, err := facts.BootID(app.Root)
	if err != nil {
		p.t.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"who": "kim@desk", "run": run, "token": 50, "boot_id": boot, "until_ns": until, "rollout": intent})
	if err != nil {
		p.t.Fatal(err)
	}
	app.Write("/var/lib/valtctl/lease.json", string(text))
}

// uptime sets the boot clock of the application's host, atomically as the kernel does.
func (p *practice) uptime(seconds int) { p.uptimeOf("app1", seconds) }

func (p *practice) uptimeOf(host string, seconds int) {
	p.t.Helper()
	on := p.hosts[host]
	on.Write("/proc/uptime.next", fmt.Sprintf("%d.00 1.00\n", seconds))
	if err := os.Rename(filepath.Join(on.Root, "/proc/uptime.next"), filepath.Join(on.Root, "/proc/uptime")); err != nil {
		p.t.Fatal(err)
	}
}

// unfinishedRollout leaves a rollout behind whose controller seems to hold the lease.
func unfinishedRollout(t *testing.T) (*practice, updater.Intent) {
	t.Helper()
	p := newPractice(t)
	p.lost("media1", switching(), "waits to be confirmed")
	intent := p.status().Intent
	if intent == nil {
		t.Fatal("no rollout is left")
	}
	p.leasedBy("lost", 130*time.Second, *intent)
	return p, *intent
}

func TestResumeOutlivesTheLeaseOfAKilledController(t *testing.T) {
	t.Parallel()
	p, _ := unfinishedRollout(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var waited, went atomic.Bool
	p.seen = func(e event.Event) {
		switch {
		case strings.Contains(e.Text, "waiting for the lease of kim@desk"):
			waited.Store(true)
			p.uptime(131)
		case waited.Load() && e.Host == "media1" && !went.Swap(true):
			cancel() // it goes on with the host, which is all that this is about
		}
	}
	_, err := updater.Resume(ctx, p.options("mine"))
	if !waited.Load() || !went.Load() || problem.KindOf(err) == problem.Locked {
		t.Fatalf("waited: %t, went on: %t; %v", waited.Load(), went.Load(), err)
	}
	if token := p.status().Lease.Token; token != 51 {
		t.Errorf("the token is %d after 50", token)
	}
	p.ended()
}

func TestResumeLeavesAControllerThatLivesAlone(t *testing.T) {
	t.Parallel()
	p, intent := unfinishedRollout(t)
	var heard atomic.Bool
	p.seen = func(e event.Event) {
		if strings.Contains(e.Text, "waiting for the lease of kim@desk") && !heard.Swap(true) {
			p.leasedBy("lost", 160*time.Second, intent) // it renews
		}
	}
	_, err := updater.Resume(t.Context(), p.options("mine"))
	if !heard.Load() || problem.KindOf(err) != problem.Locked || !strings.Contains(err.Error(), "kim@desk holds it") {
		t.Fatalf("heard: %t; %v", heard.Load(), err)
	}
	if s := p.now("media1").State; s != txn.StateUnconfirmed {
		t.Errorf("the other's host was changed: %s", s)
	}
	p.uptime(161)
	p.ended()
}

// ended ends the rollout, for which the host's transaction would wait.
func (p *practice) ended() {
	p.t.Helper()
	if _, err := updater.Abort(p.t.Context(), p.options("end"), nil); err != nil {
		p.t.Error(err)
	}
}
