package remote

import (
	"bytes"

	"github.com/skeema/knownhosts"
)

// Reached is how a host is reached, with what the options leave open filled in.
type Reached struct {
	User string
	Port int
	// KnownHosts are the lines of its trusted host keys, for a known_hosts file of another
	// machine. Empty: none is known.
	KnownHosts []byte
}

// HowReached says how Dial would log in, without doing so.
func HowReached(o Options) (Reached, error) {
	o = o.withDefaults()
	hops, err := route(o)
	if err != nil {
		return Reached{}, err
	}
	keys, err := readHostKeys(o.KnownHosts)
	if err != nil {
		return Reached{}, err
	}
	last := hops[len(hops)-1]
	var lines bytes.Buffer
	for _, k := range keys.db.HostKeys(last.addr()) {
		lines.WriteString(knownhosts.Line([]string{last.addr()}, k.PublicKey) + "\n")
	}
	return Reached{User: last.user, Port: last.port, KnownHosts: lines.Bytes()}, nil
}
