package remote

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
	xknownhosts "golang.org/x/crypto/ssh/knownhosts"

	"ipivs.com/valtctl/repos/problem"
)

// hostKeys judges host keys by known_hosts files.
type hostKeys struct{ db *knownhosts.HostKeyDB }

// readHostKeys reads the files that exist.
func readHostKeys(files []string) (hostKeys, error) {
	var present []string
	for _, f := range files {
		if _, err := os.Stat(f); err == nil {
			present = append(present, f)
		} else if !errors.Is(err, os.ErrNotExist) {
			return hostKeys{}, fmt.Errorf("reading known hosts: %w", err)
		}
	}
	db, err := knownhosts.NewDB(present...)
	if err != nil {
		return hostKeys{}, &problem.Error{Kind: problem.Input, Doing: "reading", Object: strings.Join(present, ", "), Err: err,
			Fix: "correct the line, or remove it and run valtctl trust for its host"}
	}
	return hostKeys{db}, nil
}

// algorithms are those of the keys known for addr, so that a server with several keys
// shows one that is known. Empty: none is known.
func (k hostKeys) algorithms(addr string) []string { return k.db.HostKeyAlgorithms(addr) }

// check is the callback for h. Its error is a problem of kind Trust.
func (k hostKeys) check(h hop) ssh.HostKeyCallback {
	known := k.db.HostKeyCallback()
	// The address behind a name is not asked for: known_hosts is asked for what the
	// site file names alone, else a reused address would read as a changed key.
	nowhere := &net.TCPAddr{IP: net.IPv4zero}
	return func(addr string, _ net.Addr, key ssh.PublicKey) error {
		return explainHostKey(h, key, known(addr, nowhere, key))
	}
}

func explainHostKey(h hop, key ssh.PublicKey, err error) error {
	if err == nil {
		return nil
	}
	shown := key.Type() + " " + ssh.FingerprintSHA256(key)
	trusting := &problem.Error{Kind: problem.Trust, Doing: "checking the host key of", Object: h.String()}
	var unknown *xknownhosts.KeyError
	var revoked *xknownhosts.RevokedError
	switch {
	case errors.As(err, &revoked):
		trusting.Err = fmt.Errorf("%w: it shows %s, which %s:%d revokes", ErrHostKey, shown, revoked.Revoked.Filename, revoked.Revoked.Line)
		trusting.Fix = "do not go on. Find out who answers at this address"
	case errors.As(err, &unknown) && len(unknown.Want) == 0:
		trusting.Err = fmt.Errorf("%w: it shows %s and none is known for it", ErrHostKey, shown)
		trusting.Fix = fmt.Sprintf("compare the fingerprint with the host's own, then run: valtctl trust %s", trustName(h))
	case errors.As(err, &unknown):
		trusting.Err = fmt.Errorf("%w: it has changed: it shows %s, known is %s", ErrHostKey, shown, wanted(unknown.Want))
		trusting.Fix = fmt.Sprintf("if the host was reinstalled, compare the fingerprint with its own and run: valtctl trust %s. Otherwise somebody else may be answering", trustName(h))
	default:
		trusting.Err = fmt.Errorf("%w: %w", ErrHostKey, err)
	}
	return trusting
}

// explainKeyKind is explainHostKey for a server that no longer has any key of the kinds
// known, and so shows none that could be compared.
func explainKeyKind(h hop, kinds *ssh.AlgorithmNegotiationError) error {
	return &problem.Error{Kind: problem.Trust, Doing: "checking the host key of", Object: h.String(),
		Err: fmt.Errorf("%w: it has changed: it has only %s, known is %s", ErrHostKey,
			strings.Join(kinds.RequestedAlgorithms, ", "), strings.Join(kinds.SupportedAlgorithms, ", ")),
		Fix: fmt.Sprintf("if the host was reinstalled, compare the fingerprint with its own and run: valtctl trust %s. Otherwise somebody else may be answering", trustName(h))}
}

func wanted(keys []xknownhosts.KnownKey) string {
	var all []string
	for _, k := range keys {
		all = append(all, fmt.Sprintf("%s %s (%s:%d)", k.Key.Type(), ssh.FingerprintSHA256(k.Key), k.Filename, k.Line))
	}
	return strings.Join(all, ", ")
}

// trustName is how `valtctl trust` is told of the hop.
func trustName(h hop) string {
	if h.name != h.host || h.port == 22 {
		return h.name
	}
	return h.addr()
}
