package rootfs

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// pretend puts a script in the place of mmdebstrap.
func pretend(t *testing.T, script string) {
	t.Helper()
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "mmdebstrap"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
}

func TestFailedBuildSaysWhatItsProgramSaid(t *testing.T) {
	pretend(t, `printf 'a piece of a root'
i=0; while [ $i -lt 200 ]; do echo "I: package $i" >&2; i=$((i+1)); done
echo 'Err:1 http://mirror.example/debian bookworm InRelease' >&2
echo 'E: apt-get update failed' >&2
exit 25`)
	var out bytes.Buffer
	err := NewBuilder(nil, "http://mirror.example/debian", t.TempDir()).Tar(t.Context(), Recipe{Name: "broken"}, &out)
	if err == nil {
		t.Fatal("a build that failed is no error")
	}
	for _, want := range []string{"running mmdebstrap: exit status 25", "Err:1 http://mirror.example", "E: apt-get update failed"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
	if strings.Contains(err.Error(), "package 100") {
		t.Errorf("it says too much: %v", err)
	}
}

// mmdebstrap that is told to be quiet keeps back what apt said even where apt failed.
func TestBuilderLetsTheProgramSpeak(t *testing.T) {
	for _, word := range (Recipe{Name: "x"}).arguments("http://mirror.example/debian", "") {
		if word == "--quiet" || word == "--silent" {
			t.Errorf("it is run with %s", word)
		}
	}
}

func TestBrokenNullIsNamed(t *testing.T) {
	const device = fs.ModeDevice | fs.ModeCharDevice
	for name, c := range map[string]struct {
		mode fs.FileMode
		want string // a part of the error; none: it is as it should be
	}{
		"as it should be":  {device | 0o666, ""},
		"not for everyone": {device | 0o644, "is Dcrw-r--r-- instead of Dcrw-rw-rw-"},
		"a file":           {0o666, "is -rw-rw-rw- instead of"},
		"a disk":           {fs.ModeDevice | 0o666, "instead of"},
	} {
		err := judgeNull(c.mode)
		if (err == nil) != (c.want == "") || err != nil && !(strings.Contains(err.Error(), c.want) && strings.Contains(err.Error(), "mknod -m 666 /dev/null c 1 3")) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := CheckNull(); err != nil {
		t.Error(err)
	}
}
