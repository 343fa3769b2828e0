package mirror

import (
	"crypto/md5"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/pki"
)

// validFor is how long a signed Release is accepted, as long as Debian's security
// archive has it. A lab signs again whenever it is brought up.
const validFor = 7 * 24 * time.Hour

// Sign writes Release, InRelease and Release.gpg of every suite of the repository at
// root, and its indexes a second time by their hash.
func (r Repository) Sign(root string, key pki.PGPKey, now time.Time) error {
	for _, s := range r.Suites {
		release, err := r.release(root, s, now)
		if err != nil {
			return err
		}
		inline, err := key.ClearSign(now, release)
		if err != nil {
			return err
		}
		detached, err := key.Detach(now, release)
		if err != nil {
			return err
		}
		for name, content := range map[string][]byte{"Release": release, "InRelease": inline, "Release.gpg": detached} {
			if err := replaceFile(filepath.Join(root, "dists", s.Name, name), content); err != nil {
				return err
			}
		}
	}
	return nil
}

// release is the text of the suite's Release file (the format is in Debian's wiki
// page DebianRepository/Format).
func (r Repository) release(root string, s Suite, now time.Time) ([]byte, error) {
	var md5s, sha256s strings.Builder
	for _, name := range []string{"Packages", "Packages.gz"} {
		relative := filepath.Join(s.indexFolder(), name)
		file := filepath.Join(root, "dists", s.Name, relative)
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("signing %s %s: %w", r.Vendor, s.Name, err)
		}
		strong := fmt.Sprintf("%x", sha256.Sum256(content))
		byHash := filepath.Join(filepath.Dir(file), "by-hash", "SHA256", strong)
		if err := replaceFile(byHash, content); err != nil {
			return nil, err
		}
		fmt.Fprintf(&md5s, " %x %d %s\n", md5.Sum(content), len(content), relative)
		fmt.Fprintf(&sha256s, " %s %d %s\n", strong, len(content), relative)
	}
	const layout = "Mon, 02 Jan 2006 15:04:05 UTC"
	now = now.UTC()
	return []byte(strings.Join([]string{
		"Origin: " + r.Origin,
		"Label: " + r.Origin,
		"Suite: " + s.Name,
		"Codename: " + s.Name,
		"Version: " + r.Version,
		"Date: " + now.Format(layout),
		"Valid-Until: " + now.Add(validFor).Format(layout),
		"Acquire-By-Hash: yes",
		"Architectures: amd64",
		"Components: " + s.Component,
		"Description: practice site",
		"MD5Sum:\n" + md5s.String() + "SHA256:\n" + sha256s.String(),
	}, "\n")), nil
}

// replaceFile never writes into a file that is there, since it may be one with the
// cache's.
func replaceFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	temporary := path + ".new"
	if err := os.WriteFile(temporary, content, 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
