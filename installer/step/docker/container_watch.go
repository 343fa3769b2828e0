package docker

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"ipivs.com/valtctl/installer/step"
)

// watched hashes the files a container depends on: those listed, and every regular file
// it binds. A bound file that is replaced by rename keeps its old content inside the
// container until that is made anew. What is not there is left out.
func (c *containerStep) watched(h *step.Machine) (map[string]string, error) {
	paths := append([]string{}, c.Watch...)
	for _, m := range c.Spec.Mounts {
		if m.Type == "bind" {
			paths = append(paths, m.Source)
		}
	}
	sums := map[string]string{}
	for _, p := range paths {
		sum, err := hashFile(h, p)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("hashing %s for container %s: %w", p, c.Name, err)
		}
		if sum != "" {
			sums[p] = sum
		}
	}
	return sums, nil
}

// hashFile is the SHA-256 of a regular file in hex, empty for anything else. A container's user may own the
// folder that it is in.
func hashFile(h *step.Machine, path string) (string, error) {
	info, err := h.Files().Stat(path)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", nil
	}
	f, err := h.Files().Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
