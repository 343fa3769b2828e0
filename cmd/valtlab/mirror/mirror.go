// Package mirror builds the practice site's apt repositories: what an installation
// needs, downloaded by apt itself relative to a bare host, and a few small packages
// of the lab's own, laid out and signed as Ubuntu's, the vendor's and Docker's
// archives are. Packages and their indexes are cached; signatures are made afresh
// for every lab. It does not serve anything.
package mirror

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ipivs.com/valtctl/cmd/valtlab/rootfs"
	"ipivs.com/valtctl/cmd/valtlab/ubuntu"
)

// revision is raised when what is built from the same request changes.
const revision = 6

// Request says what the repositories hold.
type Request struct {
	// Ubuntu is the release whose archives these are.
	Ubuntu ubuntu.Release
	// Status is /var/lib/dpkg/status of a bare host: what it names is not downloaded
	// unless it is asked for.
	Status []byte
	// Groups are sets of Debian packages that can be installed together. What excludes
	// each other, such as two time daemons, is in different groups.
	Groups [][]string
	// Debian is the mirror to download from (as rootfs.MachineMirror finds it).
	Debian string
}

// Groups is what installations on the practice site may ask the archive of a release of Ubuntu for.
func Groups(u ubuntu.Release) [][]string {
	engine := []string{"docker.io", "containerd", "runc", "iptables", "nftables", "ca-certificates", "curl", "cron", "systemd-timesyncd"}
	if client := partsOf(u.Suite).client; client != "docker.io" {
		engine = append(engine, client)
	}
	return [][]string{
		engine,
		{"chrony"},
		{"ufw"},
		{"firewalld"},
		{"needrestart"},
		{"unattended-upgrades"},
	}
}

// Build returns the folder below cache that holds the unsigned repositories of the
// request, one folder a vendor, building it if it is not there.
func Build(ctx context.Context, cache string, r Request) (string, error) {
	dir := filepath.Join(cache, "mirror-"+r.hash())
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", fmt.Errorf("making the cache: %w", err)
	}
	work, err := os.MkdirTemp(cache, "building-")
	if err != nil {
		return "", fmt.Errorf("making room for the package mirror: %w", err)
	}
	defer os.RemoveAll(work)
	if err := os.Chmod(work, 0o755); err != nil {
		return "", fmt.Errorf("opening the package mirror to readers: %w", err)
	}
	if err := build(ctx, work, r); err != nil {
		return "", err
	}
	if err := os.Rename(work, dir); err != nil && !errors.Is(err, os.ErrExist) {
		return "", fmt.Errorf("keeping the package mirror: %w", err)
	}
	return dir, nil
}

func (r Request) hash() string {
	r.Debian = "" // every mirror has the same packages
	text, err := json.Marshal(struct {
		Revision int
		Sources  []string
		Request  Request
		Own      []ownPackage
	}{revision, rootfs.Sources("", r.Ubuntu.Suite), r, ownPackages(r.Ubuntu)})
	if err != nil { // strings and bytes always marshal
		panic(fmt.Sprintf("hashing the mirror's request: %v", err))
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

func build(ctx context.Context, work string, r Request) error {
	repositories := Repositories(r.Ubuntu)
	for _, repository := range repositories {
		for _, suite := range repository.Suites {
			if err := os.MkdirAll(filepath.Join(work, repository.Vendor, suite.pool()), 0o755); err != nil {
				return fmt.Errorf("making the package mirror: %w", err)
			}
		}
	}
	if err := download(ctx, work, r); err != nil {
		return err
	}
	debian := filepath.Join(work, "ubuntu", "pool", r.Ubuntu.Codename)
	for _, own := range ownPackages(r.Ubuntu) {
		if err := own.build(ctx, debian, filepath.Join(work, own.Vendor, "pool", r.Ubuntu.Codename)); err != nil {
			return err
		}
	}
	for _, repository := range repositories {
		if err := repository.index(ctx, filepath.Join(work, repository.Vendor)); err != nil {
			return err
		}
	}
	return nil
}
