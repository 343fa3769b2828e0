package inputs

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step/files"
	"ipivs.com/valtctl/repos/problem"
)

// Material is the content of the files that a site file names.
type Material struct {
	Trust       Trust
	certificate string            // the chain, in its order
	lacks       string            // of the chain
	key         []byte            // the certificate's
	registry    []byte            // the registry's password
	licences    map[string][]byte // by host
}

// ReadMaterial reads every file of the site that an installation needs, and judges it at
// now as the hosts will. All that are missing or wrong are reported at once, as problems of
// kind Input.
func ReadMaterial(s *site.Site, now time.Time, ask Ask) (*Material, error) {
	m := &Material{licences: map[string][]byte{}}
	if err := s.NeededForInstall(); err != nil {
		return nil, err
	}
	var errs []error
	read := func(field, path string) []byte {
		content, err := readText(path)
		if err != nil {
			errs = append(errs, missing(s, field, err))
		}
		return content
	}
	trust, err := ReadTrust(s)
	m.Trust, errs = trust, append(errs, err)
	unread := m.readCertificate(s, ask, now)
	if s.Registry.PasswordFile != "" {
		m.registry = bytes.TrimSpace(read("registry.password_file", s.Registry.PasswordFile))
	}
	for i, h := range s.Hosts {
		if h.HasLicenceKey() {
			m.licences[h.Name] = read(fmt.Sprintf("hosts[%d].wowza.key_file", i), h.Wowza.KeyFile)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(unread, err)
	}
	return m, errors.Join(unread, m.check(s, now))
}

// readCertificate reads chain and key, as they are installed.
func (m *Material) readCertificate(s *site.Site, ask Ask, now time.Time) error {
	pair, err := ReadCertificate(s, ask)
	if err != nil || pair == nil {
		return err
	}
	m.certificate, m.lacks = string(pair.ChainPEM()), ChainMissing(pair, m.Trust, now)
	if m.key, err = pair.KeyPEM(); err != nil {
		return &problem.Error{Kind: problem.Input, Doing: "reading", Object: place(s, "tls"), Err: err, Fix: "give a key of RSA or ECDSA"}
	}
	return nil
}

// Lacks says which certificate the site's chain lacks; empty: none.
func (m *Material) Lacks() string { return m.lacks }

// check judges what was read as the hosts will, so that a wrong file is told before
// any host is asked.
func (m *Material) check(s *site.Site, now time.Time) error {
	var errs []error
	if m.certificate != "" { // or it could not be read
		if _, err := files.CheckCertificate([]byte(m.certificate), m.key, s.Name, now); err != nil {
			errs = append(errs, &problem.Error{Kind: problem.Input, Doing: "reading", Object: place(s, "tls"), Err: err,
				Fix: "give the certificate chain (leaf first) and the key that belongs to it, for the name that clients type"})
		}
	}
	for i, h := range s.Hosts {
		key, ok := m.licences[h.Name]
		if !ok {
			continue
		}
		if err := files.CheckLicence(key); err != nil {
			errs = append(errs, &problem.Error{Kind: problem.Input, Doing: "reading", Object: place(s, fmt.Sprintf("hosts[%d].wowza.key_file", i)),
				Err: err, Fix: "put the licence key, one line, into " + h.Wowza.KeyFile})
		}
	}
	return errors.Join(append(errs, m.Trust.Check(s))...)
}

// Public is what of it may stand in a plan.
func (m *Material) Public() plan.Public {
	return plan.Public{Certificate: m.certificate, Trust: m.Trust}
}

// Secrets are what one host's steps may ask for.
func (m *Material) Secrets(host string) map[string][]byte {
	all := map[string][]byte{}
	for name, value := range map[string][]byte{
		plan.SecretCertificateKey: m.key, plan.SecretRegistryPassword: m.registry, plan.SecretLicence: m.licences[host],
	} {
		if len(value) > 0 {
			all[name] = value
		}
	}
	return all
}
