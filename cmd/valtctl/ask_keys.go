package main

import (
	"bytes"
	"context"
	"io"
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
	ctx  context.Context
	tty  ttyReader
	kept []byte

	choosing bool // one key is an answer
	gesture  gesture
	pasted   string
}

// ttyReader reads what was typed. With a wait it gives up after it, with nothing.
type ttyReader interface {
	read(ctx context.Context, wait time.Duration) ([]byte, error)
}

// begin makes ready for the next prompt.
func (k *keys) begin(choosing bool) { k.choosing, k.gesture, k.pasted = choosing, answers, "" }

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
	return 1, nil
}

// Close leaves the terminal open: the next prompt reads from it.
func (*keys) Close() error { return nil }

func (k *keys) more() error {
	typed, err := k.tty.read(k.ctx, 0)
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
		rest, err := k.tty.read(k.ctx, pasteWait)
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
