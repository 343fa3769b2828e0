package engine

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// The RTMP handshake (Adobe's RTMP Specification 1.0, section 5.2): C0 and S0 are a
// version byte, the other four messages have handshakeSize bytes.
const (
	rtmpVersion   = 3
	handshakeSize = 1536
	shakeWithin   = 10 * time.Second
)

// rtmp shakes hands with clients and then holds their connections without a word, so
// that they count as somebody watching.
type rtmp struct {
	connections atomic.Int64 // after the handshake
	read        atomic.Int64 // bytes
}

func (r *rtmp) serve(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return fmt.Errorf("serving %s: %w", l.Addr(), err)
		}
		go r.handle(conn)
	}
}

func (r *rtmp) handle(conn net.Conn) {
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(shakeWithin)); err != nil {
		return
	}
	in := bufio.NewReader(conn)
	first, err := in.Peek(1)
	if err != nil {
		return
	}
	if first[0] >= 'A' && first[0] <= 'Z' { // HTTP, as browsers and health checks speak it
		answerHTTP(conn)
		return
	}
	if handshake(in, conn) != nil || conn.SetDeadline(time.Time{}) != nil {
		return
	}
	r.connections.Add(1)
	defer r.connections.Add(-1)
	n, _ := io.Copy(io.Discard, in)
	r.read.Add(n)
}

// handshake is the server's side. S2 must echo C1 and C2 must echo S1.
func handshake(in io.Reader, out io.Writer) error {
	c := make([]byte, 1+handshakeSize)
	if _, err := io.ReadFull(in, c); err != nil {
		return fmt.Errorf("reading C0 and C1: %w", err)
	}
	if c[0] != rtmpVersion {
		return fmt.Errorf("reading C0: version %d, not %d", c[0], rtmpVersion)
	}
	s := make([]byte, 1+2*handshakeSize)
	s[0] = rtmpVersion
	s1 := s[1 : 1+handshakeSize]
	rand.Read(s1[8:]) // time and zero stay 0
	copy(s[1+handshakeSize:], c[1:])
	if _, err := out.Write(s); err != nil {
		return fmt.Errorf("writing S0, S1 and S2: %w", err)
	}
	c2 := make([]byte, handshakeSize)
	if _, err := io.ReadFull(in, c2); err != nil {
		return fmt.Errorf("reading C2: %w", err)
	}
	if !bytes.Equal(c2[8:], s1[8:]) {
		return fmt.Errorf("reading C2: it does not echo S1")
	}
	return nil
}

// answerHTTP says on a streaming port what the version page says.
func answerHTTP(out io.Writer) {
	body := versionText()
	fmt.Fprintf(out, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
}
