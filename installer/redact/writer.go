package redact

import (
	"cmp"
	"fmt"
	"io"
	"slices"
)

// A stream is looked at in windows. Its last bytes are looked at again with what follows,
// so nothing that is no longer than them can hide on the border.
const (
	window  = 192 << 10
	overlap = 48 << 10
	longest = 32 << 10 // the most that one hit may reach over; less than overlap
)

// hit is something that must be replaced: the bytes from start to end. From is where what
// gives it away begins, such as the name before a value.
type hit struct {
	from, start, end int
	name             string
	sure             bool // a known secret: its name is the better one
	more             bool // a further piece of the same thing, not counted
	rest             bool // what stands in its place is written already
}

// Writer replaces what is found in what is written to it. Write never splits its work by
// how it is called, so the same stream always gives the same output.
type Writer struct {
	out     io.Writer
	find    func(window []byte, first bool) []hit
	replace func(h hit, was []byte) string
	counts  Counts

	held    []byte
	decided []hit // in held, of things that began before it
	later   bool  // something was written out
	err     error
}

// Counts is what was replaced so far.
func (w *Writer) Counts() Counts { return w.counts }

// Write takes more of the stream.
func (w *Writer) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && w.err == nil {
		room := min(window-len(w.held), len(p))
		w.held = append(w.held, p[:room]...)
		p = p[room:]
		if len(w.held) == window {
			w.pass(window - overlap)
		}
	}
	return n - len(p), w.err
}

// Close writes the rest. It does not close what is written to.
func (w *Writer) Close() error {
	if w.err == nil {
		w.pass(len(w.held))
	}
	return w.err
}

// pass writes what is held up to cut out.
func (w *Writer) pass(cut int) {
	all := w.find(w.held, !w.later)
	all = slices.DeleteFunc(all, func(h hit) bool { return h.from >= cut || h.end <= h.start })
	hits := merge(append(w.decided, all...))
	w.decided = nil
	at := 0
	for _, h := range hits {
		if h.start < cut {
			w.write(w.held[at:h.start])
			if !h.rest {
				w.write([]byte(w.replace(h, w.held[h.start:h.end])))
			}
			if !h.rest && !h.more {
				w.counts[h.name]++
			}
			at = min(h.end, cut)
		}
		if h.end > cut {
			w.decided = append(w.decided, hit{from: -1, start: max(h.start, cut) - cut, end: h.end - cut, name: h.name, sure: h.sure, more: h.more, rest: h.rest || h.start < cut})
		}
	}
	w.write(w.held[at:cut])
	w.held = append(w.held[:0], w.held[cut:]...)
	w.later = true
}

func (w *Writer) write(p []byte) {
	if w.err != nil || len(p) == 0 {
		return
	}
	if _, err := w.out.Write(p); err != nil {
		w.err = fmt.Errorf("writing what is left without secrets: %w", err)
	}
}

// old puts what is replaced already before what begins at the same place.
func old(h hit) int {
	if h.rest {
		return 1
	}
	return 0
}

// merge puts hits in order and makes those that overlap one.
func merge(all []hit) []hit {
	slices.SortStableFunc(all, func(a, b hit) int {
		return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(old(b), old(a)), cmp.Compare(b.end, a.end))
	})
	var out []hit
	for _, h := range all {
		if n := len(out); n > 0 && h.start < out[n-1].end {
			last := &out[n-1]
			last.end = max(last.end, h.end)
			if h.sure && !last.sure && !last.rest {
				last.name, last.sure, last.more = h.name, true, last.more && h.more
			}
			continue
		}
		out = append(out, h)
	}
	return out
}
