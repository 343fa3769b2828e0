package host

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/probe"
)

// overTheWire is a controller's end of a real session with the host's side.
func overTheWire(t *testing.T, s *Side) (client *agent.Client, served chan error) {
	t.Helper()
	here, there := net.Pipe()
	served = make(chan error, 1)
	go func() { served <- agent.Serve(context.WithoutCancel(t.Context()), there, s.Handlers()) }()
	client, err := agent.NewClient(t.Context(), here, "media1", nil)
	if err != nil {
		t.Fatal(err)
	}
	return client, served
}

// unused is a port where nothing listens.
func unused(t *testing.T) uint16 {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).AddrPort().Port()
}

func TestAFlowIsTriedBetweenTwoAgentsAndNothingStaysOpen(t *testing.T) {
	s := side(t)
	s.Now = time.Now
	listener, ended := overTheWire(t, s)
	asker, _ := overTheWire(t, s)
	defer asker.Close()

	port := unused(t)
	events := make(chan probe.ListenEvent, 100)
	listening := make(chan error, 1)
	go func() {
		listening <- listener.Listen(t.Context(), probe.ListenRequest{Ports: []uint16{port}, Token: "t0ken"}, func(e probe.ListenEvent) error {
			events <- e
			return nil
		})
	}()
	if e := <-events; e.State == nil || !e.State.Ours {
		t.Fatalf("%+v", e.State)
	}
	var got []probe.Outcome
	err := asker.Probe(t.Context(), probe.Request{Specs: []probe.Spec{
		{ID: "flow", Ask: probe.AskOurs, Protocol: "tcp", Host: "127.0.0.1", Port: port, Token: "t0ken"},
		{ID: "closed", Ask: probe.AskConnect, Protocol: "tcp", Host: "127.0.0.1", Port: unused(t)},
	}}, func(o probe.Outcome) error { got = append(got, o); return nil })
	if err != nil || len(got) != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, o := range got {
		if want := map[string]probe.Verdict{"flow": probe.Works, "closed": probe.Refused}[o.ID]; o.Verdict != want {
			t.Errorf("%+v", o)
		}
	}
	if a := (<-events).Arrival; a == nil || a.Port != port {
		t.Errorf("%+v", a)
	}

	listener.Close() // as a controller that is killed
	if err := <-ended; err != nil {
		t.Error(err)
	}
	<-listening // it has no good end, since its controller has gone
	again, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatalf("the port is still taken: %v", err)
	}
	again.Close()
}
