package installer

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

// maxMaterial caps each file that a site file names, in bytes.
const maxMaterial = 1 << 20

// material is the content of the files that a site file names.
type material struct {
	public   plan.Public
	key      []byte            // the certificate's
	registry []byte            // the registry's password
	licences map[string][]byte // by host
}

// readMaterial reads every file of the site that an installation needs. All that are
// missing or wrong are reported at once.
func readMaterial(s *site.Site, now time.Time) (*material, error) {
	m := &material{licences: map[string][]byte{}}
	errs := []error{s.NeededForInstall()}
	if errs[0] != nil {
		return nil, errs[0]
	}
	read := func(field, path string) []byte {
		content, err := readCapped(path)
		if err != nil {
			errs = append(errs, &problem.Error{Kind: problem.Input, Doing: "reading", Object: place(s, field),
				Err: err, Fix: "put the file there, or name another in the site file"})
		}
		return content
	}
	trust, err := readTrust(s)
	m.public.Trust, errs = trust, append(errs, err)
	if s.SSL && s.TLS.Certificate != "" {
		m.public.Certificate = string(read("tls.certificate", s.TLS.Certificate))
		m.key = read("tls.key_file", s.TLS.KeyFile)
	}
	if s.Registry.PasswordFile != "" {
		m.registry = []byte(strings.TrimSpace(string(read("registry.password_file", s.Registry.PasswordFile))))
	}
	for i, h := range s.Hosts {
		if h.HasLicenceKey() {
			m.licences[h.Name] = read(fmt.Sprintf("hosts[%d].wowza.key_file", i), h.Wowza.KeyFile)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return m, m.check(s, now)
}

// check judges what was read as the hosts will, so that a wrong file is told before
// any host is asked.
func (m *material) check(s *site.Site, now time.Time) error {
	var errs []error
	if s.SSL {
		if _, err := step.CheckCertificate([]byte(m.public.Certificate), m.key, s.Name, now); err != nil {
			errs = append(errs, &problem.Error{Kind: problem.Input, Doing: "reading", Object: place(s, "tls"), Err: err,
				Fix: "give the certificate chain (leaf first) and the key that belongs to it, for the name that clients type"})
		}
	}
	for i, h := range s.Hosts {
		key, ok := m.licences[h.Name]
		if !ok {
			continue
		}
		if err := step.CheckLicence(key); err != nil {
			errs = append(errs, &problem.Error{Kind: problem.Input, Doing: "reading", Object: place(s, fmt.Sprintf("hosts[%d].wowza.key_file", i)),
				Err: err, Fix: "put the licence key, one line, into " + h.Wowza.KeyFile})
		}
	}
	return errors.Join(append(errs, checkTrust(s, m.public.Trust))...)
}

// place is where a field stands in the site file, with its name.
func place(s *site.Site, field string) string { return s.Position(field) + ": " + field }

// secrets are what one host's steps may ask for.
func (m *material) secrets(host string) map[string][]byte {
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

// secrets are what a host's steps may ask for in this run.
func (r *run) secrets(host string) map[string][]byte {
	all := r.material.secrets(host)
	if r.Carrier != nil {
		all[plan.SecretBundle] = r.Carrier.secret(host)
	}
	maps.Copy(all, r.more[host])
	return all
}

// Roots are the certificate authorities that a site's controller trusts: the system's and
// the site's own.
func Roots(s *site.Site) (*x509.CertPool, error) {
	trust, err := readTrust(s)
	if err != nil {
		return nil, err
	}
	return (&material{public: plan.Public{Trust: trust}}).roots()
}

// roots are the certificate authorities that the controller trusts beside the system's.
func (m *material) roots() (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("reading the system's certificate authorities: %w", err)
	}
	for _, c := range m.public.Trust {
		pool.AppendCertsFromPEM([]byte(c.PEM))
	}
	return pool, nil
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

func readCapped(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening it: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxMaterial+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if len(content) > maxMaterial {
		return nil, fmt.Errorf("%s has more than %d bytes", path, maxMaterial)
	}
	return content, nil
}
