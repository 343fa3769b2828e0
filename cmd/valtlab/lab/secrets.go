package lab

import (
	"fmt"
	"net/netip"
	"os"

	"ipivs.com/valtctl/cmd/valtlab/pki"
	"ipivs.com/valtctl/cmd/valtlab/vendorsim"
)

// SiteName is what clients of the practice site type.
const SiteName = "valt.lab.example"

// makeSecrets makes what is missing of the lab's keys, certificates and passwords.
func (l *Lab) makeSecrets() error {
	if err := l.makeCertificates(); err != nil {
		return err
	}
	if _, err := l.sshKey("id_ed25519", "practice site"); err != nil {
		return err
	}
	for _, name := range []string{"registry_password", "sudo_password"} {
		_, err := keepFile(l.Path(name), 0o600, func() ([]byte, error) {
			password, err := pki.NewPassword()
			return []byte(password + "\n"), err
		})
		if err != nil {
			return err
		}
	}
	for _, vendor := range []string{VendorUbuntu, VendorIPIVS, VendorDocker} {
		if _, err := l.vendorSecret(vendor); err != nil {
			return err
		}
	}
	return nil
}

// makeCertificates makes the authority, the world's certificate and the site's.
func (l *Lab) makeCertificates() error {
	ca, err := l.Authority()
	if err != nil {
		return err
	}
	_, err = l.pair("world/tls/world.pem", "world/tls/world.key", func() (pki.Pair, error) {
		return ca.Issue(l.Now(), vendorsim.Names(), []netip.Addr{l.World()})
	})
	if err != nil {
		return err
	}
	_, err = l.pair("site.pem", "site.key", func() (pki.Pair, error) {
		return ca.Issue(l.Now(), []string{SiteName}, nil)
	})
	return err
}

// Authority is what signs the certificates of the lab's servers.
func (l *Lab) Authority() (pki.Pair, error) {
	return l.pair("ca.crt", "ca.key", func() (pki.Pair, error) {
		return pki.NewCA(l.Now(), "Practice site "+l.Name())
	})
}

// pair keeps a certificate and its key in two files. They are made again together
// when either is missing.
func (l *Lab) pair(certificate, key string, make func() (pki.Pair, error)) (pki.Pair, error) {
	cert, certErr := os.ReadFile(l.Path(certificate))
	secret, keyErr := os.ReadFile(l.Path(key))
	if certErr == nil && keyErr == nil {
		return pki.Pair{Certificate: cert, Key: secret}, nil
	}
	made, err := make()
	if err != nil {
		return made, err
	}
	if err := writeFile(l.Path(key), made.Key, 0o600); err != nil {
		return made, err
	}
	return made, writeFile(l.Path(certificate), made.Certificate, 0o644)
}

// sshKey keeps an SSH key in a file and its public part beside it.
func (l *Lab) sshKey(path, comment string) (public []byte, err error) {
	if public, err = os.ReadFile(l.Path(path + ".pub")); err == nil {
		return public, nil
	}
	key, err := pki.NewSSHKey(comment)
	if err != nil {
		return nil, err
	}
	if err := writeFile(l.Path(path), key.Private, 0o600); err != nil {
		return nil, err
	}
	return key.Public, writeFile(l.Path(path+".pub"), key.Public, 0o644)
}

// vendorSecret is a vendor's signing key; its public part is kept in keys/.
func (l *Lab) vendorSecret(vendor string) (pki.PGPKey, error) {
	secret, err := keepFile(l.Path("keys", "secret", vendor+".asc"), 0o600, func() ([]byte, error) {
		// A year old, so that what it signs may be as old: gpgv takes no signature from before a key.
		key, err := pki.NewPGPKey(l.Now().AddDate(-1, 0, 0), "Practice site "+vendor, vendor+"@valt.lab.example")
		return key.Secret, err
	})
	if err != nil {
		return pki.PGPKey{}, err
	}
	key, err := pki.ReadPGPKey(secret)
	if err != nil {
		return key, fmt.Errorf("reading the package key of %s: %w", vendor, err)
	}
	return key, writeFile(l.Path("keys", vendor+".asc"), key.Armoured, 0o644)
}
