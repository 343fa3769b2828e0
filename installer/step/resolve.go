package step

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release/allowed"
)

// maxLinks is how many links are followed before they are taken for a circle, as the kernel
// does (path_resolution(7)).
const maxLinks = 40

// Resolve is where an absolute path of the host leads, every link of it followed from the host's
// own root. What is not there yet is itself.
func Resolve(h *Machine, p string) (string, error) {
	at, rest := "/", strings.TrimPrefix(path.Clean(p), "/")
	for links := 0; rest != ""; {
		name, more, _ := strings.Cut(rest, "/")
		next := path.Join(at, name)
		info, err := os.Lstat(h.Path(next))
		if errors.Is(err, fs.ErrNotExist) {
			return path.Join(at, rest), nil
		}
		if err != nil {
			return "", fmt.Errorf("following %s: %w", p, err)
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			at, rest = next, more
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("following %s: its links lead in a circle", p)
		}
		to, err := os.Readlink(h.Path(next))
		if err != nil {
			return "", fmt.Errorf("following %s: %w", p, err)
		}
		if !path.IsAbs(to) {
			to = path.Join(at, to)
		}
		at, rest = "/", strings.TrimPrefix(path.Join(to, more), "/")
	}
	return at, nil
}

// AllowedPath judges, on the host, a path that a release asks for: the word itself, and where it
// leads now. Steps ask right before they use it, since whoever may write beside it may have made
// it a link.
func AllowedPath(h *Machine, own allowed.Site, use allowed.Use, p string) error {
	if err := own.Path(use, p); err != nil {
		return NotAllowed(p, err)
	}
	real, err := Resolve(h, p)
	if err != nil {
		return err
	}
	return NotAllowed(p, own.Real(use, p, real))
}

// NotAllowed is the problem of what no release may ask for; nil for nil.
func NotAllowed(what string, err error) error {
	if err == nil {
		return nil
	}
	fix := "the release is not right, or somebody has changed the host: nothing was changed here; ask the vendor"
	if instead := allowed.Instead(err); instead != "" {
		fix += " (" + instead + ")"
	}
	return &problem.Error{Kind: problem.Trust, Doing: "refusing what the release asks for:", Object: what, Err: err, Fix: fix}
}
