package durable_test

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"ipivs.com/valtctl/repos/durable"
)

// unclosing are files whose content is refused at their closing, as network file systems do.
type unclosing struct{ durable.Files }

type refusing struct{ durable.File }

var errRefused = errors.New("disk quota exceeded")

func (u unclosing) CreateTemp(dir, pattern string) (durable.File, error) {
	f, err := u.Files.CreateTemp(dir, pattern)
	return refusing{f}, err
}

func (r refusing) Close() error { return errors.Join(r.File.Close(), errRefused) }

func TestWhatIsRefusedAtItsClosingDoesNotCount(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.json")
	if err := durable.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	defer durable.Mount(dir, unclosing{durable.Local})()
	if err := durable.WriteFile(path, []byte("new"), 0o600); !errors.Is(err, errRefused) {
		t.Errorf("%v", err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("%q, %v", got, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestAFileHasTheModeThatWasAskedFor(t *testing.T) {
	for _, mode := range []fs.FileMode{0o600, 0o640, 0o444, 0o755} {
		path := filepath.Join(t.TempDir(), "file")
		for what, write := range map[string]func() error{
			"held": func() error { return durable.WriteFile(path, []byte("x"), mode) },
			"poured": func() error {
				return durable.WriteFrom(path, mode, func(w io.Writer) error { _, err := w.Write([]byte("x")); return err })
			},
		} {
			if err := write(); err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
				t.Errorf("%s: its mode is %v instead of %v, %v", what, info.Mode(), mode, err)
			}
		}
	}
}
