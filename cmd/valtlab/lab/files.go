package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/repos/durable"
)

// writeFile writes a file of the state folder in one step, its folder made first.
func writeFile(path string, content []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return durable.WriteFile(path, content, mode)
}

// keepFile returns the file's content, making it first if it is not there.
func keepFile(path string, mode os.FileMode, make func() ([]byte, error)) ([]byte, error) {
	content, err := os.ReadFile(path)
	if err == nil {
		return content, nil
	}
	if !os.IsNotExist(err) {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if content, err = make(); err != nil {
		return nil, err
	}
	return content, writeFile(path, content, mode)
}

// linkOrCopy puts one file at a second path, without copying where both are on one
// file system and link allows it.
func linkOrCopy(from, to string, link bool) (err error) {
	if link && os.Link(from, to) == nil {
		return nil
	}
	source, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copying %s: %w", from, err)
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("copying %s: %w", from, err)
	}
	defer func() {
		if closeErr := target.Close(); closeErr != nil {
			err = errors.Join(err, fmt.Errorf("copying %s: %w", from, closeErr))
		}
	}()
	if _, err := io.Copy(target, source); err != nil {
		return fmt.Errorf("copying %s: %w", from, err)
	}
	return nil
}

// sortFiles puts files in the order of their paths, so that the same files are
// described alike every time.
func sortFiles(files []containers.File) {
	slices.SortFunc(files, func(a, b containers.File) int { return strings.Compare(a.Path, b.Path) })
}
