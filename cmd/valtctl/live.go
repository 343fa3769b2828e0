package main

import (
	"fmt"
	"io"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/repos/plain"
)

// liveView shows one line a host, redrawn in place: what it does, how many of its steps
// are done, and bytes with the time left where a step moves bytes. It moves the cursor, so what
// it shows has to be plain before: no filter stands behind it.
type liveView struct {
	mu    sync.Mutex
	bars  *mpb.Progress
	hosts map[string]*liveHost
}

// liveHost is one host's line.
type liveHost struct {
	bar         *mpb.Bar
	text        string
	done, total int64 // bytes of the step under way
	rate        rate
}

func newLiveView(out io.Writer) *liveView {
	return &liveView{bars: mpb.New(mpb.WithOutput(out), mpb.WithWidth(20)), hosts: map[string]*liveHost{}}
}

func (v *liveView) Observe(e event.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if e.Kind == event.Carried {
		return
	}
	if e.Host == "" || e.Kind == event.Note {
		fmt.Fprintf(v.bars, "%s\n", joinHost(e.Host, describe(e)))
		return
	}
	h := v.host(e.Host)
	if text := describe(e); text != "" {
		h.text = plain.Line(text)
	}
	h.done, h.total = e.Done, e.Total
	if e.Count > 0 {
		h.bar.SetTotal(int64(e.Count), false)
		h.bar.SetCurrent(int64(e.Index))
	}
	if e.Kind == event.Done {
		h.done, h.total = 0, 0
		h.bar.SetTotal(-1, true)
	}
}

func (v *liveView) host(name string) *liveHost {
	if h, ok := v.hosts[name]; ok {
		return h
	}
	h := &liveHost{}
	h.bar = v.bars.AddBar(0,
		mpb.PrependDecorators(decor.Name(plain.Line(name), decor.WC{W: 10, C: decor.DindentRight})),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return v.say(h) })))
	v.hosts[name] = h
	return h
}

// say is the text of a host's line. It is called by the drawing goroutine.
func (v *liveView) say(h *liveHost) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	if h.total <= 0 {
		return h.text
	}
	return fmt.Sprintf("%s %s/%s%s", h.text, sizeText(h.done), sizeText(h.total), h.rate.left(h.done, h.total))
}

// end leaves the last lines on the screen, whatever the hosts were doing.
func (v *liveView) end() {
	v.mu.Lock()
	for _, h := range v.hosts {
		if !h.bar.Completed() {
			h.bar.Abort(false)
		}
	}
	v.mu.Unlock()
	v.bars.Wait()
}

func joinHost(host, text string) string {
	if host == "" {
		return text
	}
	return plain.Line(host) + ": " + text
}
