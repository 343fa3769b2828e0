package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"ipivs.com/valtctl/installer/sockets"
)

// Carried is where a run's bundle answers on this host: a port on loopback that the agent
// carries to the controller. It is a secret of the run, and its password is good over the one connection
// that the agent has: it is worth nothing once the port is somebody else's.
type Carried struct {
	Address  string `json:"address"` // 127.0.0.1:port
	User     string `json:"user"`
	Password string `json:"password"`
}

// Port is the address's; 0 where there is none.
func (c Carried) Port() int {
	at, err := netip.ParseAddrPort(c.Address)
	if err != nil {
		return 0
	}
	return int(at.Port())
}

// Ours refuses an address at which another user of the host may answer: once the agent that
// listened there has ended anybody can, and would be told a password. Who asks is root, as the agent was.
func (c Carried) Ours() error {
	at, err := netip.ParseAddrPort(c.Address)
	if err == nil {
		err = sockets.Held("", at, os.Geteuid())
	}
	if err != nil {
		return fmt.Errorf("looking who listens where the bundle is to answer: %w", err)
	}
	return nil
}

// DialOurs connects to an address of the host's loopback, and lets go of it at once where that is not Ours. It is
// looked at once connected, so whoever was connected to is among those who are seen, or has left.
func DialOurs(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if err := (Carried{Address: address}).Ours(); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}

// ReadCarried reads a secret that holds one.
func ReadCarried(h *Machine, secret string) (Carried, error) {
	text, err := h.Secret(secret)
	if err != nil {
		return Carried{}, err
	}
	var c Carried
	if err := json.Unmarshal(text, &c); err != nil || !strings.HasPrefix(c.Address, "127.0.0.1:") {
		return Carried{}, fmt.Errorf("reading where the bundle answers: it is no port of this host (%w)", err)
	}
	return c, nil
}
