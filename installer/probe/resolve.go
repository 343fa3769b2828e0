package probe

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
)

// Resolve asks a name server for the IPv4 addresses of one name over a connection of UDP, again where the
// first packet seems lost, until the deadline of ctx. An answer without a usable address is an error that
// says so; so is none.
func (e Env) Resolve(ctx context.Context, name string, conn net.Conn) error {
	id := binary.BigEndian.Uint16([]byte(rand.Text()))
	packet, err := dnsQuery(id, name)
	if err != nil {
		return err
	}
	var reply dnsReply
	err = e.repeat(ctx, conn, packet, func(answer []byte) bool {
		var bad error
		reply, bad = readDNS(answer, id, name)
		return bad == nil
	})
	switch {
	case timedOut(err):
		return errors.New("no answer comes back")
	case err != nil:
		return err
	}
	if wrong := judgeName(reply); wrong != "" && !reply.truncated {
		return errors.New("it " + wrong)
	}
	return nil
}
