package probe

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
)

// The handshake (Adobe's RTMP specification 1.0, section 5.2): C0 and S0 are a version
// byte, the other messages have rtmpMessage bytes: time, zero and random ones.
const (
	rtmpVersion = 3
	rtmpMessage = 1536
	rtmpFixed   = 8 // bytes of time and zero
)

// askRTMP wants the whole handshake.
func askRTMP(ctx context.Context, c *conversation) { c.conclude(ctx, c.handshake(ctx, false)) }

// askRTMPS wants it over verified TLS.
func askRTMPS(ctx context.Context, c *conversation) { c.conclude(ctx, c.handshake(ctx, true)) }

func (c *conversation) handshake(ctx context.Context, secure bool) error {
	conn, err := c.through()
	if err != nil {
		return err
	}
	if secure {
		session, err := c.secure(ctx, conn)
		if err != nil {
			return err
		}
		conn = session
	}
	h := &heard{Conn: conn, left: 1 + 2*rtmpMessage}
	if err := shakeHands(h); err != nil {
		return h.noRTMP(err)
	}
	c.note("RTMP handshake done, version %d", rtmpVersion)
	return nil
}

var errNotRTMP = errors.New("the answer does not begin with version 3")

// shakeHands is the client's side: C0 and C1 at once, and C2 when S1 is known.
func shakeHands(conn io.ReadWriter) error {
	hello := make([]byte, 1+rtmpMessage)
	hello[0] = rtmpVersion
	rand.Read(hello[1+rtmpFixed:])
	_, unsent := conn.Write(hello)
	answer := make([]byte, 1+2*rtmpMessage)
	// The first bytes decide, lest a server of something else be waited for.
	n, err := io.ReadAtLeast(conn, answer, 1)
	if err != nil {
		return errors.Join(unsent, fmt.Errorf("reading S0: %w", err))
	}
	if answer[0] != rtmpVersion {
		return errNotRTMP
	}
	if _, err := io.ReadFull(conn, answer[n:]); err != nil {
		return fmt.Errorf("reading S1 and S2: %w", err)
	}
	if _, err := conn.Write(answer[1 : 1+rtmpMessage]); err != nil {
		return fmt.Errorf("writing C2: %w", err)
	}
	return nil
}

// noRTMP is the finding for a handshake that did not come about.
func (h *heard) noRTMP(err error) error {
	const what = "accepts connections but does not answer the RTMP handshake"
	var timeout net.Error
	switch late := errors.As(err, &timeout) && timeout.Timeout(); {
	case errors.Is(err, errNotRTMP):
		return found(WrongContent, "%s: %s", what, h.described())
	case h.total > 0 && late:
		return found(WrongContent, "%s: it begins one and stops", what)
	case h.total > 0:
		return found(WrongContent, "%s: it begins one and ends it", what)
	case late:
		return found(WrongContent, "%s: it says nothing", what)
	}
	return found(WrongContent, "%s: it closes the connection", what)
}
