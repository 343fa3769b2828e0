package site

import (
	"errors"
	"fmt"
	"os"

	"ipivs.com/valtctl/repos/problem"
)

// NeededForInstall says what the file lacks for an installation, though its form is
// right: keys that are missing, and files they name that cannot be read here. It joins
// one *problem.Error of kind Input per thing.
func (s *Site) NeededForInstall() error {
	n := needs{site: s}
	n.key("name", s.Name, "write name: and the name that clients type")
	if s.SSL && s.Cloud == nil { // the cloud's certificate is the vendor's to issue
		n.certificate(s.TLS)
	}
	if s.Updates.Source == Online {
		n.key("registry.username", s.Registry.Username, "write registry: with username: and password_file:, as the vendor gave them")
		n.file("registry.password_file", s.Registry.PasswordFile, "write registry: with password_file: and the file that holds the password")
	}
	for i, h := range s.Hosts {
		for _, role := range specs() {
			if h.Has(role.Role) && role.needs != nil {
				role.needs(&n, i, h)
			}
		}
	}
	for i, file := range s.Network.Trust {
		n.file(fmt.Sprintf("network.trust[%d]", i), file, "")
	}
	if s.Release.Root != "" {
		n.file("release.root", s.Release.Root, "")
	}
	return errors.Join(n.missing...)
}

// certificate wants either form, and the password's file where one is named.
func (n *needs) certificate(t TLS) {
	if t.PKCS12 != "" {
		n.file("tls.pkcs12", t.PKCS12, "")
	} else {
		n.file("tls.certificate", t.Certificate, "write tls: with certificate: and the file of the chain, or with pkcs12: and the .pfx file")
		n.file("tls.key_file", t.KeyFile, "write tls: with key_file: and the file of the private key")
	}
	if t.PasswordFile != "" {
		n.file("tls.password_file", t.PasswordFile, "")
	}
}

type needs struct {
	site    *Site
	missing []error
}

func (n *needs) key(field, value, fix string) bool {
	if value == "" {
		n.add(field, errors.New("is needed to install, and missing"), fix)
	}
	return value != ""
}

func (n *needs) file(field, path, fix string) {
	if !n.key(field, path, fix) {
		return
	}
	f, err := os.Open(path)
	if err != nil {
		n.add(field, fmt.Errorf("it cannot be read: %w", err), "put the file there, or write where it is")
		return
	}
	f.Close()
}

func (n *needs) add(field string, cause error, fix string) {
	n.missing = append(n.missing, &problem.Error{Kind: problem.Input, Doing: "reading", Object: n.site.Position(field), Err: fmt.Errorf("%s: %w", field, cause), Fix: fix})
}
