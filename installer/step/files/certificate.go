package files

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"ipivs.com/valtctl/installer/step"
)

// expiryNotice is how long before its end a certificate is spoken of.
const expiryNotice = 30 * 24 * time.Hour

// CertificateParams is the site's certificate and key. The chain is public and stands
// in the plan; the key is a secret.
type CertificateParams struct {
	Name        string `json:"name"` // what clients type
	Certificate string `json:"certificate"`
	KeySecret   string `json:"key_secret"`
	Path        string `json:"path"`
	KeyPath     string `json:"key_path"`
	Release     Named  `json:"release,omitempty"` // what names both paths; empty: valtctl
}

// KindCertificate names what CertificateKind makes.
const KindCertificate step.KindName = "certificate"

// CertificateKind writes the site's certificate and key, as a pair or not at all.
func CertificateKind() step.Kind {
	return step.KindOf(KindCertificate, step.Reversible, func(p CertificateParams) (step.Step, error) { return newCertificate(p) })
}

type certificate struct {
	CertificateParams
	chain, key *File
}

func newCertificate(p CertificateParams) (*certificate, error) {
	chain, err := NewFile(FileParams{Path: p.Path, Mode: "0644", Content: p.Certificate, Release: p.Release})
	if err != nil {
		return nil, err
	}
	key, err := NewFile(FileParams{Path: p.KeyPath, Mode: "0600", Secret: p.KeySecret, Release: p.Release})
	if err != nil {
		return nil, err
	}
	return &certificate{p, chain, key}, nil
}

func (c *certificate) Inspect(ctx context.Context, h *step.Machine) (step.Finding, error) {
	notes, err := c.check(h)
	if err != nil {
		return step.Finding{}, err
	}
	found, err := c.chain.Inspect(ctx, h)
	if err != nil {
		return step.Finding{}, err
	}
	key, err := c.key.Inspect(ctx, h)
	if err != nil {
		return step.Finding{}, err
	}
	return step.Finding{Change: found.Change || key.Change, Diff: found.Diff + key.Diff, Disrupts: step.Nothing, Notes: notes}, nil
}

func (c *certificate) Apply(ctx context.Context, h *step.Machine) error {
	if _, err := c.check(h); err != nil {
		return err
	}
	// The key first: a server that reads between the two finds its old chain and a
	// key that does not match and says so, rather than no key at all.
	return errors.Join(c.key.Apply(ctx, h), c.chain.Apply(ctx, h))
}

// Undo puts back chain and key.
func (c *certificate) Undo(_ context.Context, h *step.Machine) error {
	_, err := step.PutBack(h)
	return err
}

func (c *certificate) check(h *step.Machine) ([]string, error) {
	key, err := h.Secret(c.KeySecret)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate's key: %w", err)
	}
	leaf, err := CheckCertificate([]byte(c.Certificate), key, c.Name, h.Now())
	if err != nil {
		return nil, err
	}
	if left := leaf.NotAfter.Sub(h.Now()); left < expiryNotice {
		return []string{fmt.Sprintf("the certificate for %s expires on %s", c.Name, leaf.NotAfter.UTC().Format(time.DateOnly))}, nil
	}
	return nil, nil
}

// CheckCertificate proves that a PEM chain and key belong together, are for name and are
// valid at now, and returns the leaf. It does not judge who issued it: clients do.
func CheckCertificate(chain, key []byte, name string, now time.Time) (*x509.Certificate, error) {
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("checking the certificate for %s against its key: %w", name, err)
	}
	return pair.Leaf, checkLeaf(pair.Leaf, name, now)
}

// CheckChain is CheckCertificate before there is a key.
func CheckChain(chain []byte, name string, now time.Time) (*x509.Certificate, error) {
	block, _ := pem.Decode(chain)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("the file does not begin with a PEM certificate")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate for %s: %w", name, err)
	}
	return leaf, checkLeaf(leaf, name, now)
}

func checkLeaf(leaf *x509.Certificate, name string, now time.Time) error {
	if err := leaf.VerifyHostname(name); err != nil {
		return fmt.Errorf("checking the certificate for %s: %w", name, err)
	}
	if now.After(leaf.NotAfter) {
		return fmt.Errorf("checking the certificate for %s: it expired on %s", name, leaf.NotAfter.UTC().Format(time.DateOnly))
	}
	if now.Before(leaf.NotBefore) {
		return fmt.Errorf("checking the certificate for %s: it is valid only from %s; is the clock right?", name, leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	return nil
}
