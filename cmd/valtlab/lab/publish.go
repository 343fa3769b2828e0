package lab

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// RegistryName is the vendor's registry, whose stand-in the world runs.
const RegistryName = "docker.ipivs.com"

// RegistryUser is the site's account at the registry.
const RegistryUser = "practice"

// RegistryLogin is the account that may pull and push; the password is also in the
// file registry_password of the state folder.
func (l *Lab) RegistryLogin() (user, password string, err error) {
	text, err := os.ReadFile(l.Path("registry_password"))
	if err != nil {
		return "", "", fmt.Errorf("reading the registry's password: %w", err)
	}
	return RegistryUser, strings.TrimSpace(string(text)), nil
}

// Transport reaches the vendor's names from this machine: whatever host a request
// names, the connection goes to the world, and the lab's authority is the only one trusted.
func (l *Lab) Transport() (*http.Transport, error) {
	ca, err := os.ReadFile(l.Path("ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("reading the lab's authority: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	world := l.World().String()
	dialer := &net.Dialer{Timeout: time.Minute}
	return &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			_, port, err := net.SplitHostPort(address)
			if err != nil {
				return nil, fmt.Errorf("dialling %s: %w", address, err)
			}
			return dialer.DialContext(ctx, network, net.JoinHostPort(world, port))
		},
	}, nil
}

// Vendors whose package sources the world stands in for; each signs with a key of
// its own.
const (
	VendorUbuntu = "ubuntu"
	VendorIPIVS  = "ipivs"
	VendorDocker = "docker"
)

// VendorKey is the armoured public OpenPGP key of a vendor's package source.
func (l *Lab) VendorKey(vendor string) ([]byte, error) {
	key, err := os.ReadFile(l.Path("keys", vendor+".asc"))
	if err != nil {
		return nil, fmt.Errorf("reading the package key of %s: %w", vendor, err)
	}
	return key, nil
}

// ReplaceRelease makes a copy of the folder the release repository that the world
// serves at https://apt.ipivs.com/valt/, and at the same path under its address.
// Readers see the old repository or the new one, never a mixture: the copy is
// completed first and then a symbolic link is renamed over the old one.
func (l *Lab) ReplaceRelease(ctx context.Context, folder string) error {
	root := l.Path("world", "release")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return fmt.Errorf("making room for the release repository: %w", err)
	}
	fresh, err := os.MkdirTemp(root, "r")
	if err != nil {
		return fmt.Errorf("making room for the release repository: %w", err)
	}
	if err := os.Chmod(fresh, 0o755); err != nil {
		return fmt.Errorf("opening the release repository to readers: %w", err)
	}
	if err := copyTree(ctx, folder, fresh); err != nil {
		return err
	}
	current := filepath.Join(root, "current")
	old, err := os.Readlink(current)
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("finding the old release repository: %w", err)
	}
	if err := switchLink(current, filepath.Base(fresh)); err != nil {
		return err
	}
	if old == "" {
		return nil
	}
	if err := os.RemoveAll(filepath.Join(root, old)); err != nil {
		return fmt.Errorf("removing the old release repository: %w", err)
	}
	return nil
}

// switchLink points link at target in one step.
func switchLink(link, target string) error {
	temporary := link + ".new"
	if err := os.Remove(temporary); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("switching %s: %w", link, err)
	}
	if err := os.Symlink(target, temporary); err != nil {
		return fmt.Errorf("switching %s: %w", link, err)
	}
	if err := os.Rename(temporary, link); err != nil {
		return fmt.Errorf("switching %s: %w", link, err)
	}
	return nil
}

// copyTree copies regular files and folders readable by everybody, since the world's
// web server runs as a plain user.
func copyTree(ctx context.Context, from, to string) error {
	return filepath.WalkDir(from, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("copying %s: %w", path, err)
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("copying %s: %w", path, err)
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return fmt.Errorf("copying %s: %w", path, err)
		}
		target := filepath.Join(to, relative)
		if entry.IsDir() {
			if err := os.MkdirAll(target, 0o755); err != nil {
				return fmt.Errorf("copying %s: %w", path, err)
			}
			return nil
		}
		return linkOrCopy(path, target, false)
	})
}
