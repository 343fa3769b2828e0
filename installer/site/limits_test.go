package site

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A site file is read up to its limit, whatever it is.
func TestASiteFileHasALimit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "site.yaml")
	if err := os.WriteFile(file, []byte(strings.Repeat("#", maxFile+1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file, ""); err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes") {
		t.Errorf("got %v", err)
	}
	if _, err := Load("/dev/zero", ""); err == nil || !strings.Contains(err.Error(), "more than 1048576 bytes") {
		t.Errorf("of what has no end: %v", err)
	}
}

// Some ranges in a few bytes make no millions of cameras.
func TestAServersCamerasHaveALimit(t *testing.T) {
	text := `site: st-marys
ssl: true
clients: [10.0.0.0/16]
hosts:
  - {name: media1, address: 10.0.4.21, roles: [media], cameras: [` + strings.Repeat("10.1.0.0-10.1.3.255, ", 40_000) + `10.2.0.1]}
`
	if _, err := Parse("site.yaml", []byte(text), ""); err == nil || !strings.Contains(err.Error(), "more than 4096 cameras") {
		t.Errorf("got %.300v", err)
	}
}
