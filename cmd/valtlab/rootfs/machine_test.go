package rootfs

import (
	"os"
	"path/filepath"
	"testing"
)

func TestMirrorIsTheMachinesOwn(t *testing.T) {
	for name, c := range map[string]struct{ file, content, want string }{
		"deb822":       {"sources.list.d/debian.sources", "Types: deb\n# old\nURIs: http://mirror.example/debian/\nSuites: bookworm bookworm-updates\n", "http://mirror.example/debian"},
		"one line":     {"sources.list", "deb http://mirror.example/debian bookworm main\n", "http://mirror.example/debian"},
		"with options": {"sources.list.d/x.list", "deb [arch=amd64 signed-by=/k.gpg] http://mirror.example/debian bookworm main\n", "http://mirror.example/debian"},
		"another's":    {"sources.list.d/x.list", "deb http://other.example/apt cloud-bookworm main\n", ""},
		"commented":    {"sources.list", "# deb http://mirror.example/debian bookworm main\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.MkdirAll(filepath.Join(dir, "sources.list.d"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, c.file), []byte(c.content), 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := MachineMirror(dir)
			if got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("got %q, %v, want %q", got, err, c.want)
			}
		})
	}
}
