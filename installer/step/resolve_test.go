package step

import (
	"os"
	"path/filepath"
	"testing"
)

// Links lead where they lead on the host, whose root may be a folder here.
func TestPathsAreFollowedFromTheHostsRoot(t *testing.T) {
	h := &Machine{Root: t.TempDir()}
	for from, to := range map[string]string{"/var/run": "/run", "/a/rel": "../b/c", "/b/abs": "/var/run/x", "/up": "../../../..", "/loop": "/loop2", "/loop2": "loop"} {
		if err := os.MkdirAll(filepath.Dir(h.Path(from)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(to, h.Path(from)); err != nil {
			t.Fatal(err)
		}
	}
	for from, want := range map[string]string{
		"/": "/", "/none/of/it": "/none/of/it", "/var/run": "/run", "/var/run/docker.sock": "/run/docker.sock",
		"/a/rel/d": "/b/c/d", "/b/abs/y": "/run/x/y", "/up/etc": "/etc", "/a/../b/abs": "/run/x",
	} {
		if got, err := Resolve(h, from); err != nil || got != want {
			t.Errorf("%s leads to %s, %v; want %s", from, got, err, want)
		}
	}
	if got, err := Resolve(h, "/loop/x"); err == nil {
		t.Errorf("a circle leads to %s", got)
	}
}
