package inputs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/goccy/go-yaml"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/files"
	"ipivs.com/valtctl/repos/problem"
)

// Login is who a host is reached as, where the site file leaves it to the person.
type Login struct {
	User string
	Port int
}

// Seed is a site file with everything that it names, for a host to keep: what that host
// works from, or judges by, when no person is there. A plan made of it is the one that is
// made of the original.
type Seed struct {
	Folder string
	Site   []byte            // the site file's text
	Files  map[string][]byte // what it names, by path on the host
}

// seeder makes a Seed.
type seeder struct {
	Seed
	key  []byte // the certificate's, where it was under a passphrase
	errs []error
}

// SeedOf copies a site into a folder of the host that runs unattended, which reaches the others
// by logins and trusts the given known_hosts lines.
func SeedOf(s *site.Site, folder string, logins map[string]Login, knownHosts []byte) (*Seed, error) {
	c, to := seed(s, folder)
	c.certificateKey(&to)
	c.include(&to.Registry.PasswordFile, "registry")
	for i := range to.Hosts {
		c.include(&to.Hosts[i].Wowza.KeyFile, "licence-"+to.Hosts[i].Name)
	}
	c.reach(&to, logins, knownHosts)
	c.write(&to)
	return &c.Seed, errors.Join(c.errs...)
}

// SeedFor copies a site into a folder of a host that judges by it. Of secrets it has those that the
// host's own steps ask for (plan.HostPlan.Secrets), and nothing to connect or to tell people with.
func SeedFor(s *site.Site, folder, host string, asked []string) (*Seed, error) {
	c, to := seed(s, folder)
	for name, field := range map[string]*string{plan.SecretCertificateKey: &to.TLS.KeyFile, plan.SecretRegistryPassword: &to.Registry.PasswordFile} {
		if !slices.Contains(asked, name) {
			*field = ""
		}
	}
	if !slices.Contains(asked, plan.SecretCertificateKey) {
		c.key = nil
	}
	c.certificateKey(&to)
	c.include(&to.Registry.PasswordFile, "registry")
	for i := range to.Hosts {
		h := &to.Hosts[i]
		switch {
		case h.Wowza.KeyFile == "":
		case slices.Contains(asked, plan.SecretLicence):
			h.Wowza.KeyFile = own(s, host).Wowza.KeyFile // in the place of another's, since the file must name one
		default: // what another host's licence is makes no difference here, and a file must be named with it
			h.Wowza.KeyFile, h.Wowza.License = "", site.Physical
		}
		c.include(&h.Wowza.KeyFile, "licence-"+h.Name)
		h.SSH = site.SSH{Port: h.SSH.Port}
	}
	to.SSH, to.Updates.Notify = site.SSH{Port: 22}, site.Notify{}
	c.write(&to)
	return &c.Seed, errors.Join(c.errs...)
}

// Lacking are the files of secrets that such a copy might hold, and this one does not.
func (c *Seed) Lacking(s *site.Site) []string {
	names := []string{"certificate.key", "registry"}
	for _, h := range s.Hosts {
		names = append(names, "licence-"+h.Name)
	}
	var lacking []string
	for _, name := range names {
		if file := path.Join(c.Folder, "files", name); c.Files[file] == nil {
			lacking = append(lacking, file)
		}
	}
	return lacking
}

// seed begins with what is no secret.
func seed(s *site.Site, folder string) (*seeder, site.Site) {
	c := &seeder{Seed: Seed{Folder: folder, Files: map[string][]byte{}}}
	to := *s
	to.Hosts, to.Network.Trust = slices.Clone(s.Hosts), slices.Clone(s.Network.Trust)
	c.certificate(s, &to)
	c.include(&to.Release.Root, "root.json")
	for i := range to.Network.Trust {
		// An authority's name on a host is that of its file.
		c.include(&to.Network.Trust[i], path.Join("trust-"+strconv.Itoa(i), filepath.Base(to.Network.Trust[i])))
	}
	return c, to
}

func own(s *site.Site, name string) site.Host {
	h, _ := s.Host(name)
	return h
}

