package durable_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/durable/durabletest"
)

type powerLost struct{}

// until runs something until it ends, or the power is cut at a call.
func until(disk *durabletest.Disk, at int, do func() error) (ended bool, err error) {
	first := disk.Calls()
	disk.Fail(func(c durabletest.Call) error {
		if c.N-first == at {
			panic(powerLost{})
		}
		return nil
	})
	defer func() {
		if r := recover(); r != nil {
			if _, ours := r.(powerLost); !ours {
				panic(r)
			}
		}
		disk.Fail(nil)
	}()
	err = do()
	return true, err
}

// Every way of changing a file is done for good once it has returned, and wherever it is cut
// the file is what it was or what it was to be.
func TestAPowerCutLeavesTheOldOrTheNew(t *testing.T) {
	const was, is = "what it was before", "what it is to be, and longer"
	read := func(dir string) string {
		text, err := os.ReadFile(filepath.Join(dir, "state", "file"))
		if errors.Is(err, os.ErrNotExist) {
			return ""
		} else if err != nil {
			return err.Error()
		}
		return string(text)
	}
	for name, c := range map[string]struct {
		do       func(dir string) error
		old, new string
	}{
		"written": {func(dir string) error {
			return durable.WriteFile(filepath.Join(dir, "state", "file"), []byte(is), 0o600)
		}, was, is},
		"removed": {func(dir string) error { return durable.Remove(filepath.Join(dir, "state", "file")) }, was, ""},
		"linked":  {func(dir string) error { return durable.Symlink("/dev/null", filepath.Join(dir, "state", "file")) }, was, ""},
		"renamed": {func(dir string) error {
			to := filepath.Join(dir, "made")
			if err := durable.MkdirAll(to, 0o700); err != nil {
				return err
			}
			if err := durable.WriteFile(filepath.Join(to, "file"), []byte(is), 0o600); err != nil {
				return err
			}
			if err := durable.RemoveAll(filepath.Join(dir, "state")); err != nil {
				return err
			}
			return durable.Rename(to, filepath.Join(dir, "state"))
		}, "", is},
	} {
		t.Run(name, func(t *testing.T) {
			for at := 1; ; at++ {
				over := false
				for seed := range uint64(20) {
					dir := t.TempDir()
					if err := os.Mkdir(filepath.Join(dir, "state"), 0o755); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(filepath.Join(dir, "state", "file"), []byte(was), 0o644); err != nil {
						t.Fatal(err)
					}
					disk := durabletest.New(t, dir)
					ended, err := until(disk, at, func() error { return c.do(dir) })
					if err != nil {
						t.Fatal(err)
					}
					disk.PowerCut(seed)
					got := read(dir)
					if ended && got != c.new || !ended && got != c.old && got != c.new && !(c.old == "" && got == was) {
						t.Errorf("cut at call %d (it had returned: %v), seed %d: %q", at, ended, seed, got)
					}
					over = over || ended
				}
				if over {
					return
				}
			}
		})
	}
}

// What fails leaves the old content, and nothing beside it.
func TestACallThatFailsLeavesTheOld(t *testing.T) {
	for at := 1; ; at++ {
		dir := t.TempDir()
		path := filepath.Join(dir, "file")
		if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		disk := durabletest.New(t, dir)
		failed := ""
		disk.Fail(func(c durabletest.Call) error {
			if c.N == at {
				failed = c.Name
				return syscall.EIO
			}
			return nil
		})
		err := durable.WriteFile(path, []byte("new"), 0o600)
		if failed == "" {
			if err != nil {
				t.Fatal(err)
			}
			return
		}
		if !errors.Is(err, syscall.EIO) {
			t.Errorf("%s failed, and the error is %v", failed, err)
		}
		text, _ := os.ReadFile(path)
		if failed != "syncdir" && string(text) != "old" {
			t.Errorf("after %s failed it is %q", failed, text)
		}
		if failed != "remove" {
			assertOnly(t, dir, "file")
		}
	}
}
