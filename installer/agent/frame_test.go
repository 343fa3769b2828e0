package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
)

// closer is a buffer as a stream.
type closer struct{ bytes.Buffer }

func (*closer) Close() error { return nil }

func TestFramesComeBackWhole(t *testing.T) {
	var wire closer
	f := newFrames(&wire, newLedger(OfAHost(), true), func(error) {})
	messages := []string{"", "{}", strings.Repeat("x", 3<<20)}
	for _, m := range messages {
		if err := f.Send([]byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range messages {
		got, err := readFrame(&wire, MaxMessage)
		if err != nil || string(got) != want {
			t.Errorf("message %d came with %d bytes of %d, %v", i, len(got), len(want), err)
		}
	}
	if _, err := readFrame(&wire, MaxMessage); err != io.EOF {
		t.Errorf("the end reads %v", err)
	}
}

func TestFramesThatAreTooLong(t *testing.T) {
	if err := newFrames(&closer{}, newLedger(OfAHost(), true), func(error) {}).Send(make([]byte, MaxMessage+1)); err == nil {
		t.Error("one was sent")
	}
	head := binary.BigEndian.AppendUint32(nil, MaxMessage+1)
	if _, err := readFrame(bytes.NewReader(head), MaxMessage); err == nil || errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("one was received: %v", err)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{0, 0, 0, 2, '{', '}'})
	f.Add([]byte{0, 0, 0, 9, '{'})
	f.Add([]byte{0x03, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, wire []byte) {
		msg, err := readFrame(bytes.NewReader(wire), MaxMessage)
		if err == nil && !bytes.Equal(msg, wire[4:4+len(msg)]) {
			t.Errorf("%x became %x", wire, msg)
		}
		if err != nil && cap(msg) > 0 {
			t.Errorf("%x gave an error and %d bytes", wire, len(msg))
		}
	})
}

func FuzzReadHeader(f *testing.F) {
	f.Add([]byte("{\"name\":\"call/1\"}\nrest"))
	f.Add([]byte("{}\n"))
	f.Add([]byte("{\"name\":\"x\",\"more\":1}\n"))
	f.Add(bytes.Repeat([]byte("x"), maxHeader+1))
	f.Fuzz(func(t *testing.T, wire []byte) {
		h, err := readHeader(bufio.NewReaderSize(bytes.NewReader(wire), maxHeader))
		if (err == nil) == (h.Name == "") {
			t.Errorf("%q gave %+v, %v", wire, h, err)
		}
	})
}

// FuzzServe: whatever a peer sends, the agent ends without falling over.
func FuzzServe(f *testing.F) {
	f.Add([]byte("\x00\x01\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00"))
	f.Add([]byte("not yamux at all, but long enough"))
	f.Add([]byte("\x00\x01\x00\x01\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x06\x00\x00\x00\x02{}"))
	f.Fuzz(func(t *testing.T, wire []byte) {
		_ = Serve(context.Background(), &peer{Reader: bytes.NewReader(wire)}, Handlers{})
	})
}

// peer says what it has and takes no notice of answers.
type peer struct{ io.Reader }

func (*peer) Write(b []byte) (int, error) { return len(b), nil }
func (*peer) Close() error                { return nil }
