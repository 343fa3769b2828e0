package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/lab"
)

// progress prints the lab's events as plain lines, each with the seconds since the
// start.
type progress struct {
	mu    sync.Mutex
	out   io.Writer
	start time.Time
	now   func() time.Time
}

func newProgress(out io.Writer, now func() time.Time) *progress {
	return &progress{out: out, start: now(), now: now}
}

func (p *progress) event(e lab.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := e.Stage
	switch {
	case e.Err != nil:
		line += fmt.Sprintf(": failed after %.1f s", e.Took.Seconds())
	case e.Done:
		line += fmt.Sprintf(": done in %.1f s", e.Took.Seconds())
	case e.Note != "":
		line += ": " + e.Note
	default:
		line += " …"
	}
	fmt.Fprintf(p.out, "%6.1f  %s\n", p.now().Sub(p.start).Seconds(), line)
}
