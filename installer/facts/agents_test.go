package facts

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestProgramsOfOursAreNamedByWhatTheyAre(t *testing.T) {
	root, whole := t.TempDir(), strings.Repeat("0a", 32)
	for _, name := range []string{whole + "/valtctl", strings.Repeat("0b", 32) + "/valtctl.part", "tmp-1/valtctl"} {
		path := filepath.Join(root, AgentFolder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("program"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if got := (&host{root: root}).agents(); !slices.Equal(got, []string{whole}) {
		t.Errorf("%q", got)
	}
	if got := (&host{root: t.TempDir()}).agents(); got != nil {
		t.Errorf("of a bare server: %q", got)
	}
}
