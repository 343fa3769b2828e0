// Package agent is what controller and agent say to each other over the one channel
// that installer/remote opens. The channel carries a yamux session: its first stream is
// JSON-RPC 2.0 (jrpc2) for typed calls, and bytes in bulk, events and tunnels have
// streams of their own beside it, each named by one line at its start. Nothing waits for
// an acknowledgement: a call costs one round trip, the first one included. What the
// methods do is given in by the caller (Handlers); nothing here reads a host, and nothing
// here is ever logged, because parameters hold secrets. What either side takes of the other
// is limited (Limits): neither is trusted with the other's memory.
package agent

import (
	"io"
	"time"

	"github.com/hashicorp/yamux"
)

// settings are those of one end of a session, which takes so much of the other. A laptop's link that is cut for a
// minute comes back to a living session; one that stays away ends within two, and
// with it the agent on the host.
func settings(l Limits) *yamux.Config {
	c := yamux.DefaultConfig()
	c.KeepAliveInterval = 20 * time.Second
	c.ConnectionWriteTimeout = 90 * time.Second
	c.StreamOpenTimeout = 90 * time.Second
	c.MaxStreamWindowSize = l.Window
	c.AcceptBacklog = l.Streams
	c.LogOutput = io.Discard // ends are reported by the calls they cut off
	return c
}
