package agent

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"sync"

	"github.com/creachadair/jrpc2/channel"
)

// frames is a jrpc2 channel: each message follows its length, four bytes big-endian.
type frames struct {
	conn io.ReadWriteCloser
	in   *bufio.Reader

	mu sync.Mutex // keeps frames whole
}

func newFrames(conn io.ReadWriteCloser) channel.Channel {
	return &frames{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
}

// Send writes one message.
func (f *frames) Send(msg []byte) error {
	if len(msg) > MaxFrame {
		return fmt.Errorf("sending a message of %d bytes: more than %d is not allowed", len(msg), MaxFrame)
	}
	out := make([]byte, 4+len(msg))
	binary.BigEndian.PutUint32(out, uint32(len(msg)))
	copy(out[4:], msg)
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.conn.Write(out); err != nil {
		return fmt.Errorf("sending a message: %w", err)
	}
	return nil
}

// Recv reads one message. It returns io.EOF itself at the end, as jrpc2 expects.
func (f *frames) Recv() ([]byte, error) { return readFrame(f.in) }

// Close closes the stream.
func (f *frames) Close() error { return f.conn.Close() }

// readFrame believes a length only as far as bytes follow it: memory grows with what
// came, not with what was announced.
func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	length := int64(binary.BigEndian.Uint32(head[:]))
	if length > MaxFrame {
		return nil, fmt.Errorf("receiving a message of %d bytes: more than %d is not allowed", length, MaxFrame)
	}
	const trusted = 1 << 20
	if length <= trusted {
		msg := make([]byte, length)
		if _, err := io.ReadFull(r, msg); err != nil {
			return nil, fmt.Errorf("receiving a message: %w", noEOF(err))
		}
		return msg, nil
	}
	msg, err := io.ReadAll(io.LimitReader(r, length))
	if err == nil && int64(len(msg)) < length {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, fmt.Errorf("receiving a message: %w", err)
	}
	return msg, nil
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
