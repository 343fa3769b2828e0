package safepath

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/testneeds"
)

// somebody is a login's number, and nobody's on the machine that runs the tests.
const somebody = 51234

// host is a folder that stands for a host, in which home is somebody's.
func host(t *testing.T) (tree Tree, base string) {
	t.Helper()
	testneeds.Of(t, testneeds.Root) // it gives folders away
	base = t.TempDir()
	do(t, os.MkdirAll(base+"/home/valt/.ssh", 0o755), os.MkdirAll(base+"/data/real", 0o755), os.MkdirAll(base+"/var", 0o755),
		os.WriteFile(base+"/data/real/file", []byte("root's"), 0o644),
		os.Chown(base+"/home/valt", somebody, somebody), os.Chown(base+"/home/valt/.ssh", somebody, somebody))
	return Under(base), base
}

func do(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func TestLinksOfRootsAreFollowedAndNoOthers(t *testing.T) {
	tree, base := host(t)
	do(t, os.Symlink("/data/real", base+"/var/absolute"), os.Symlink("../data/./real", base+"/var/relative"),
		os.Symlink("absolute/../real/file", base+"/var/climbing"), os.Symlink("/../../../../data/real", base+"/var/outside"),
		os.Symlink("../home/valt", base+"/var/home"), os.Symlink("loop", base+"/var/loop"),
		os.Mkdir(base+"/sticky", 0o755), os.Chmod(base+"/sticky", 0o777|fs.ModeSticky), os.Symlink("/data/real", base+"/sticky/link"),
		os.Mkdir(base+"/group", 0o755), os.Chown(base+"/group", 0, somebody), os.Chmod(base+"/group", 0o775), os.Symlink("/data/real", base+"/group/link"),
		os.Symlink("/data/real", base+"/home/valt/link"), os.Symlink("/data/real/file", base+"/home/valt/file"),
		os.Mkdir(base+"/home/valt/roots", 0o700), os.Symlink("/data/real/file", base+"/home/valt/roots/file"))
	for at, want := range map[string]error{
		"/data/real/file": nil, "/var/absolute/file": nil, "/var/relative/file": nil, "/var/climbing": nil, "/var/outside/file": nil,
		"/sticky/link/file": ErrPlanted, "/group/link/file": ErrPlanted, "/home/valt/link/file": ErrPlanted, "/home/valt/file": ErrPlanted,
		"/home/valt/roots/file": ErrPlanted, // its folder is root's, and somebody's to put there
		"/var/home/file":        ErrPlanted,
		"/var/loop":             syscall.ELOOP, "/var/none": fs.ErrNotExist, "/none/file": fs.ErrNotExist, "/data/real/file/file": syscall.ENOTDIR,
	} {
		content, err := tree.ReadFile(at, 100)
		if !errors.Is(err, want) || want == nil && string(content) != "root's" {
			t.Errorf("%s: got %q, %v; want %v", at, content, err, want)
		}
		if _, err := tree.Stat(at); !errors.Is(err, want) {
			t.Errorf("looking at %s: got %v, want %v", at, err, want)
		}
	}
	_, err := tree.Folder("/home/valt/link")
	if told := (*problem.Error)(nil); !errors.As(err, &told) || told.Fix == "" || !strings.Contains(err.Error(), "/home/valt/link") {
		t.Errorf("a link is refused with %v, and nobody learns where it is and what to do", err)
	}
}

func TestAPipeIsNotWaitedForAndTooMuchIsNotRead(t *testing.T) {
	tree, base := host(t)
	do(t, syscall.Mkfifo(base+"/home/valt/pipe", 0o600), os.WriteFile(base+"/home/valt/large", nil, 0o600),
		os.Truncate(base+"/home/valt/large", 1<<30), os.WriteFile(base+"/home/valt/fits", bytes.Repeat([]byte("x"), 100), 0o600))
	for at, want := range map[string]error{"/home/valt/pipe": ErrPlanted, "/home/valt/pipe/file": syscall.ENOTDIR, "/home/valt/large": ErrTooLarge, "/home/valt/fits": nil} {
		if _, err := tree.ReadFile(at, 100); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", at, err, want)
		}
	}
	if _, err := tree.ReadFile("/home/valt/fits", 99); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one byte too many: %v", err)
	}
}

func TestAFolderStaysWhatWasOpened(t *testing.T) {
	tree, base := host(t)
	folder, err := tree.MakeFolder("/home/valt/.ssh/a/b", 0o700)
	do(t, err)
	defer folder.Close()
	do(t, os.Rename(base+"/home/valt/.ssh", base+"/home/valt/moved"), os.Symlink("../../data/real", base+"/home/valt/.ssh"),
		os.Mkdir(base+"/data/real/a", 0o755), os.Mkdir(base+"/data/real/a/b", 0o755))
	mine := durable.Owner{Mode: 0o640, UID: somebody, GID: somebody + 1}
	do(t, folder.WriteFile("file", []byte("x"), mine, nil), folder.Mkdir("folder", 0o700), folder.Symlink("file", "link"), folder.Give(mine))
	for _, name := range []string{"file", "folder", "link"} {
		if _, err := os.Lstat(filepath.Join(base, "home/valt/moved/a/b", name)); err != nil {
			t.Errorf("%s is not where it was written: %v", name, err)
		}
	}
	for _, at := range []string{"/home/valt/moved/a/b", "/home/valt/moved/a/b/file"} {
		info, err := os.Stat(base + at)
		do(t, err)
		if uid, gid, _ := OwnerOf(info); uid != mine.UID || gid != mine.GID || info.Mode().Perm() != mine.Mode {
			t.Errorf("%s is %d:%d %v", at, uid, gid, info.Mode())
		}
	}
	do(t, folder.RemoveAll("folder"), folder.Remove("file"), folder.RemoveAll("link"), folder.Remove("none"))
	for _, at := range []string{"/data/real/a/b", "/home/valt/moved/a/b"} {
		if left, err := os.ReadDir(base + at); err != nil || len(left) != 0 {
			t.Errorf("%s holds %v, %v", at, left, err)
		}
	}
}

func TestWhatIsRefusedBeforeItCountsIsNotThere(t *testing.T) {
	tree, base := host(t)
	folder, err := tree.Folder("/data/real")
	do(t, err)
	defer folder.Close()
	refusal := errors.New("no")
	err = folder.WriteFile("file", []byte("new"), durable.Owner{Mode: 0o440}, func(temporary string) error {
		content, err := os.ReadFile(temporary)
		info, _ := os.Stat(temporary)
		if err != nil || string(content) != "new" || info.Mode().Perm() != 0o440 {
			t.Errorf("asked about %q with mode %v, %v", content, info.Mode(), err)
		}
		return refusal
	})
	left, _ := os.ReadDir(base + "/data/real")
	if content, _ := os.ReadFile(base + "/data/real/file"); !errors.Is(err, refusal) || string(content) != "root's" || len(left) != 1 {
		t.Errorf("it is %q beside %v, %v", content, left, err)
	}
}
