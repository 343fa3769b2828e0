package probe

import (
	"crypto/x509"
	"net"
	"time"
)

// Env is what the machine gives to whoever asks questions from it.
type Env struct {
	Now      func() time.Time
	Roots    *x509.CertPool // authorities for TLS; nil: the machine's own
	Resolver *net.Resolver  // nil: the machine's own, as Go reads it
	Root     string         // of files; empty: /
}
