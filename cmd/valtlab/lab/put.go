package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"ipivs.com/valtctl/cmd/valtlab/containers"
)

// Put writes one file, readable by all and owned by root, on a host.
func (l *Lab) Put(ctx context.Context, name, path string, content []byte) error {
	return l.engine.CopyTo(ctx, l.Container(name), []containers.File{{Path: path, Content: content}})
}

// MirrorPackage is the .deb of a package of Ubuntu's archive in the world, as a host gets it.
func (l *Lab) MirrorPackage(host, name string) ([]byte, error) {
	h, err := l.Host(host)
	if err != nil {
		return nil, err
	}
	pattern := l.Path("world", "mirror", VendorUbuntu, "pool", h.release().Codename, name+"_*.deb")
	found, err := filepath.Glob(pattern)
	if err != nil || len(found) == 0 {
		return nil, fmt.Errorf("finding package %s in the world's mirror: there is none (%v)", name, err)
	}
	content, err := os.ReadFile(found[0])
	if err != nil {
		return nil, fmt.Errorf("reading package %s: %w", name, err)
	}
	return content, nil
}
