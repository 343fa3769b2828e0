package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Scanned is what a server shows of itself before anybody logs in.
type Scanned struct {
	Addr  string          // host:port, as known_hosts is asked for it
	Keys  []ssh.PublicKey // best first
	Known bool            // the known_hosts files already accept every key
}

// Scan asks the host that o names for its host keys, through its jump hosts, which have
// to be trusted already. It does not log in at the host itself.
func Scan(ctx context.Context, o Options) (Scanned, error) {
	o = o.withDefaults()
	hops, err := route(o)
	if err != nil {
		return Scanned{}, err
	}
	keys, err := readHostKeys(o.KnownHosts)
	if err != nil {
		return Scanned{}, err
	}
	chain := &sshRunner{dial: o.Dial, done: make(chan struct{})}
	defer chain.Close()
	target := hops[len(hops)-1]
	for _, h := range hops[:len(hops)-1] {
		client, err := chain.login(ctx, h, o, keys)
		if err != nil {
			return Scanned{}, err
		}
		chain.append(client)
	}
	found := Scanned{Addr: target.addr(), Known: true}
	var failed []error
	for _, algorithms := range keyKinds() {
		key, err := chain.askKey(ctx, target, o, algorithms)
		if err != nil {
			if failed = append(failed, err); errors.Is(err, ErrTimeout) || errors.Is(err, ErrRefused) || errors.Is(err, errPunished) {
				break
			}
			continue
		}
		found.Keys = append(found.Keys, key)
		found.Known = found.Known && keys.check(target)(target.addr(), &net.TCPAddr{}, key) == nil
	}
	if len(found.Keys) == 0 || ctx.Err() != nil {
		return Scanned{}, failed[0]
	}
	return found, nil
}

// keyKinds are the algorithms for each kind of host key, since a server shows one a
// connection.
func keyKinds() [][]string {
	return [][]string{
		{ssh.KeyAlgoED25519},
		{ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521},
		{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
	}
}

// errSeen ends a handshake once the host key is known.
var errSeen = errors.New("the host key is seen")

// askKey asks for the host key of one kind. That the server has none is an error too,
// because some servers hang up so fast that it reads like any other.
func (r *sshRunner) askKey(ctx context.Context, h hop, o Options, algorithms []string) (key ssh.PublicKey, err error) {
	err = askPatiently(ctx, h, o, func() (err error) {
		key, err = r.askKeyOnce(ctx, h, o, algorithms)
		return err
	})
	return key, err
}

func (r *sshRunner) askKeyOnce(ctx context.Context, h hop, o Options, algorithms []string) (ssh.PublicKey, error) {
	conn, err := r.open(ctx, h, o.ConnectTimeout)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	timer := newPatience(o.LoginTimeout, func() { conn.Close() })
	defer timer.end()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var seen ssh.PublicKey
	server := &greetedConn{Conn: conn}
	_, _, _, err = ssh.NewClientConn(server, h.addr(), &ssh.ClientConfig{
		User: h.user, HostKeyAlgorithms: algorithms, ClientVersion: clientVersion,
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			seen = key
			return errSeen
		},
	})
	switch {
	case seen != nil:
		return seen, nil
	case timer.expired():
		return nil, h.problem(fmt.Errorf("%w: %w", ErrTimeout, err), "something that is not sshd may answer there")
	case strings.HasPrefix(server.said(), punished):
		return nil, explainPenalty(h, err)
	}
	return nil, h.problem(err, "")
}
