package docker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
)

func piece(stream byte, size uint32, text string) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{stream, 0, 0, 0}, size), text...)
}

func TestALogIsCopiedPieceByPiece(t *testing.T) {
	var out bytes.Buffer
	log := append(piece(1, 4, "one\n"), append(piece(2, 4, "two\n"), piece(1, 0, "")...)...)
	if err := CopyLog(&out, bytes.NewReader(log)); err != nil || out.String() != "one\ntwo\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestWhatAProgramComplainsOfIsNoneOfItsOutput(t *testing.T) {
	var out, complaints bytes.Buffer
	said := append(piece(1, 4, "one\n"), append(piece(2, 4, "two\n"), piece(1, 6, "three\n")...)...)
	if err := CopyStreams(&out, &complaints, bytes.NewReader(said)); err != nil || out.String() != "one\nthree\n" || complaints.String() != "two\n" {
		t.Errorf("%q, %q, %v", out.String(), complaints.String(), err)
	}
}

// What a container says of its pieces takes no memory, and an error says what is wrong.
func TestALogThatIsNone(t *testing.T) {
	for name, c := range map[string]struct {
		log  []byte
		want string
	}{
		"a terminal's":     {[]byte("root@engine:/# ls"), "terminal of its own"},
		"announced as 4 G": {piece(1, 1<<32-1, "short"), "a piece of 4294967295"},
		"cut in its head":  {[]byte{1, 0, 0}, "unexpected EOF"},
		"the engine's own": {piece(3, 1<<32-1, strings.Repeat("gone", 10_000)), "the engine says: gonegone"},
	} {
		err := CopyLog(io.Discard, bytes.NewReader(c.log))
		if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 2*maxComplaint {
			t.Errorf("%s: %v", name, err)
		}
	}
	full := errors.New("full")
	if err := CopyLog(refusing{full}, bytes.NewReader(piece(1, 1, "x"))); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

type refusing struct{ err error }

func (r refusing) Write([]byte) (int, error) { return 0, r.err }
