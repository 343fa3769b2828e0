package txn

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ipivs.com/valtctl/installer/journal"
)

// writeWhole replaces a file by one rename, after its content is on the disk.
func writeWhole(path string, content []byte, mode os.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, errors.Join(err, os.Remove(f.Name())))
	}
	return journal.SyncDir(filepath.Dir(path))
}

// writeJSON is writeWhole of a value.
func writeJSON(path string, v any, mode os.FileMode) error {
	content, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	return writeWhole(path, append(content, '\n'), mode)
}

// readJSON reads what writeJSON wrote.
func readJSON(path string, v any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	if err := json.Unmarshal(content, v); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	return nil
}
