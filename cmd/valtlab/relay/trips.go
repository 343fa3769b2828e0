package relay

import "sync"

// trips counts the round trips of one connection that had to be made one after the
// other. What the near end sends begins a trip after the last one whose answer it has
// seen; what the far end sends belongs to the last trip it has seen the begin of. So
// what is sent without waiting costs nothing, whatever its pieces, and what happens to
// be sent just after an answer counts as if it had waited for it: never too few.
type trips struct {
	mu   sync.Mutex
	near int // the last trip whose answer is at the near end
	far  int // the last trip whose begin is at the far end
}

// direction is how one direction of a connection counts.
type direction struct {
	sent    func() (trip int) // a piece has left its end
	arrived func(trip int)    // it is at the other
}

func (t *trips) outward() direction {
	return direction{
		sent:    func() int { return t.look(&t.near) + 1 },
		arrived: func(trip int) { t.raise(&t.far, trip) },
	}
}

func (t *trips) homeward() direction {
	return direction{
		sent:    func() int { return t.look(&t.far) },
		arrived: func(trip int) { t.raise(&t.near, trip) },
	}
}

// total is how many answers were waited for, and one for the handshake of TCP.
func (t *trips) total() int { return t.look(&t.near) + 1 }

func (t *trips) look(end *int) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return *end
}

func (t *trips) raise(end *int, trip int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*end = max(*end, trip)
}
