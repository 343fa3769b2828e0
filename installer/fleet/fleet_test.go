package fleet_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/host/hosttest"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
)

const threeHosts = `
site: st-marys
name: valt.st-marys.example
ssl: true
hosts:
  - { name: media1, address: 10.0.4.21, roles: [media], cameras: [10.0.9.11] }
  - { name: app1, address: 10.0.4.10, roles: [app] }
  - { name: media2, address: 10.0.4.22, roles: [media], cameras: [10.0.9.12] }
clients: [10.0.0.0/16]
`

// options are those of a run over hosts of this process; those that away names cannot be
// reached.
func options(t *testing.T, away ...string) fleet.Options {
	t.Helper()
	s, err := site.Parse("site.yaml", []byte(threeHosts), "/home/valt")
	if err != nil {
		t.Fatal(err)
	}
	hosts := map[string]*hosttest.Host{}
	for _, h := range s.Hosts {
		hosts[h.Name] = hosttest.New(t, time.Now)
	}
	dial := func(ctx context.Context, h site.Host, _ func(done, total int64)) (io.ReadWriteCloser, error) {
		if slices.Contains(away, h.Name) {
			return nil, errors.New("connecting to " + h.Name + ": no route to host")
		}
		return hosts[h.Name].Connect(ctx)
	}
	return fleet.Options{Site: s, Dial: dial, Run: "run-1", Who: "pat@laptop", Now: time.Now, Observer: event.Silent{}}
}

func TestHostsAreChosenInTheSitesOrder(t *testing.T) {
	o := options(t)
	o.Hosts = []string{"media2", "media1"}
	hosts, err := o.Chosen()
	if err != nil || len(hosts) != 2 || hosts[0].Name != "media1" || hosts[1].Name != "media2" {
		t.Errorf("%v, %v", hosts, err)
	}
	o.Hosts = []string{"media9"}
	if _, err := o.Chosen(); problem.KindOf(err) != problem.Input || !strings.Contains(err.Error(), "media9") {
		t.Errorf("a host that the site does not have: %v", err)
	}
}

// One host that is away keeps nobody from having the others.
func TestAHostThatCannotBeReachedIsNamedAndTheOthersAreThere(t *testing.T) {
	o := options(t, "app1")
	f := fleet.New(o, o.Site.Hosts)
	defer f.Close()
	if err := f.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "app1") || strings.Contains(err.Error(), "media") {
		t.Errorf("connecting: %v", err)
	}
	for _, h := range f.Hosts {
		if h.Connected() != (h.Name != "app1") {
			t.Errorf("%s is connected: %v", h.Name, h.Connected())
		}
	}
	app, err := f.Host("app1")
	if err != nil {
		t.Fatal(err)
	}
	err = app.Refresh(t.Context())
	if !errors.Is(err, fleet.ErrNotConnected) || !strings.HasPrefix(err.Error(), "host app1: ") {
		t.Errorf("asking it: %v", err)
	}
	if bare := fleet.Bare(err); bare != fleet.ErrNotConnected {
		t.Errorf("without its name: %v", bare)
	}
	if f.Facts("media1").OS.Codename != "noble" || f.Facts("media9").OS.Codename != "" {
		t.Error("facts are not those of the host that was asked for")
	}
}

// A host's own problem keeps its kind and its fix behind the host's name.
func TestAnErrorSaysWhichHostItIsOfAndStaysWhatItIs(t *testing.T) {
	o := options(t)
	err := fleet.With(t.Context(), o, o.Site.Hosts[1], func(h *fleet.Host) error {
		_, err := h.AskLease(t.Context(), agent.LeaseRequest{Action: agent.LeaseRenew, Run: "run-1", Token: 7, Seconds: 60})
		return err
	})
	all := problem.All(err)
	if len(all) != 1 || all[0].Kind != problem.Locked || !strings.HasPrefix(all[0].Error(), "host app1: asking for the site's lease: ") {
		t.Errorf("got %v", err)
	}
}

func TestTheApplicationsHostKeepsTheLease(t *testing.T) {
	o := options(t)
	if h := fleet.LeaseHost(o.Site); h.Name != "app1" {
		t.Errorf("it is %s", h.Name)
	}
	o.Site.Hosts = slices.DeleteFunc(o.Site.Hosts, func(h site.Host) bool { return h.Name == "app1" })
	if h := fleet.LeaseHost(o.Site); h.Name != "media1" {
		t.Errorf("without one it is %s", h.Name)
	}
}

func TestErrorsOfAllComeInTheirOrder(t *testing.T) {
	err := fleet.Each([]string{"a", "b", "c"}, func(s string) error {
		if s == "b" {
			return nil
		}
		return errors.New(s)
	})
	if err == nil || err.Error() != "a\nc" {
		t.Errorf("%v", err)
	}
}

func TestNoMoreThanSoManyAtATimeAndNoneOnceItIsOver(t *testing.T) {
	var busy, most, begun atomic.Int32
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	err := fleet.EachOf(ctx, 2, make([]struct{}, 20), func(struct{}) error {
		n := busy.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		if begun.Add(1) == 6 {
			cancel(stopped)
		}
		busy.Add(-1)
		return nil
	})
	if most.Load() > 2 {
		t.Errorf("%d at a time", most.Load())
	}
	// One more may have had its turn when it was stopped.
	if n := begun.Load(); !errors.Is(err, stopped) || n > 7 {
		t.Errorf("%d were begun, %v", n, err)
	}
}
