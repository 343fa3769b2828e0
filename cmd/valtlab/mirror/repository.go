package mirror

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"ipivs.com/valtctl/cmd/valtlab/ubuntu"
)

// Repository is one vendor's apt repository.
type Repository struct {
	Vendor string // folder, and name of its signing key
	Origin string // Origin and Label of its Release files
	// Version is of the Ubuntu that it is for.
	Version string
	Suites  []Suite
}

// Suite is one folder below dists/. Every suite has a pool of its own, because
// apt-ftparchive lists a folder.
type Suite struct {
	Name      string
	Component string
}

func (s Suite) pool() string { return filepath.Join("pool", s.Name) }

// indexFolder holds the suite's one index, below dists/<suite>.
func (s Suite) indexFolder() string { return filepath.Join(s.Component, "binary-amd64") }

// Repositories are all that the world serves for a release of Ubuntu. Security updates are in
// noble-updates and in noble-security, as Ubuntu has them.
func Repositories(u ubuntu.Release) []Repository {
	codename := u.Codename
	return []Repository{
		{Vendor: "ubuntu", Origin: "Ubuntu", Version: u.Version, Suites: []Suite{
			{codename, "main"}, {codename + "-updates", "main"}, {codename + "-security", "main"},
		}},
		{Vendor: "ipivs", Origin: "IPIVS", Version: u.Version, Suites: []Suite{{codename, "main"}}},
		{Vendor: "docker", Origin: "Docker", Version: u.Version, Suites: []Suite{{codename, "stable"}}},
	}
}

// index writes Packages and Packages.gz of every suite.
func (r Repository) index(ctx context.Context, root string) error {
	for _, s := range r.Suites {
		list := exec.CommandContext(ctx, "apt-ftparchive", "packages", s.pool())
		list.Dir = root
		var said bytes.Buffer
		list.Stderr = &said
		packages, err := list.Output()
		if err != nil {
			return fmt.Errorf("listing the packages of %s %s: %w: %s", r.Vendor, s.Name, err, bytes.TrimSpace(said.Bytes()))
		}
		folder := filepath.Join(root, "dists", s.Name, s.indexFolder())
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return fmt.Errorf("indexing %s %s: %w", r.Vendor, s.Name, err)
		}
		compressed, err := compress(packages)
		if err != nil {
			return err
		}
		for name, content := range map[string][]byte{"Packages": packages, "Packages.gz": compressed} {
			if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
				return fmt.Errorf("indexing %s %s: %w", r.Vendor, s.Name, err)
			}
		}
	}
	return nil
}

func compress(content []byte) ([]byte, error) {
	var compressed bytes.Buffer
	w := gzip.NewWriter(&compressed)
	if _, err := w.Write(content); err != nil {
		return nil, fmt.Errorf("compressing an index: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compressing an index: %w", err)
	}
	return compressed.Bytes(), nil
}
