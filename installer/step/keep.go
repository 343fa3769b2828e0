package step

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/safepath"
)

// keptFile is what a file of the host was before a step changed it. Its content is beside
// it, in a file of the same name without the ending.
type keptFile struct {
	Path   string      `json:"path"`
	Absent bool        `json:"absent,omitempty"` // it was not there
	Link   string      `json:"link,omitempty"`   // it was a symbolic link to this
	Mode   fs.FileMode `json:"mode,omitempty"`
	UID    int         `json:"uid,omitempty"`
	GID    int         `json:"gid,omitempty"`
}

const keptEnd = ".was.json"

// KeepFile notes what a file is, before it is changed for the first time in a transaction
// that can be taken back. Whatever changes files of the host calls it; writeFile and
// removeFile do.
func KeepFile(h *Machine, path string) error {
	if h.Keep == "" {
		return nil
	}
	name := filepath.Join(h.Keep, url.PathEscape(path))
	if noted, err := durable.IsThere(name + keptEnd); noted || err != nil {
		return err // before: what is there now may be our own
	}
	was, content, err := lookAtFile(h, path)
	if err != nil {
		return fmt.Errorf("keeping what %s was: %w", path, err)
	}
	text, err := json.Marshal(was)
	if err != nil {
		return fmt.Errorf("keeping what %s was: %w", path, err)
	}
	if err := durable.MkdirAll(h.Keep, 0o700); err != nil { // it may hold keys
		return fmt.Errorf("keeping what %s was: %w", path, err)
	}
	if err := durable.WriteFile(name, content, 0o600); err != nil {
		return fmt.Errorf("keeping what %s was: %w", path, err)
	}
	return durable.WriteFile(name+keptEnd, text, 0o600) // last: it says that the rest is whole
}

func lookAtFile(h *Machine, path string) (keptFile, []byte, error) {
	was := keptFile{Path: path}
	folder, name, err := h.Files().Parent(path)
	if errors.Is(err, fs.ErrNotExist) {
		was.Absent = true
		return was, nil, nil
	}
	if err != nil {
		return was, nil, err
	}
	defer folder.Close()
	info, err := folder.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		was.Absent = true
		return was, nil, nil
	}
	if err != nil {
		return was, nil, err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		was.Link, err = folder.Readlink(name)
		return was, nil, err
	}
	content, info, err := folder.ReadFile(name, maxFile)
	if err != nil {
		return was, nil, err
	}
	was.Mode = info.Mode().Perm()
	was.UID, was.GID, _ = safepath.OwnerOf(info)
	return was, content, nil
}

// PutBack makes every file that was kept what it was, and says whether there was any.
// Doing it again does no harm.
func PutBack(h *Machine) (any bool, err error) {
	entries, err := os.ReadDir(h.Keep)
	if h.Keep == "" || errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking at what was kept: %w", err)
	}
	for _, e := range entries {
		base, ok := strings.CutSuffix(e.Name(), keptEnd)
		if !ok {
			continue
		}
		if err := putBackFile(h, filepath.Join(h.Keep, base)); err != nil {
			return true, err
		}
		any = true
	}
	return any, nil
}

func putBackFile(h *Machine, kept string) error {
	text, err := os.ReadFile(kept + keptEnd)
	if err != nil {
		return fmt.Errorf("reading what was kept: %w", err)
	}
	var was keptFile
	if err := json.Unmarshal(text, &was); err != nil {
		return fmt.Errorf("reading what was kept: %w", err)
	}
	if was.Absent {
		if err := removeFile(h, was.Path); err != nil {
			return fmt.Errorf("taking %s away again: %w", was.Path, err)
		}
		return nil
	}
	if was.Link != "" {
		if err := putBackLink(h, was); err != nil {
			return fmt.Errorf("bringing back the link %s: %w", was.Path, err)
		}
		return nil
	}
	content, err := os.ReadFile(kept)
	if err != nil {
		return fmt.Errorf("reading what was kept of %s: %w", was.Path, err)
	}
	return WriteFile(nothingKept(h), was.Path, content, Owner{was.Mode, was.UID, was.GID})
}

func putBackLink(h *Machine, was keptFile) error {
	folder, name, err := h.Files().Parent(was.Path)
	if err != nil {
		return err
	}
	defer folder.Close()
	return errors.Join(folder.RemoveAll(name), folder.Symlink(was.Link, name))
}

// nothingKept is the host for steps whose changes are not to be noted: those of a way back.
func nothingKept(h *Machine) *Machine {
	return &Machine{Root: h.Root, Run: h.Run, Secret: h.Secret, Progress: h.Progress, Now: h.Now, BootID: h.BootID}
}

// RemoveFile takes a file away, if it is there.
func RemoveFile(h *Machine, path string) error {
	if err := KeepFile(h, path); err != nil {
		return err
	}
	if err := removeFile(h, path); err != nil {
		return fmt.Errorf("removing %s: %w", path, err)
	}
	return nil
}

func removeFile(h *Machine, path string) error {
	folder, name, err := h.Files().Parent(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Remove(name)
}
