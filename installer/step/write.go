package step

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/safepath"
)

// Owner is who may do what with a file.
type Owner struct {
	Mode     fs.FileMode
	UID, GID int
}

// WriteFile replaces a file in one rename, fsynced, with its folder made where it is
// missing (0755). The owner is set before the content has its final name, so a secret
// is never open to others even for a moment. No link is followed that somebody else than root
// may have made (safepath).
func WriteFile(h *Machine, path string, content []byte, o Owner) error {
	return WriteChecked(h, path, content, o, nil)
}

// WriteChecked is WriteFile of what counts only once check has passed it: check is given where the whole
// of it is on the disk, for this process, under a temporary name.
func WriteChecked(h *Machine, path string, content []byte, o Owner, check func(temporary string) error) error {
	if err := KeepFile(h, path); err != nil {
		return err
	}
	folder, err := h.Files().MakeFolder(filepath.Dir(path), 0o755)
	if err != nil {
		return fmt.Errorf("making the folder of %s: %w", path, err)
	}
	defer folder.Close()
	if err := folder.WriteFile(filepath.Base(path), content, durable.Owner(o), check); err != nil {
		return fmt.Errorf("writing %s for %d:%d: %w", path, o.UID, o.GID, err)
	}
	return nil
}

// maxFile caps what is read of a file of the host that a step writes whole, in bytes.
const maxFile = 16 << 20

// ReadFile is the content of a plain file of the host, nil where there is none. An empty file is
// not nil. A link that somebody else than root may have made, and a file of more than 16 MiB, are errors.
func ReadFile(h *Machine, path string) ([]byte, error) {
	content, err := h.Files().ReadFile(path, maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what is there: %w", err)
	}
	return content, nil
}

// ReadIfThere is the content of a file in a folder of root's, nil where there is none. An empty file is not nil.
func ReadIfThere(full string) ([]byte, error) {
	content, err := os.ReadFile(full)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what is there: %w", err)
	}
	if content == nil {
		content = []byte{}
	}
	return content, nil
}

// OwnerDiff tells how mode and owner differ. A file that is not there differs in nothing.
func OwnerDiff(h *Machine, path string, mode fs.FileMode, uid, gid int) (string, error) {
	info, err := h.Files().Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("looking at %s: %w", path, err)
	}
	var diff strings.Builder
	if got := info.Mode().Perm(); got != mode.Perm() {
		fmt.Fprintf(&diff, "- %s mode %04o\n+ %s mode %04o\n", path, got, path, mode.Perm())
	}
	if u, g, ok := safepath.OwnerOf(info); ok && (u != uid || g != gid) {
		fmt.Fprintf(&diff, "- %s owner %d:%d\n+ %s owner %d:%d\n", path, u, g, path, uid, gid)
	}
	return diff.String(), nil
}

// ParseMode reads octal permissions, "0640".
func ParseMode(text string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || n > 0o777 {
		return 0, fmt.Errorf("%q is not an octal mode between 0000 and 0777", text)
	}
	return fs.FileMode(n), nil
}

// CleanPath refuses a path that is relative or climbs.
func CleanPath(p string) error {
	if !filepath.IsAbs(p) || filepath.Clean(p) != p {
		return fmt.Errorf("checking the path %q: it must be absolute and must not climb", p)
	}
	return nil
}
