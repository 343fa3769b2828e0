package plain

import (
	"io"
	"sync"
	"unicode/utf8"
)

// Writer passes on what is written to it as Text does. It may be used by several goroutines.
type Writer struct {
	mu   sync.Mutex
	out  io.Writer
	rest []byte // the begin of a character whose end has yet to come
	buf  []byte
}

// NewWriter stands in front of out, which is a terminal or what becomes one: a file, a pipe,
// the system's log.
func NewWriter(out io.Writer) *Writer { return &Writer{out: out} }

// most is how much of one Write is passed on at a time, in bytes: what is written out grows to
// four times that.
const most = 16 << 10

// Write passes p on, but for the begin of a character at its end, which waits for its rest.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for left := p; len(left) > 0; {
		part := left[:min(len(left), most)]
		left = left[len(part):]
		text := append(w.rest, part...)
		whole := len(text) - unfinished(text)
		if err := w.pass(string(text[:whole])); err != nil {
			return 0, err
		}
		w.rest = append(w.rest[:0], text[whole:]...)
	}
	return len(p), nil
}

// Flush passes on what waits for its rest: nothing more comes.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := string(w.rest)
	w.rest = w.rest[:0]
	return w.pass(text)
}

func (w *Writer) pass(text string) error {
	if text == "" {
		return nil
	}
	w.buf = appendShown(w.buf[:0], text, "\n\t")
	_, err := w.out.Write(w.buf)
	return err
}

// unfinished is how many bytes at the end of text may become a character with those to come.
func unfinished(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		c := text[len(text)-n]
		if utf8.RuneStart(c) {
			if c >= utf8.RuneSelf && !utf8.FullRune(text[len(text)-n:]) {
				return n
			}
			return 0
		}
	}
	return 0
}
