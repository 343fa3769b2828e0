package main

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"time"
)

// gesture is what a person may do instead of answering.
type gesture int

const (
	answers gesture = iota
	explain         // ?
	back            // <
)

// pasteAfter is how much longer than anything typed in one go a pasted line is, in bytes;
// pasteWait is how long the rest of a paste may take to come.
const (
	pasteAfter = 48
	pasteWait  = 60 * time.Millisecond
)

// keys hands a terminal's keys to promptui one at a time, so that none is lost between two
// prompts. It keeps what is pasted to itself: promptui takes the first line of it for the
// whole answer, and draws a long one badly.
type keys struct {
	tty  ttyReader
	done <-chan struct{} // closed: nobody waits for keys any more
	kept []byte

	choosing bool // one key is an answer
	gesture  gesture
	pasted   string

	held *held
}

// held is one prompt's last drawing.
type held struct {
	entered atomic.Bool   // Enter was given out
	over    chan struct{} // closed with the prompt's end
}

// ttyReader reads what was typed, until done is closed. With a wait it gives up after it,
// with nothing.
type ttyReader interface {
	read(done <-chan struct{}, wait time.Duration) ([]byte, error)
}

// begin makes ready for the next prompt, whose end closes what is held.
func (k *keys) begin(choosing bool) *held {
	k.choosing, k.gesture, k.pasted = choosing, answers, ""
	k.held = &held{over: make(chan struct{})}
	return k.held
}

// end lets go of what holdBack holds.
func (h *held) end() { close(h.over) }

// drawWithin is how long promptui may take to draw a key.
const drawWithin = 15 * time.Millisecond

// holdBack stands in for a check of what is typed, which promptui asks for before it draws.
// After Enter it draws the line being typed once more, from a goroutine of readline's, while
// the answer is being drawn from another. It is held back until the answer stands.
func (h *held) holdBack(string) error {
	if h.entered.Load() && withinReadline() {
		select {
		case <-h.over:
		case <-time.After(20 * drawWithin): // it was an earlier key's, and Enter is behind it
		}
	}
	return nil
}

// withinReadline says that readline calls.
func withinReadline() bool {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		frame, more := frames.Next()
		if strings.Contains(frame.Function, "chzyer/readline.") {
			return true
		}
		if !more {
			return false
		}
	}
}

// Read gives one byte.
func (k *keys) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if len(k.kept) == 0 {
		if err := k.more(); err != nil {
			return 0, err
		}
	}
	p[0], k.kept = k.kept[0], k.kept[1:]
	if k.choosing {
		switch p[0] {
		case '?':
			k.gesture, p[0] = explain, '\r'
		case '<':
			k.gesture, p[0] = back, '\r'
		}
	}
	if p[0] == '\n' {
		p[0] = '\r' // typed before the terminal was ready for it
	}
	if p[0] == '\r' && !k.choosing {
		time.Sleep(drawWithin) // the keys before it are drawn then
		k.held.entered.Store(true)
	}
	return 1, nil
}

// Close leaves the terminal open: the next prompt reads from it.
func (*keys) Close() error { return nil }

func (k *keys) more() error {
	typed, err := k.tty.read(k.done, 0)
	if err != nil {
		return err
	}
	if len(typed) == 0 {
		return io.EOF
	}
	if k.choosing || !isPaste(typed) {
		k.kept = typed
		return nil
	}
	for {
		rest, err := k.tty.read(k.done, pasteWait)
		if err != nil || len(rest) == 0 {
			break // what came is the answer
		}
		typed = append(typed, rest...)
	}
	k.pasted, k.kept = string(typed), []byte{'\r'}
	return nil
}

// isPaste tells pasted text from keys: it is long, or has a line's end within.
func isPaste(typed []byte) bool {
	if typed[0] == 0x1b {
		return false
	}
	return len(typed) > pasteAfter || bytes.ContainsAny(typed[:len(typed)-1], "\r\n")
}
