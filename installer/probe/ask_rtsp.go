package probe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
)

// askRTSP wants an answer to OPTIONS (RFC 2326, section 10.1). A camera that asks for a
// login has answered.
func askRTSP(ctx context.Context, c *conversation) { c.conclude(ctx, c.options()) }

func (c *conversation) options() error {
	conn, err := c.through()
	if err != nil {
		return err
	}
	h := &heard{Conn: conn, left: maxHeader}
	where := net.JoinHostPort(c.name(), strconv.Itoa(int(c.spec.Port)))
	_, unsent := fmt.Fprintf(h, "OPTIONS rtsp://%s/ RTSP/1.0\r\nCSeq: 1\r\nUser-Agent: valtctl\r\n\r\n", where)
	a, err := readRTSP(h)
	if err != nil {
		if unsent != nil && h.total == 0 {
			err = unsent
		}
		return h.unheard(err, "RTSP")
	}
	c.note("answered %d %s, Server: %s, Public: %s", a.status, a.reason, a.header.Get("Server"), a.header.Get("Public"))
	c.dated(a.header.Get("Date"), "")
	switch a.status {
	case 200:
		return nil
	case 401:
		return found(Works, "it asks for a login")
	}
	return found(WrongContent, "answers OPTIONS with %d %s", a.status, a.reason)
}

// rtspAnswer is the head of an RTSP response.
type rtspAnswer struct {
	status int
	reason string
	header textproto.MIMEHeader
}

var errNotRTSP = errors.New("it does not begin with RTSP/1.x and a status")

// readRTSP reads the head of a response (RFC 2326, section 7.1). What r gives is capped.
func readRTSP(r io.Reader) (rtspAnswer, error) {
	lines := textproto.NewReader(bufio.NewReader(r))
	first, err := lines.ReadLine()
	if err != nil {
		return rtspAnswer{}, fmt.Errorf("reading the status: %w", err)
	}
	version, rest, _ := strings.Cut(first, " ")
	code, reason, _ := strings.Cut(rest, " ")
	status, err := strconv.ParseUint(code, 10, 16)
	if err != nil || len(code) != 3 || status < 100 || !strings.HasPrefix(version, "RTSP/1.") {
		return rtspAnswer{}, errNotRTSP
	}
	header, err := lines.ReadMIMEHeader()
	if err != nil {
		return rtspAnswer{}, fmt.Errorf("reading the header: %w", err)
	}
	return rtspAnswer{status: int(status), reason: reason, header: header}, nil
}
