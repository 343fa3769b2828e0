package agent

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/creachadair/jrpc2/channel"
)

// frames is a jrpc2 channel: each message follows its length, four bytes big-endian.
type frames struct {
	conn   io.ReadWriteCloser
	in     *bufio.Reader
	ledger *ledger
	fail   func(error) // ends the session: of a message that is not taken

	mu sync.Mutex // keeps frames whole
}

func newFrames(conn io.ReadWriteCloser, l *ledger, fail func(error)) channel.Channel {
	return &frames{conn: conn, in: bufio.NewReaderSize(conn, 64<<10), ledger: l, fail: fail}
}

// Send writes one message.
func (f *frames) Send(msg []byte) error {
	if len(msg) > MaxMessage {
		return fmt.Errorf("sending a message of %d bytes: more than %d is not allowed", len(msg), MaxMessage)
	}
	out := make([]byte, 4+len(msg))
	binary.BigEndian.PutUint32(out, uint32(len(msg)))
	copy(out[4:], msg)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ledger.sent(msg) // before: the answer may come at once
	if _, err := f.conn.Write(out); err != nil {
		return fmt.Errorf("sending a message: %w", err)
	}
	return nil
}

// Recv reads one message. It returns io.EOF itself at the end, as jrpc2 expects.
func (f *frames) Recv() ([]byte, error) {
	msg, err := readFrame(f.in, f.ledger.limits.Message)
	if err == nil {
		if err = f.ledger.came(msg); err == nil {
			return msg, nil
		}
		f.fail(err)
	} else if errors.Is(err, ErrTooMuch) {
		f.fail(err)
	}
	return nil, err
}

// Close closes the stream.
func (f *frames) Close() error { return f.conn.Close() }

// readFrame believes a length only as far as bytes follow it: memory grows with what
// came, not with what was announced. At most is in bytes.
func readFrame(r io.Reader, most int) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	length := int64(binary.BigEndian.Uint32(head[:]))
	if length > int64(most) {
		return nil, tooMuch("a message of %d bytes, and at most %d are taken", length, most)
	}
	const trusted = 1 << 20
	var msg []byte
	for left := int(length); left > 0; left = int(length) - len(msg) {
		at, next := len(msg), min(left, max(trusted, len(msg)))
		msg = slices.Grow(msg, next)[:at+next]
		if _, err := io.ReadFull(r, msg[at:]); err != nil {
			return nil, fmt.Errorf("receiving a message: %w", noEOF(err))
		}
	}
	return msg, nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
