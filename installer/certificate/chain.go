package certificate

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// pairOf finds the leaf and those that issued it. Without a key the leaf is the first that is
// no authority, or else the first.
func pairOf(all []*x509.Certificate, key crypto.PrivateKey) (*Pair, error) {
	leaf, err := leafOf(all, key)
	if err != nil {
		return nil, err
	}
	p := &Pair{Chain: []*x509.Certificate{leaf}, Key: key}
	for last := leaf; !selfSigned(last); {
		next := issuerOf(last, all)
		if next == nil || slices.ContainsFunc(p.Chain, next.Equal) {
			break
		}
		p.Chain, last = append(p.Chain, next), next
	}
	for _, c := range all {
		if !slices.ContainsFunc(p.Chain, c.Equal) && !slices.ContainsFunc(p.Beside, c.Equal) {
			p.Beside = append(p.Beside, c)
		}
	}
	return p, nil
}

func leafOf(all []*x509.Certificate, key crypto.PrivateKey) (*x509.Certificate, error) {
	if key == nil {
		i := max(0, slices.IndexFunc(all, func(c *x509.Certificate) bool { return !c.IsCA }))
		return all[i], nil
	}
	public, err := publicOf(key)
	if err != nil {
		return nil, err
	}
	var leaf *x509.Certificate
	for _, c := range all {
		if public.Equal(c.PublicKey) && (leaf == nil || c.NotAfter.After(leaf.NotAfter)) {
			leaf = c
		}
	}
	if leaf == nil {
		return nil, fmt.Errorf("the private key does not match the certificate of %s", strings.Join(names(all), ", "))
	}
	return leaf, nil
}

// equaler is what every public key of the standard library has.
type equaler interface {
	Equal(other crypto.PublicKey) bool
}

func publicOf(key crypto.PrivateKey) (equaler, error) {
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of the kind %T cannot serve TLS", key)
	}
	public, ok := signer.Public().(equaler)
	if !ok {
		return nil, fmt.Errorf("a key of the kind %T cannot serve TLS", key)
	}
	return public, nil
}

// issuerOf is the certificate that signed c; of several, the one that lasts longest.
func issuerOf(c *x509.Certificate, all []*x509.Certificate) *x509.Certificate {
	var found *x509.Certificate
	for _, other := range all {
		if bytes.Equal(other.RawSubject, c.RawIssuer) && !other.Equal(c) && c.CheckSignatureFrom(other) == nil && (found == nil || other.NotAfter.After(found.NotAfter)) {
			found = other
		}
	}
	return found
}

func selfSigned(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

// Missing says which certificate the chain lacks: the one between its last and an authority
// that is trusted. Browsers on computers often find it by themselves; phones do not. Empty:
// it is whole, or its end is its own authority.
func (p *Pair) Missing(roots *x509.CertPool, now time.Time) string {
	last := p.Chain[len(p.Chain)-1]
	if selfSigned(last) {
		return ""
	}
	// Only whether an authority issued it is asked; names and uses are judged elsewhere.
	if _, err := last.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: within(last, now), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err == nil || !unknownAuthority(err) {
		return ""
	}
	what := fmt.Sprintf("the chain lacks the certificate of %q, which issued that of %q", nameOf(last.Issuer.CommonName, last.Issuer.String()), names([]*x509.Certificate{last})[0])
	if len(last.IssuingCertificateURL) > 0 {
		what += "; it is at " + last.IssuingCertificateURL[0]
	}
	return what
}

// MissingFix is what to do about a chain that is not whole.
const MissingFix = "append that certificate to the file, as its authority offers it (often as \"intermediate\" or \"bundle\"); if it is the customer's own authority, name its certificate under network.trust"

// within is now, or a time at which the certificate is valid.
func within(c *x509.Certificate, now time.Time) time.Time {
	if now.Before(c.NotBefore) || now.After(c.NotAfter) {
		return c.NotBefore
	}
	return now
}

func unknownAuthority(err error) bool {
	var unknown x509.UnknownAuthorityError
	return errors.As(err, &unknown)
}

// names are what certificates are for.
func names(all []*x509.Certificate) []string {
	var list []string
	for _, c := range all {
		name := nameOf(c.Subject.CommonName, c.Subject.String())
		if len(c.DNSNames) > 0 {
			name = c.DNSNames[0]
		}
		list = append(list, name)
	}
	return list
}

func nameOf(common, whole string) string {
	if common != "" {
		return common
	}
	return whole
}
