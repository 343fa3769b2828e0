package check

import (
	"context"
	"fmt"
	"testing"

	"ipivs.com/valtctl/installer/probe"
)

// telling is a machine that tells of what it was not asked, and of more than there is.
type telling struct{ Machine }

func (telling) Listen(_ context.Context, _ probe.ListenRequest, event func(probe.ListenEvent) error) error {
	for n := range maxArrivals + 10 {
		_ = event(probe.ListenEvent{Arrival: &probe.Arrival{From: fmt.Sprint(n), Port: 443}, State: &probe.PortState{Port: uint16(n)}})
	}
	return nil
}

func TestWhatAHostTellsOfItsListenersHasALimit(t *testing.T) {
	l := &Listening{arrivals: map[string][]probe.Arrival{}, states: map[string]map[uint16]probe.PortState{"media1": {}}}
	l.run(t.Context(), telling{}, "media1", []uint16{443, 444}, func() {})
	if len(l.arrivals["media1"]) != maxArrivals || len(l.states["media1"]) != 2 {
		t.Errorf("%d arrivals and %d ports are kept", len(l.arrivals["media1"]), len(l.states["media1"]))
	}
}
