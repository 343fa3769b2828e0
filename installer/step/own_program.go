package step

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ipivs.com/valtctl/repos/safepath"
)

// OwnProgram is a program of the site's on its host: a check of its own, or what it wants to be
// told of a drain. It is no part of a release.
type OwnProgram struct {
	Path   string        // absolute
	Args   []string      // never text for a shell
	Within time.Duration // then it is ended
}

// Run runs it as root. Only root may be able to change it or any folder above it: otherwise
// whoever may would be root. The error says what it said last, or that it was ended.
func (p OwnProgram) Run(ctx context.Context, h *Machine) error {
	if err := onlyRoots(h, p.Path); err != nil {
		return err
	}
	if _, err := h.Run.Run(ctx, Command{Argv: append([]string{h.Path(p.Path)}, p.Args...), Within: p.Within}); err != nil {
		return fmt.Errorf("%s: %w", p.Path, err)
	}
	return nil
}

// onlyRoots refuses a program that somebody else than root could change.
func onlyRoots(h *Machine, path string) error {
	if err := CleanPath(path); err != nil {
		return err
	}
	for at := path; ; at = filepath.Dir(at) {
		info, err := os.Lstat(h.Path(at))
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s is not there: %w", at, fs.ErrNotExist)
		}
		if err != nil {
			return fmt.Errorf("looking at %s: %w", at, err)
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return fmt.Errorf("%s is a link: name the file itself", at)
		}
		if uid, _, known := safepath.OwnerOf(info); known && uid != rootOf(h) || info.Mode().Perm()&0o022 != 0 && info.Mode()&fs.ModeSticky == 0 {
			return fmt.Errorf("%s can be changed by others than root: chown root and chmod go-w", at)
		}
		if at == path && (!info.Mode().IsRegular() || info.Mode().Perm()&0o100 == 0) {
			return fmt.Errorf("%s is no program: it must be a file that root may execute", at)
		}
		if at == "/" || strings.Count(at, "/") == 0 {
			return nil
		}
	}
}

// rootOf is who root is on the host: in a test, whose files are below a folder of its own, the
// one that runs it.
func rootOf(h *Machine) int {
	if h.Root == "" {
		return 0
	}
	return os.Getuid()
}
