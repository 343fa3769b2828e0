package txn

import (
	"encoding/json"
	"fmt"
	"os"

	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/plain"
)

// writeJSON replaces a file, for good, by a value's JSON, which is safe to look at.
func writeJSON(path string, v any, mode os.FileMode) error {
	content, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	return durable.WriteFile(path, append(plain.JSON(content), '\n'), mode)
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
