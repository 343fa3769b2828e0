package engine

import (
	"bufio"
	"crypto/tls"
	"net"
)

// eitherListener accepts TLS and plain connections on one port, told apart by the first
// byte, which is 22 in a TLS record of type handshake (RFC 8446, section 5.1).
type eitherListener struct {
	net.Listener
	config *tls.Config
}

// Accept returns at once; the first byte is looked at when the connection is read.
func (l *eitherListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err //nolint:wrapcheck // net/http looks at the error itself
	}
	return &eitherConn{Conn: conn, config: l.config}, nil
}

// eitherConn becomes its TLS or plain self at the first read, which is the reader's own
// goroutine, so that a silent client keeps nobody waiting.
type eitherConn struct {
	net.Conn
	config *tls.Config
	chosen net.Conn
}

func (c *eitherConn) choose() {
	if c.chosen != nil {
		return
	}
	plain := &peekedConn{Conn: c.Conn, reader: bufio.NewReader(c.Conn)}
	c.chosen = plain
	if first, err := plain.reader.Peek(1); err == nil && first[0] == 22 {
		c.chosen = tls.Server(plain, c.config)
	}
}

func (c *eitherConn) Read(p []byte) (int, error) {
	c.choose()
	return c.chosen.Read(p)
}

func (c *eitherConn) Write(p []byte) (int, error) {
	c.choose()
	return c.chosen.Write(p)
}

// peekedConn reads through a buffer that has been looked into.
type peekedConn struct {
	net.Conn
	reader *bufio.Reader
}

func (c *peekedConn) Read(p []byte) (int, error) { return c.reader.Read(p) }
