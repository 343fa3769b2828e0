package remote

import (
	"errors"
	"sync"
	"time"
)

// errStopped is what reading from a program gives after it was ended on purpose.
var errStopped = errors.New("stopped")

// patience is a time limit that stands still while a person is typing.
type patience struct {
	limit time.Duration
	timer *time.Timer

	mu   sync.Mutex
	over bool
}

// newPatience calls giveUp once limit has passed, unless it was ended before.
func newPatience(limit time.Duration, giveUp func()) *patience {
	p := &patience{limit: limit}
	p.timer = time.AfterFunc(limit, func() {
		p.mu.Lock()
		p.over = true
		p.mu.Unlock()
		giveUp()
	})
	return p
}

func (p *patience) pause()  { p.timer.Stop() }
func (p *patience) resume() { p.timer.Reset(p.limit) }
func (p *patience) end()    { p.timer.Stop() }

func (p *patience) expired() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.over
}
