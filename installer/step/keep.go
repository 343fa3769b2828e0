package step

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"ipivs.com/valtctl/repos/durable"
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

// keepFile notes what a file is, before it is changed for the first time in a transaction
// that can be taken back. Whatever changes files of the host calls it; writeFile and
// removeFile do.
func keepFile(h *Machine, path string) error {
	if h.Keep == "" {
		return nil
	}
	name := filepath.Join(h.Keep, url.PathEscape(path))
	if _, err := os.Lstat(name + keptEnd); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err // noted before: what is there now may be our own
	}
	was, content, err := lookAtFile(h, path)
	if err != nil {
		return fmt.Errorf("keeping what %s was: %w", path, err)
	}
	text, err := json.Marshal(was)
	if err != nil {
		return fmt.Errorf("keeping what %s was: %w", path, err)
	}
	if err := os.MkdirAll(h.Keep, 0o700); err != nil { // it may hold keys
		return fmt.Errorf("keeping what %s was: %w", path, err)
	}
	if err := durable.WriteFile(name, content, 0o600); err != nil {
		return fmt.Errorf("keeping what %s was: %w", path, err)
	}
	return durable.WriteFile(name+keptEnd, text, 0o600) // last: it says that the rest is whole
}

func lookAtFile(h *Machine, path string) (keptFile, []byte, error) {
	was := keptFile{Path: path}
	info, err := os.Lstat(h.Path(path))
	if errors.Is(err, fs.ErrNotExist) {
		was.Absent = true
		return was, nil, nil
	}
	if err != nil {
		return was, nil, err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		was.Link, err = os.Readlink(h.Path(path))
		return was, nil, err
	}
	was.Mode = info.Mode().Perm()
	was.UID, was.GID, _ = ownerOf(info)
	content, err := os.ReadFile(h.Path(path))
	return was, content, err
}

// putBack makes every file that was kept what it was, and says whether there was any.
// Doing it again does no harm.
func putBack(h *Machine) (any bool, err error) {
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
	full := h.Path(was.Path)
	switch {
	case was.Absent:
		if err := os.Remove(full); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("taking %s away again: %w", was.Path, err)
		}
		return nil
	case was.Link != "":
		if err := errors.Join(os.RemoveAll(full), os.Symlink(was.Link, full)); err != nil {
			return fmt.Errorf("bringing back the link %s: %w", was.Path, err)
		}
		return nil
	}
	content, err := os.ReadFile(kept)
	if err != nil {
		return fmt.Errorf("reading what was kept of %s: %w", was.Path, err)
	}
	return writeFile(nothingKept(h), was.Path, content, owner{was.Mode, was.UID, was.GID})
}

// nothingKept is the host for steps whose changes are not to be noted: those of a way back.
func nothingKept(h *Machine) *Machine {
	return &Machine{Root: h.Root, Run: h.Run, Secret: h.Secret, Progress: h.Progress, Now: h.Now, BootID: h.BootID}
}

// removeFile takes a file away, if it is there.
func removeFile(h *Machine, path string) error {
	if err := keepFile(h, path); err != nil {
		return err
	}
	if err := os.Remove(h.Path(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing %s: %w", path, err)
	}
	return nil
}

// The ways back of steps that only write files.

// Undo puts back what the file was.
func (f *file) Undo(_ context.Context, h *Machine) error {
	_, err := putBack(h)
	return err
}

// Undo puts back what the sources and keyrings were.
func (s *aptSource) Undo(_ context.Context, h *Machine) error {
	_, err := putBack(h)
	return err
}

// Undo puts back chain and key.
func (c *certificate) Undo(_ context.Context, h *Machine) error {
	_, err := putBack(h)
	return err
}

// Undo puts back the licence key.
func (l *licence) Undo(_ context.Context, h *Machine) error {
	_, err := putBack(h)
	return err
}

// Undo puts back the login.
func (r *registryLogin) Undo(_ context.Context, h *Machine) error {
	_, err := putBack(h)
	return err
}

// Undo puts back the unit and whether it was enabled.
func (u *unit) Undo(ctx context.Context, h *Machine) error {
	any, err := putBack(h)
	if err != nil || !any {
		return err
	}
	if _, err := h.Run.Run(ctx, Command{Argv: []string{"systemctl", "daemon-reload"}}); err != nil {
		return fmt.Errorf("telling systemd of %s: %w", u.Path, err)
	}
	return nil
}

// Undo puts back the time servers.
func (c *clock) Undo(ctx context.Context, h *Machine) error {
	any, err := putBack(h)
	if err != nil || !any {
		return err
	}
	return systemctl(ctx, h, []string{"restart", c.unit})
}

// Undo puts back the authorities and what is made of them.
func (t *trustedCA) Undo(ctx context.Context, h *Machine) error {
	any, err := putBack(h)
	if err != nil || !any {
		return err
	}
	if _, err := os.Stat(h.Path(trustUpdater)); errors.Is(err, fs.ErrNotExist) {
		return nil // the bundle itself was kept
	}
	if _, err := h.Run.Run(ctx, Command{Argv: []string{trustUpdater}}); err != nil {
		return fmt.Errorf("making %s: %w", trustBundle, err)
	}
	return nil
}

// Undo puts back the engine's configuration and has it read that.
func (e *engineConfig) Undo(ctx context.Context, h *Machine) error {
	any, err := putBack(h)
	if err != nil || !any {
		return err
	}
	_, up, err := e.engineState(ctx, h)
	if err != nil || !up {
		return err
	}
	return e.take(ctx, h, true)
}

// Undo puts back the firewall that was there: its rules are loaded again, or where there
// were none the table goes.
func (f *firewall) Undo(ctx context.Context, h *Machine) error {
	any, err := putBack(h)
	if err != nil || !any {
		return err
	}
	if _, err := h.Run.Run(ctx, Command{Argv: []string{"systemctl", "daemon-reload"}}); err != nil {
		return fmt.Errorf("telling systemd of the former firewall: %w", err)
	}
	rules, err := readIfThere(h.Path(firewallRules))
	if err != nil {
		return err
	}
	if rules == nil {
		if err := runNFT(ctx, h, emptyTable); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	return runNFT(ctx, h, string(rules))
}

// The ways back of steps that bring what harms nobody, or that only look.

// Undo leaves the folder: what is in it by now may be wanted.
func (d *directory) Undo(context.Context, *Machine) error { return nil }

// Undo leaves the password: it is for all releases.
func (p *password) Undo(context.Context, *Machine) error { return nil }

// Undo leaves the engine running.
func (engineService) Undo(context.Context, *Machine) error { return nil }

// Undo has nothing to take back: it only looks.
func (s *health) Undo(context.Context, *Machine) error { return nil }

// Undo leaves the image: the release before has its own.
func (s *imageStep) Undo(context.Context, *Machine) error { return nil }

// Undo leaves the network: containers of the release before may be in it.
func (n *networkStep) Undo(context.Context, *Machine) error { return nil }

// Undo has nothing to take back: it only looks.
func (r *recordings) Undo(context.Context, *Machine) error { return nil }

// Undo has nothing to take back: it only looks.
func (d *dongle) Undo(context.Context, *Machine) error { return nil }
