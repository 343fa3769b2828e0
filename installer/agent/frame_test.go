package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
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

// FuzzFrames: of whatever comes, each frame is what was sent, and none is handed on that the
// limits forbid, by either side.
func FuzzFrames(f *testing.F) {
	frame := func(texts ...string) (wire []byte) {
		for _, text := range texts {
			wire = append(binary.BigEndian.AppendUint32(wire, uint32(len(text))), text...)
		}
		return wire
	}
	f.Add(frame(`{}`))
	f.Add(frame(`{"jsonrpc":"2.0","id":1,"method":"facts","params":{"full":true}}`, `{"jsonrpc":"2.0","method":"cancel","params":{"id":"1"}}`))
	f.Add(frame(`{"jsonrpc":"2.0","id":1,"result":{"findings":[{},{}]}}`, `{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no"}}`))
	f.Add(frame(`[{"jsonrpc":"2.0","id":1,"method":"facts"},{}]`))
	f.Add(frame(`{"id":null,"ID":2,"Method":"x","method":"cancel"}`, `{"id":1,"id":2}`))
	f.Add(frame(`{"a":"\\\",[[[{{{"}`))
	f.Add([]byte{0, 0, 0, 9, '{'})
	f.Add([]byte{0x03, 0xff, 0xff, 0xff, 1})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	limits := Limits{Message: 1 << 10, Values: 40, Calls: 3, Waiting: 1 << 11}
	f.Fuzz(func(t *testing.T, wire []byte) {
		for _, asks := range []bool{true, false} {
			l := newLedger(limits, asks)
			if asks {
				l.sent([]byte(`{"id":1,"method":"facts"}`))
			}
			var failed error
			in := newFrames(&peer{Reader: bytes.NewReader(wire)}, l, func(err error) { failed = err })
			left := wire
			for {
				msg, err := in.Recv()
				if err != nil {
					if len(msg) > 0 {
						t.Errorf("%x gave %v and %d bytes", wire, err, len(msg))
					}
					break
				}
				if want := left[4 : 4+len(msg)]; !bytes.Equal(msg, want) {
					t.Fatalf("%q became %q", want, msg)
				}
				left = left[4+len(msg):]
				if len(msg) > limits.Message || values(msg) > limits.Values || len(l.open)+l.notes > limits.Calls || l.waiting > limits.Waiting || failed != nil {
					t.Fatalf("%q is taken: %+v", msg, l)
				}
				if !json.Valid(msg) || bytes.HasPrefix(bytes.TrimSpace(msg), []byte("[")) {
					t.Fatalf("%q is taken", msg)
				}
			}
		}
	})
}

// What was counted is what encoding/json would make, or more.
func TestValuesAreCountedFromAbove(t *testing.T) {
	for text, want := range map[string]int{`1`: 1, `[]`: 2, `[1,2]`: 3, `{"a":[1,{"b":2}]}`: 7, `"a,b:[{\\\",["`: 1, `{"\"":1}`: 3} {
		if got := values([]byte(text)); got != want {
			t.Errorf("%s counts %d, want %d", text, got, want)
		}
	}
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
