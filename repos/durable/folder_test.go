package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"ipivs.com/valtctl/repos/testneeds"
)

func TestASecretIsItsOwnersBeforeItHasItsName(t *testing.T) {
	testneeds.Of(t, testneeds.Root) // it gives a file away
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	refusal := errors.New("looked at")
	err = In(root, dir).WriteFileAs("secret", []byte("x"), Owner{Mode: 0o640, UID: 51234, GID: 51235}, func(temporary string) error {
		info, err := os.Stat(temporary)
		if err != nil {
			return err
		}
		if st := info.Sys().(*syscall.Stat_t); st.Uid != 51234 || st.Gid != 51235 || info.Mode().Perm() != 0o640 {
			t.Errorf("under its temporary name it is %d:%d %v", st.Uid, st.Gid, info.Mode())
		}
		return refusal
	})
	if !errors.Is(err, refusal) {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("what was refused left %v, %v", left, err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "secret")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it has its name: %v", err)
	}
}
