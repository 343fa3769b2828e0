package step

import (
	"bytes"
	"strings"
	"sync"
)

// maxLineShown caps a line handed to a listener, in bytes.
const maxLineShown = 4 << 10

// capture keeps what a program prints, up to a limit: the first bytes, or the last.
type capture struct {
	limit   int
	last    bool // keep the end instead of the beginning
	lines   *lineStream
	kept    bytes.Buffer
	dropped bool
}

func (c *capture) Write(p []byte) (int, error) {
	c.lines.write(p)
	switch room := c.limit - c.kept.Len(); {
	case len(p) <= room:
		c.kept.Write(p)
	case c.last:
		c.dropped = true
		c.kept.Write(p)
		if c.kept.Len() > 2*c.limit { // not with every write
			c.kept.Next(c.kept.Len() - c.limit)
		}
	default:
		c.dropped = true
		c.kept.Write(p[:max(0, room)])
	}
	return len(p), nil
}

func (c *capture) bytes() []byte {
	if c.last && c.kept.Len() > c.limit {
		c.kept.Next(c.kept.Len() - c.limit)
	}
	return c.kept.Bytes()
}

// lines hands the lines of several streams to one listener, one at a time.
type lines struct {
	mu     sync.Mutex
	listen func(string)
}

func newLines(listen func(string)) *lines { return &lines{listen: listen} }

func (l *lines) stream() *lineStream { return &lineStream{to: l} }

// lineStream cuts one stream into lines.
type lineStream struct {
	to   *lines
	part []byte
}

func (s *lineStream) write(p []byte) {
	if s.to.listen == nil {
		return
	}
	for len(p) > 0 {
		line, rest, whole := bytes.Cut(p, []byte{'\n'})
		if room := maxLineShown - len(s.part); room > 0 {
			s.part = append(s.part, line[:min(room, len(line))]...)
		}
		if whole {
			s.emit()
		}
		p = rest
	}
}

// flush emits a last line that has no newline.
func (s *lineStream) flush() {
	if len(s.part) > 0 {
		s.emit()
	}
}

func (s *lineStream) emit() {
	text := strings.TrimRight(strings.ToValidUTF8(string(s.part), "?"), "\r")
	s.part = s.part[:0]
	s.to.mu.Lock()
	defer s.to.mu.Unlock()
	s.to.listen(text)
}
