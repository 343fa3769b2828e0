package agent

import (
	"encoding/binary"
	"io"
	"sync"
)

// maxPings is how many of yamux's pings may wait for their answer. One every 20 s is sent.
const maxPings = 16

// paced is a session's channel that ends where the other side asks with yamux's pings faster
// than it takes the answers: yamux v0.1.2 has a goroutine wait for each.
type paced struct {
	io.ReadWriteCloser
	in, out headers

	mu    sync.Mutex
	pings int
}

func newPaced(conn io.ReadWriteCloser) *paced { return &paced{ReadWriteCloser: conn} }

func (p *paced) Read(b []byte) (int, error) {
	n, err := p.ReadWriteCloser.Read(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pings += p.in.count(b[:n], flagSYN)
	if p.pings > maxPings {
		return 0, tooMuch("%d pings without taking the answers, and at most %d may wait", p.pings, maxPings)
	}
	return n, err //nolint:wrapcheck // readers compare with io.EOF
}

func (p *paced) Write(b []byte) (int, error) {
	n, err := p.ReadWriteCloser.Write(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pings -= p.out.count(b[:n], flagACK)
	return n, err //nolint:wrapcheck // it is the channel's own
}

// What of a frame's header is looked at (yamux, spec.md, "Framing").
const (
	headerSize = 12
	typeData   = 0
	typePing   = 2
	flagSYN    = 1
	flagACK    = 2
)

// headers follows one direction of a session from header to header.
type headers struct {
	head [headerSize]byte
	have int
	skip int64 // bytes of data before the next header
}

// count is how many pings with a flag begin in what goes by.
func (h *headers) count(b []byte, flag uint16) int {
	found := 0
	for len(b) > 0 {
		if h.skip > 0 {
			n := min(h.skip, int64(len(b)))
			h.skip -= n
			b = b[n:]
			continue
		}
		n := copy(h.head[h.have:], b)
		h.have += n
		b = b[n:]
		if h.have < headerSize {
			break
		}
		h.have = 0
		switch h.head[1] {
		case typeData:
			h.skip = int64(binary.BigEndian.Uint32(h.head[8:]))
		case typePing:
			if binary.BigEndian.Uint16(h.head[2:])&flag != 0 {
				found++
			}
		}
	}
	return found
}
