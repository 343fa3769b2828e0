package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/site"
)

func sampleEvents() []event.Event {
	return []event.Event{
		{Kind: event.Connect, Host: "app1", Text: "uploading the agent", Done: 1, Total: 10},
		{Kind: event.Connect, Host: "app1", Text: "uploading the agent", Done: 9, Total: 10},
		{Kind: event.Note, Text: "the timestamp expires soon"},
		{Kind: event.Step, Host: "app1", Title: "image web", Text: "applying", Index: 3, Count: 9},
		{Kind: event.Progress, Host: "app1", Title: "image web", Text: "pulling", Done: 5, Total: 50},
		{Kind: event.Done, Host: "app1", Text: "done"},
	}
}

func TestPlainLinesSayEachThingOnce(t *testing.T) {
	var out bytes.Buffer
	p := &plainLines{out: &out}
	for _, e := range sampleEvents() {
		p.Observe(e)
	}
	p.end()
	want := "app1       uploading the agent\nthe timestamp expires soon\napp1       [3/9] image web: applying\napp1       done\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestEventsAreOneJSONLineEach(t *testing.T) {
	var out bytes.Buffer
	j := &jsonEvents{out: &out}
	for _, e := range sampleEvents() {
		j.Observe(e)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(sampleEvents()) {
		t.Fatalf("%d lines for %d events", len(lines), len(sampleEvents()))
	}
	var first eventLine
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil || first.Schema != "valtctl/v1" || first.Event.Host != "app1" || first.Event.Total != 10 {
		t.Errorf("first line %s: %+v, %v", lines[0], first, err)
	}
}

func TestLiveViewShowsBytesAndEnds(t *testing.T) {
	var out bytes.Buffer
	v := newLiveView(&out)
	for _, e := range sampleEvents()[:5] {
		v.Observe(e)
	}
	if got := v.say(v.hosts["app1"]); !strings.Contains(got, "image web: pulling 5 B/50 B") {
		t.Errorf("the host's line is %q", got)
	}
	v.end() // must not wait for a host that never finished
}

func TestTimeLeftIsAGuessFromWhatWasMoved(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		after time.Duration
		done  int64
		want  string
	}{
		"too early":  {time.Second, 10, ""},
		"seconds":    {10 * time.Second, 50, ", 11 s left"},
		"minutes":    {100 * time.Second, 25, ", 6 min left"},
		"all moved":  {10 * time.Second, 100, ""},
		"none moved": {10 * time.Second, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var r rate
			r.leftAt(start, 0, 100)
			if got := r.leftAt(start.Add(c.after), c.done, 100); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestSizesAreReadable(t *testing.T) {
	for n, want := range map[int64]string{12: "12 B", 1200: "1 kB", 208_000_000: "208.0 MB", 3_210_000_000: "3.21 GB"} {
		if got := sizeText(n); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

// Why nothing happens is told with the progress, where there is any, and to the errors' stream otherwise.
func TestAWaitIsToldWhereAPersonLooks(t *testing.T) {
	var out, err bytes.Buffer
	a := &app{out: &out, err: &err}
	host := site.Host{Name: "media1", Address: "10.0.4.21"}
	a.connection(&site.Site{ID: "st-marys"}, host).Waiting("it punishes this address")
	if got := err.String(); got != "media1     it punishes this address\n" || out.Len() > 0 {
		t.Errorf("%q, %q", got, out.String())
	}
	a.flags.events = true
	a.observe()
	a.connection(&site.Site{ID: "st-marys"}, host).Waiting("it still does")
	if got := out.String(); !strings.Contains(got, `"kind":"note","host":"media1","text":"it still does"`) {
		t.Errorf("%q", got)
	}
}
