package cases

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	number "math/big"
	"net"
	"net/netip"
	"sync"
	"time"
)

// impostors are servers of this scenario's own, on the controller's address of the lab's network. Each
// answers whoever comes with the same, whatever is asked.
type impostors struct {
	address netip.Addr
	mu      sync.Mutex
	all     []net.Listener
	met     map[string]int // how often each was asked
}

// impostor answers at a port of its own, over TLS where it has a certificate.
func (i *impostors) impostor(name string, certificate *tls.Certificate, answer func(net.Conn) error) (netip.AddrPort, error) {
	l, err := net.Listen("tcp", netip.AddrPortFrom(i.address, 0).String())
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("listening as %s: %w", name, err)
	}
	at := netip.AddrPortFrom(i.address, uint16(l.Addr().(*net.TCPAddr).Port))
	if certificate != nil {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*certificate}})
	}
	i.mu.Lock()
	i.all = append(i.all, l)
	i.mu.Unlock()
	go i.serve(l, name, answer)
	return at, nil
}

// patienceOfImpostors bounds each of their conversations.
const patienceOfImpostors = time.Minute

func (i *impostors) serve(l net.Listener, name string, answer func(net.Conn) error) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		i.mu.Lock()
		i.met[name]++
		i.mu.Unlock()
		go func() {
			defer conn.Close()
			if conn.SetDeadline(time.Now().Add(patienceOfImpostors)) == nil {
				_ = answer(conn) // whoever asked may have had enough
			}
		}()
	}
}

func (i *impostors) end() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	var errs []error
	for _, l := range i.all {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

// unmet names those of the impostors that nobody asked.
func (i *impostors) unmet(names ...string) (all []string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, n := range names {
		if i.met[n] == 0 {
			all = append(all, n)
		}
	}
	return all
}

// saying reads what it is asked, as far as it comes at once, and says a text.
func saying(text string) func(net.Conn) error {
	return func(conn net.Conn) error {
		if _, err := conn.Read(make([]byte, 4<<10)); err != nil {
			return err
		}
		_, err := io.WriteString(conn, text)
		return err
	}
}

// flooding begins as it is told and goes on for as many bytes, without the end of a line.
func flooding(begin string, most int) func(net.Conn) error {
	return func(conn net.Conn) error {
		if err := saying(begin)(conn); err != nil {
			return err
		}
		block := bytes.Repeat([]byte("A"), 64<<10)
		for sent := 0; sent < most; sent += len(block) {
			if _, err := conn.Write(block); err != nil {
				return err
			}
		}
		return nil
	}
}

// named is a certificate by an issuer of that name, whom nobody trusts.
func named(issuer string, address netip.Addr, now time.Time) (*tls.Certificate, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("making a key: %w", err)
	}
	subject := pkix.Name{CommonName: issuer, Organization: []string{issuer}}
	template := &x509.Certificate{SerialNumber: number.NewInt(now.UnixNano()), Subject: subject, Issuer: subject, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IPAddresses: []net.IP{address.AsSlice()}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, fmt.Errorf("making a certificate: %w", err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, der, nil
}

// newImpostors has them end with the context.
func (e *Env) newImpostors(ctx context.Context) *impostors {
	i := &impostors{address: e.Lab.Controller(), met: map[string]int{}}
	context.AfterFunc(ctx, func() { _ = i.end() })
	return i
}