// include has a path of the site file name a copy of its file.
func (c *seeder) include(field *string, name string) {
	if *field == "" {
		return
	}
	content, err := readRaw(*field)
	if err != nil {
		c.errs = append(c.errs, &problem.Error{Kind: problem.Input, Doing: "copying", Object: *field, Err: err, Fix: fixFor(err)})
		return
	}
	c.put(field, name, content)
}

// put has a path of the site file name a file with this content.
func (c *seeder) put(field *string, name string, content []byte) {
	*field = path.Join(c.Folder, "files", name)
	c.Files[*field] = content
}

// certificate copies the certificate. What is under a passphrase is copied unlocked, as it is
// installed: who runs unattended cannot be asked.
func (c *seeder) certificate(s *site.Site, to *site.Site) {
	if s.TLS.PKCS12 == "" && s.TLS.PasswordFile == "" {
		c.include(&to.TLS.Certificate, "certificate.pem")
		return
	}
	pair, err := ReadCertificate(s, nil)
	if err == nil && pair != nil {
		c.key, err = pair.KeyPEM()
		to.TLS = site.TLS{}
		c.put(&to.TLS.Certificate, "certificate.pem", pair.ChainPEM())
	}
	c.errs = append(c.errs, err)
}

// certificateKey copies the certificate's key.
func (c *seeder) certificateKey(to *site.Site) {
	if c.key != nil {
		c.put(&to.TLS.KeyFile, "certificate.key", c.key)
		return
	}
	c.include(&to.TLS.KeyFile, "certificate.key")
}

// reach has the copy reach the site's hosts with the key that the host makes for itself,
// straight: it stands beside them. People are told as the site file says.
func (c *seeder) reach(to *site.Site, logins map[string]Login, knownHosts []byte) {
	known := path.Join(c.Folder, "known_hosts")
	c.Files[known] = knownHosts
	to.SSH = site.SSH{Port: 22, Identity: facts.ScheduleKey, KnownHosts: known}
	for i := range to.Hosts {
		l := logins[to.Hosts[i].Name]
		to.Hosts[i].SSH = site.SSH{User: l.User, Port: uint16(l.Port), Identity: facts.ScheduleKey, KnownHosts: known}
	}
	n := &to.Updates.Notify
	if n.Mail != nil {
		mail := *n.Mail
		n.Mail = &mail
		c.include(&mail.PasswordFile, "mail")
	}
	if n.Webhook != nil {
		hook := *n.Webhook
		n.Webhook = &hook
		c.include(&hook.URLFile, "webhook")
		c.include(&hook.TokenFile, "webhook-token")
	}
}

// write makes the copy's text and reads it again, so that one that cannot be read is never
// left on a host.
func (c *seeder) write(to *site.Site) {
	raw, err := json.Marshal(to)
	if err == nil {
		raw, err = yaml.JSONToYAML(raw)
	}
	if err != nil {
		c.errs = append(c.errs, fmt.Errorf("copying the site file: %w", err))
		return
	}
	c.Site = append([]byte("# Written by valtctl schedule enable. Change the original, then run that again.\n"), raw...)
	if _, err := site.Parse(path.Join(c.Folder, "site.yaml"), c.Site, ""); err != nil {
		c.errs = append(c.errs, fmt.Errorf("reading the copy of the site file: %w", err))
	}
}

// Steps put the copy on a host, root-only. What it names travels as secrets, which are in
// no plan and no journal.
func (c *Seed) Steps() (steps []step.Spec, secrets map[string][]byte, err error) {
	secrets = map[string][]byte{}
	add := func(p files.FileParams) {
		raw, err2 := json.Marshal(p)
		err = errors.Join(err, err2)
		steps = append(steps, step.Spec{ID: "file" + p.Path, Kind: files.KindFile, Title: "file " + p.Path,
			Half: step.Fetch, Disrupts: step.Nothing, Params: raw})
	}
	names := make([]string, 0, len(c.Files))
	for name := range c.Files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		secret := "copy-of-" + path.Base(path.Dir(name)) + "-" + path.Base(name)
		secrets[secret] = bytes.Clone(c.Files[name])
		add(files.FileParams{Path: name, Mode: "0600", Secret: secret})
	}
	add(files.FileParams{Path: path.Join(c.Folder, "site.yaml"), Mode: "0600", Content: string(c.Site)})
	return steps, secrets, err
}
