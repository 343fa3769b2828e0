package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/certificate"
	"ipivs.com/valtctl/installer/inputs"
	"ipivs.com/valtctl/installer/step/files"
	"ipivs.com/valtctl/installer/wizard"
	"ipivs.com/valtctl/repos/textfile"
)

// certificate looks at the file of a certificate, or of its key once the certificate is known.
func (l *looker) certificate(q wizard.Question, text string) (string, error) {
	content, err := l.bytesOf(text)
	if err != nil {
		return "", err
	}
	if q.Aspect == wizard.AsKey {
		chain, err := l.bytesOf(l.g.Value("tls.certificate"))
		if err == nil {
			_, err = certificate.ReadChain(chain)
		}
		if err != nil {
			return "", nil // it was said at the certificate
		}
		if err := l.pair(certificate.Files{Certificate: chain, Key: content}); err != nil {
			return "", &wizard.Wrong{What: err.Error(), Fix: "give the key that belongs to the certificate"}
		}
		return "it belongs to the certificate", nil
	}
	p, err := certificate.ReadChain(content)
	if wizard.IsPKCS12(text) {
		p, err = certificate.Read(certificate.Files{PKCS12: content, Passphrase: l.passphrase()})
		if errors.Is(err, certificate.ErrPassphrase) {
			return "", nil // it is asked for next, or when it is installed
		}
	}
	if err == nil {
		_, err = files.CheckChain(certificate.PEM(p.Chain), l.g.Value("name"), l.a.now())
	}
	if err != nil {
		return "", &wizard.Wrong{What: err.Error(), Fix: "give the certificate with its chain, for the name that clients type"}
	}
	leaf := p.Chain[0]
	told := fmt.Sprintf("for %s, from %s, until %s", strings.Join(leaf.DNSNames, ", "), leaf.Issuer.CommonName, leaf.NotAfter.UTC().Format(time.DateOnly))
	// No reason to stop here: the customer's own authority may be named later on (network.trust).
	if lacks := p.Missing(l.roots(), l.a.now()); lacks != "" {
		told += "; but " + lacks + ", and phones refuse it: " + certificate.MissingFix
	}
	return told, nil
}

// pair wants chain and key to belong together. Of a locked key that nobody unlocks here no
// more is known.
func (l *looker) pair(f certificate.Files) error {
	f.Passphrase = l.passphrase()
	p, err := certificate.Read(f)
	if errors.Is(err, certificate.ErrPassphrase) {
		return nil
	}
	if err != nil {
		return err
	}
	key, err := p.KeyPEM()
	if err == nil {
		_, err = files.CheckCertificate(p.ChainPEM(), key, l.g.Value("name"), l.a.now())
	}
	return err
}

// passphrase unlocks with the file that was named for it; nil: none was.
func (l *looker) passphrase() func() ([]byte, error) {
	file := l.g.Value("tls.password_file")
	if file == "" {
		return nil
	}
	return func() ([]byte, error) { return inputs.FirstLine(l.g.Path(file)) }
}

// roots are the authorities that this machine trusts, and those that the site file names.
func (l *looker) roots() *x509.CertPool {
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if s, err := l.g.Site(); err == nil {
		if trust, err := inputs.ReadTrust(s); err == nil {
			pool.AppendCertsFromPEM(trust.PEM())
		}
	}
	return pool
}

// bytesOf are those of a file that is an answer, which may be no text.
func (l *looker) bytesOf(text string) ([]byte, error) {
	content, err := textfile.ReadRaw(l.g.Path(text), maxAnswerFile)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", &wizard.Wrong{What: fmt.Sprintf("it cannot be read: %v", err), Fix: "put the file there, or write where it is"}, err)
	}
	return content, nil
}
