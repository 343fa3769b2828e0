package inputs

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"ipivs.com/valtctl/installer/certificate"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step/system"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/textfile"
)

// Trust is the certificate authorities that a site names beside the system's.
type Trust []system.Authority

// ReadTrust reads the files that network.trust names. All that cannot be read are
// reported.
func ReadTrust(s *site.Site) (Trust, error) {
	var all Trust
	var errs []error
	for _, path := range s.Network.Trust {
		content, err := readRaw(path)
		if err != nil {
			errs = append(errs, missing(s, "network.trust", err))
			continue
		}
		content = asPEM(content)
		all = append(all, system.Authority{Name: pemName(path), PEM: string(content)})
	}
	return all, errors.Join(errs...)
}

// asPEM is an authority's file as the hosts take it. What cannot be read stays as it is, for
// Check to tell.
func asPEM(content []byte) []byte {
	if text, _, err := textfile.Decode(content); err == nil && bytes.Contains(text, []byte("-----BEGIN CERTIFICATE-----")) {
		return text
	}
	if all, err := certificate.Authorities(content); err == nil {
		return certificate.PEM(all)
	}
	return content
}

// Check wants each of them to be an authority's certificate.
func (t Trust) Check(s *site.Site) error {
	var errs []error
	for _, c := range t {
		if err := checkPEM([]byte(c.PEM)); err != nil {
			errs = append(errs, &problem.Error{Kind: problem.Input, Doing: "reading", Object: place(s, "network.trust") + ": " + c.Name,
				Err: err, Fix: "give a certificate authority as PEM"})
		}
	}
	return errors.Join(errs...)
}

// Pool is what the controller trusts: these and the system's.
func (t Trust) Pool() (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading the system's certificate authorities: %w", err)
	}
	for _, c := range t {
		pool.AppendCertsFromPEM([]byte(c.PEM))
	}
	return pool, nil
}

// PEM is all of them as one text.
func (t Trust) PEM() []byte {
	var text bytes.Buffer
	for _, a := range t {
		fmt.Fprintf(&text, "%s\n", a.PEM)
	}
	return text.Bytes()
}

func checkPEM(content []byte) error {
	block, _ := pem.Decode(content)
	if block == nil || block.Type != "CERTIFICATE" {
		return errors.New("it holds no certificate")
	}
	if _, err := x509.ParseCertificate(block.Bytes); err != nil {
		return fmt.Errorf("its certificate cannot be read: %w", err)
	}
	return nil
}

// pemName makes a file's name plain enough for /usr/local/share/ca-certificates.
func pemName(path string) string {
	base := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(base))
}
