package schedule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/plain"
)

// Files are where the schedule of a site keeps what it knows.
type Files struct{ State, Notices, Pause, Enabled string }

// Load reads what is remembered, with a person's words since: a pause, or that it was
// enabled anew, which forgives a release that halted.
func (f Files) Load() (State, error) {
	var s State
	var e Enablement
	var p Pause
	if _, err := readJSON(f.State, &s); err != nil {
		return s, err
	}
	if _, err := readJSON(f.Notices, &s.Unsent); err != nil {
		return s, err
	}
	if _, err := readJSON(f.Enabled, &e); err != nil {
		return s, err
	}
	paused, err := readJSON(f.Pause, &p)
	if err != nil {
		return s, err
	}
	return s.With(e, p, paused), nil
}

// With is a state with what a person has said since.
func (s State) With(e Enablement, p Pause, paused bool) State {
	s.Schema, s.Paused = Schema, nil
	if e.Since.After(s.Since) {
		s.Since, s.Halted, s.Skipped = e.Since, "", nil
	}
	if paused {
		s.Paused = &p
	}
	return s
}

// Save writes what is to be remembered.
func (f Files) Save(s State) error {
	s.Paused, s.Undelivered = nil, len(s.Unsent) // a person's file has the pause
	if err := durable.MkdirAll(filepath.Dir(f.State), 0o700); err != nil {
		return fmt.Errorf("writing what the schedule remembers: %w", err)
	}
	return errors.Join(writeJSON(f.Notices, s.Unsent), writeJSON(f.State, s))
}

func writeJSON(path string, what any) error {
	raw, err := json.MarshalIndent(what, "", "  ")
	if err != nil {
		return fmt.Errorf("writing what the schedule remembers: %w", err)
	}
	return durable.WriteFile(path, append(plain.JSON(raw), '\n'), 0o600) // what hosts said stands there too
}

func readJSON(path string, into any) (there bool, err error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = json.Unmarshal(content, into)
	}
	if err != nil {
		return false, fmt.Errorf("reading what the schedule remembers in %s: %w", path, err)
	}
	return true, nil
}
