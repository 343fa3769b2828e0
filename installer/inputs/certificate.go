package inputs

import (
	"crypto/x509"
	"errors"
	"time"

	"ipivs.com/valtctl/installer/certificate"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
)

// Ask gets what a person alone knows, in answer to a question. Nil where nobody can be asked.
type Ask func(question string) ([]byte, error)

// ReadCertificate reads the site's certificate and key, in whatever form they were handed
// over. A key that is locked is unlocked with tls.password_file, or with what the person
// answers. The error is a problem of kind Input. A site without one of its own has none.
func ReadCertificate(s *site.Site, ask Ask) (*certificate.Pair, error) {
	t := s.TLS
	if !s.SSL || t.Certificate == "" && t.PKCS12 == "" {
		return nil, nil
	}
	var errs []error
	read := func(field, path string) []byte {
		content, err := readRaw(path)
		if err != nil {
			errs = append(errs, missing(s, field, err))
		}
		return content
	}
	f, named := certificate.Files{}, "tls.certificate"
	if t.PKCS12 != "" {
		named = "tls.pkcs12"
		f.PKCS12 = read(named, t.PKCS12)
	} else {
		f.Certificate = read(named, t.Certificate)
	}
	if t.KeyFile != "" {
		f.Key = read("tls.key_file", t.KeyFile)
	} else if t.PKCS12 == "" {
		errs = append(errs, missing(s, "tls", errors.New("the site file has no tls.key_file")))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	f.Passphrase = passphrase(s, ask)
	pair, err := certificate.Read(f)
	if err != nil {
		return nil, &problem.Error{Kind: problem.Input, Doing: "reading", Object: place(s, "tls"), Err: err, Fix: certificateFix(err)}
	}
	return pair, nil
}

func certificateFix(err error) string {
	if errors.Is(err, certificate.ErrPassphrase) {
		return "put the passphrase into a file of its own and write tls: with password_file: and that file's path, or run valtctl at a terminal"
	}
	return "give the certificate with its chain and the key that belongs to it, for the name that clients type"
}

// passphrase is how a locked key is unlocked: by its file, or else by asking. Nil: not at all.
func passphrase(s *site.Site, ask Ask) func() ([]byte, error) {
	if file := s.TLS.PasswordFile; file != "" {
		return func() ([]byte, error) { return FirstLine(file) }
	}
	if ask == nil {
		return nil
	}
	locked := s.TLS.PKCS12
	if locked == "" {
		locked = s.TLS.KeyFile
	}
	return func() ([]byte, error) { return ask("Passphrase of " + locked + ": ") }
}

// ChainMissing says which certificate the chain of the site lacks, as this machine and the
// site see it; empty: none, or it cannot be said here.
func ChainMissing(pair *certificate.Pair, trust Trust, now time.Time) string {
	pool, err := trust.Pool()
	if err != nil || pair == nil || pool.Equal(x509.NewCertPool()) {
		return ""
	}
	return pair.Missing(pool, now)
}
