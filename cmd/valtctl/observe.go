package main

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/repos/plain"
)

// observer is how the progress of a run is shown, until end.
type observer interface {
	event.Observer
	end()
}

// observe picks how progress is shown: JSON lines with --events, live lines per host on
// a terminal, and plain lines otherwise.
func (a *app) observe() observer {
	a.watching = a.observer()
	return a.watching
}

func (a *app) observer() observer {
	if a.flags.events {
		return &jsonEvents{out: a.out}
	}
	if f := a.screen(); f != nil {
		return newLiveView(f)
	}
	return &plainLines{out: a.err}
}

// note tells a person of a host what is no result: with the progress, where there is any.
func (a *app) note(host, text string) {
	to := a.watching
	if to == nil {
		to = &plainLines{out: a.err}
	}
	to.Observe(event.Event{Kind: event.Note, Host: host, Text: text})
}

// jsonEvents writes one line an event to standard output, before the result.
type jsonEvents struct {
	mu  sync.Mutex
	out io.Writer
}

type eventLine struct {
	Schema string      `json:"schema"`
	Kind   string      `json:"kind"`
	Event  event.Event `json:"event"`
}

func (j *jsonEvents) Observe(e event.Event) {
	line, err := json.Marshal(eventLine{"valtctl/v1", "event", e})
	if err != nil {
		return // an Event is plain data
	}
	line = plain.JSON(line)
	j.mu.Lock()
	defer j.mu.Unlock()
	fmt.Fprintf(j.out, "%s\n", line)
}

func (j *jsonEvents) end() {}

// plainLines writes what matters, a line each, for pipes and logs. Bytes are not shown:
// a log of percentages helps nobody.
type plainLines struct {
	mu  sync.Mutex
	out io.Writer
	// said is the last line of each host, so that an upload is one line and not hundreds.
	said map[string]string
}

func (p *plainLines) Observe(e event.Event) {
	text := describe(e)
	if text == "" || e.Kind == event.Progress {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.said == nil {
		p.said = map[string]string{}
	}
	if p.said[e.Host] == text {
		return
	}
	p.said[e.Host] = text
	if e.Host == "" {
		fmt.Fprintf(p.out, "%s\n", text)
		return
	}
	fmt.Fprintf(p.out, "%-10s %s\n", plain.Line(e.Host), text)
}

func (p *plainLines) end() {}

// describe is an event in words that are safe to show; empty where there is nothing to say.
func describe(e event.Event) string { return plain.Under(words(e)) }

func words(e event.Event) string {
	switch e.Kind {
	case event.Step:
		if e.Count > 0 {
			return fmt.Sprintf("[%d/%d] %s: %s", e.Index, e.Count, e.Title, e.Text)
		}
		return fmt.Sprintf("%s: %s", e.Title, e.Text)
	case event.Progress:
		if e.Title == "" {
			return e.Text
		}
		return fmt.Sprintf("%s: %s", e.Title, e.Text)
	case event.Carried:
		return "" // for programs; a note tells people of all together
	case event.Start:
		return "transaction " + e.Text + " runs on the host by itself"
	}
	return e.Text
}

// sizeText is bytes as people read them.
func sizeText(n int64) string {
	const unit = 1000
	switch {
	case n < unit:
		return fmt.Sprintf("%d B", n)
	case n < unit*unit:
		return fmt.Sprintf("%.0f kB", float64(n)/unit)
	case n < unit*unit*unit:
		return fmt.Sprintf("%.1f MB", float64(n)/unit/unit)
	}
	return fmt.Sprintf("%.2f GB", float64(n)/unit/unit/unit)
}
