package check

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/probe"
)

// scripted is a machine whose network does what the test says.
type scripted struct {
	taken   map[uint16]string // ports where somebody listens
	answers func(s probe.Spec) probe.Outcome
	lost    error // ends Probe

	mu       sync.Mutex
	token    string
	asked    []probe.Spec
	event    func(probe.ListenEvent) error
	released bool
}

func (m *scripted) Listen(ctx context.Context, r probe.ListenRequest, event func(probe.ListenEvent) error) error {
	m.mu.Lock()
	m.token, m.event = r.Token, event
	m.mu.Unlock()
	for _, port := range r.Ports {
		by := m.taken[port]
		if err := event(probe.ListenEvent{State: &probe.PortState{Port: port, Ours: by == "", By: by, Watched: true}}); err != nil {
			return err
		}
	}
	<-ctx.Done()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.released = true
	return ctx.Err()
}

func (m *scripted) Probe(_ context.Context, r probe.Request, outcome func(probe.Outcome) error) error {
	for _, s := range r.Specs {
		m.mu.Lock()
		m.asked = append(m.asked, s)
		m.mu.Unlock()
		o := m.answers(s)
		o.ID = s.ID
		if err := outcome(o); err != nil {
			return err
		}
	}
	return m.lost
}

func works(probe.Spec) probe.Outcome { return probe.Outcome{Verdict: probe.Works} }

// practice is the site of three hosts with each of them scripted.
func practice(t *testing.T) (Prober, map[string]*scripted, []network.Flow) {
	s := siteOf(t, threeHosts)
	hosts := map[string]*scripted{"app1": {answers: works}, "media1": {answers: works}, "media2": {answers: works}}
	p := Prober{Site: s, Hosts: map[string]Machine{}}
	for name, h := range hosts {
		h.taken = map[uint16]string{22: "sshd (pid 1)"}
		p.Hosts[name] = h
	}
	return p, hosts, network.Flows(s)
}

// listenAll has every host listen.
func listenAll(t *testing.T, p Prober, hosts map[string]*scripted, flows []network.Flow) *Listening {
	on := NewListening()
	for host, ports := range p.Ports(flows) {
		on.Start(t.Context(), host, hosts[host], ports)
	}
	return on
}

func TestFarEndListensWhereNothingDoesAndIsReleased(t *testing.T) {
	p, hosts, flows := practice(t)
	on := listenAll(t, p, hosts, flows)
	results, err := p.Try(t.Context(), flows, on)
	if err != nil {
		t.Fatal(err)
	}
	if listened := on.Where(); len(results) != len(flows) || !slices.Contains(listened, "media1: 444, 8000, 8086, 8087") || len(listened) != 3 {
		t.Errorf("%d results, listened at %q", len(results), listened)
	}
	for name, h := range hosts {
		if !h.released {
			t.Errorf("%s still listens", name)
		}
	}
	for _, q := range hosts["app1"].asked {
		switch {
		case q.Port == 22 && q.Ask != probe.AskSSH:
			t.Errorf("where sshd listens app1 asked %+v", q)
		case q.Port == 8087 && (q.Ask != probe.AskOurs || q.Token != hosts["media1"].token || q.Token == ""):
			t.Errorf("where we listen app1 asked %+v", q)
		}
	}
}

func TestNothingListensWhereThatIsNotWanted(t *testing.T) {
	p, hosts, flows := practice(t)
	p.NoListen = true
	if _, err := p.Try(t.Context(), flows, nil); err != nil || hosts["media1"].token != "" {
		t.Errorf("listened with %q, %v", hosts["media1"].token, err)
	}
}

func TestDroppedAtTheFarEndIsToldFromDroppedOnTheWay(t *testing.T) {
	p, hosts, flows := practice(t)
	media := hosts["media1"]
	hosts["app1"].answers = func(s probe.Spec) probe.Outcome {
		switch s.Port {
		case 8086: // it arrives
			if err := media.event(probe.ListenEvent{Arrival: &probe.Arrival{From: "10.0.4.10:40086", Port: 8086}}); err != nil {
				t.Error(err)
			}
			return probe.Outcome{Verdict: probe.Filtered, Local: "10.0.4.10:40086"}
		case 8087:
			return probe.Outcome{Verdict: probe.Filtered, Local: "10.0.4.10:40087"}
		}
		return works(s)
	}
	results, err := p.Try(t.Context(), flows, listenAll(t, p, hosts, flows))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]probe.Place{"app-to-media.control/app1/media1": probe.AtDestination, "app-to-media.rest/app1/media1": probe.OnTheWay}
	for _, r := range results {
		if place, ok := want[r.ID]; ok && (r.Lost != place || r.Status != Fail || r.Cause == "") {
			t.Errorf("%s is lost at %q: %s", r.ID, r.Lost, r.Cause)
		}
	}
}

func TestHostLostInTheMiddleIsUnknownAndNotTheOthersProblem(t *testing.T) {
	p, hosts, flows := practice(t)
	media := hosts["media2"]
	media.lost = errors.New("the link is gone")
	media.answers = func(probe.Spec) probe.Outcome { return probe.Outcome{} }
	results, err := p.Try(t.Context(), flows, listenAll(t, p, hosts, flows))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range results {
		switch {
		case r.Host == "media2" && (r.Status != Unknown || !strings.Contains(r.Cause, "the link is gone")):
			t.Errorf("%s: %s, %s", r.ID, r.Status, r.Cause)
		case r.Host == "media1" && r.Status != Pass:
			t.Errorf("%s: %s, %s", r.ID, r.Status, r.Cause)
		}
	}
	for _, h := range hosts {
		h.lost = errors.New("the link is gone")
	}
	if _, err := p.Try(t.Context(), flows, nil); err == nil {
		t.Error("nothing could be tried, and that is no error")
	}
}

func TestCheckEndsWithItsContext(t *testing.T) {
	p, _, flows := practice(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Try(ctx, flows, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
