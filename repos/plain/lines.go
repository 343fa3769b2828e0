package plain

import "bytes"

// Lines hands over what is written to it line by line, without the ends of lines. It is not for
// use by several goroutines.
type Lines struct {
	// Most is how long a line may be, in bytes; a longer one is handed over in pieces, each but
	// the last marked with an ellipsis. It must be above 0.
	Most int
	// Each takes one line, which is valid until it returns.
	Each func(line []byte) error

	rest []byte // of a line whose end has yet to come
}

// Write hands over the lines that p brings to their end.
func (l *Lines) Write(p []byte) (int, error) {
	for left := p; len(left) > 0; {
		line, rest, whole := bytes.Cut(left, []byte{'\n'})
		if room := l.Most - len(l.rest); len(line) > room {
			l.rest = append(l.rest, line[:room]...)
			left = left[room:]
			if err := l.hand(" …"); err != nil {
				return 0, err
			}
			continue
		}
		l.rest = append(l.rest, line...)
		left = rest
		if whole {
			if err := l.hand(""); err != nil {
				return 0, err
			}
		}
	}
	return len(p), nil
}

// Flush hands over a last line that has no end.
func (l *Lines) Flush() error {
	if len(l.rest) == 0 {
		return nil
	}
	return l.hand("")
}

func (l *Lines) hand(mark string) error {
	line := append(bytes.TrimSuffix(l.rest, []byte{'\r'}), mark...)
	l.rest = l.rest[:0]
	return l.Each(line)
}
