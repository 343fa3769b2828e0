// Package pki makes the practice site's secrets: its certificate authority and
// certificates, its SSH keys, and the OpenPGP keys its package mirrors are signed
// with. They are made once per lab and kept in its folder. None is worth anything
// outside it.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/netip"
	"time"
)

// Pair is a certificate chain, leaf first, and its key, both PEM.
type Pair struct {
	Certificate, Key []byte
}

// life is how long the lab's certificates last: longer than any lab, shorter than
// what clients refuse (398 days, CA/Browser Forum baseline requirements 6.3.2).
const life = 390 * 24 * time.Hour

// NewCA makes a certificate authority that is valid from a day before now, so that
// hosts whose clock is behind accept it.
func NewCA(now time.Time, name string) (Pair, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name, Organization: []string{"VALT practice site"}},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	key, err := newKey()
	if err != nil {
		return Pair{}, err
	}
	return issue(now, template, key, nil)
}

// Issue makes a server certificate for the names and addresses under the authority.
// The chain holds the leaf alone: the authority is what clients have already.
func (ca Pair) Issue(now time.Time, names []string, addresses []netip.Addr) (Pair, error) {
	key, err := newKey()
	if err != nil {
		return Pair{}, err
	}
	return ca.issueTo(key, now, names, addresses)
}

// IssueRSA is Issue with an RSA key, for servers that take no other: Debian 12's OpenSMTPD
// does not sign with ECDSA.
func (ca Pair) IssueRSA(now time.Time, names []string, addresses []netip.Addr) (Pair, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return Pair{}, fmt.Errorf("making a key: %w", err)
	}
	return ca.issueTo(key, now, names, addresses)
}

func newKey() (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making a key: %w", err)
	}
	return key, nil
}

func (ca Pair) issueTo(key crypto.Signer, now time.Time, names []string, addresses []netip.Addr) (Pair, error) {
	template := &x509.Certificate{
		DNSNames:    names,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if len(names) > 0 {
		template.Subject = pkix.Name{CommonName: names[0]}
	}
	for _, a := range addresses {
		template.IPAddresses = append(template.IPAddresses, a.AsSlice())
	}
	return issue(now, template, key, &ca)
}

// issue fills what all certificates have and signs; without an issuer the
// certificate signs itself.
func issue(now time.Time, template *x509.Certificate, key crypto.Signer, issuer *Pair) (Pair, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return Pair{}, fmt.Errorf("drawing a serial number: %w", err)
	}
	template.SerialNumber = serial
	template.NotBefore, template.NotAfter = now.Add(-24*time.Hour), now.Add(life)
	parent, signer := template, any(key)
	if issuer != nil {
		if parent, signer, err = issuer.parse(); err != nil {
			return Pair{}, err
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return Pair{}, fmt.Errorf("signing the certificate of %s: %w", template.Subject.CommonName, err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("writing the key: %w", err)
	}
	return Pair{
		Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}, nil
}

func (ca Pair) parse() (*x509.Certificate, any, error) {
	certBlock, _ := pem.Decode(ca.Certificate)
	keyBlock, _ := pem.Decode(ca.Key)
	if certBlock == nil || keyBlock == nil {
		return nil, nil, fmt.Errorf("reading the authority: not PEM")
	}
	certificate, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the authority's certificate: %w", err)
	}
	key, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, nil, fmt.Errorf("reading the authority's key: %w", err)
	}
	return certificate, key, nil
}
