package lab

import (
	"bytes"
	"net/netip"
	"os"
)

// resolver is the path of the resolv.conf(5) for a host.
func (l *Lab) resolver(h Host) (string, error) {
	if h.Behind == "" {
		return l.writeResolver(l.Path("hosts", "resolv.conf"), l.World())
	}
	return l.writeResolver(l.Path("hosts", "resolv.conf.behind-"+h.Behind), l.worldFor(h))
}

func (l *Lab) writeResolver(path string, server netip.Addr) (string, error) {
	want := []byte("nameserver " + server.String() + "\n")
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, want) {
		return path, nil // a new file in its place would not be the one the containers have
	}
	return path, writeFile(path, want, 0o644)
}
