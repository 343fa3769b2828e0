package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/txn"
)

// Programs of years go, but for the newest, the one at work, and those that something starts.
func TestOldProgramsGoButForThoseThatSomethingStarts(t *testing.T) {
	root := t.TempDir()
	write := func(path, text string) {
		full := filepath.Join(root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	name := func(n int) string { return fmt.Sprintf("%064x", n) }
	folder := func(n int) string { return filepath.Join(facts.AgentFolder, name(n)) }
	for n := range 20 {
		write(filepath.Join(folder(n), "valtctl"), "x")
		at := time.Unix(int64(n), 0)
		if err := os.Chtimes(filepath.Join(root, folder(n)), at, at); err != nil {
			t.Fatal(err)
		}
	}
	write("/etc/passwd", "root:x:0:0::/root:/bin/sh\nvalt:x:1000:1000::/home/valt:/bin/sh\n")
	write("/etc/systemd/system/valtctl-schedule.service", "ExecStart="+folder(1)+"/valtctl schedule run\n")
	write("/etc/sudoers.d/valtctl", "valt ALL=(root) NOPASSWD: "+folder(2)+"/valtctl agent --restricted\n")
	write("/home/valt/.ssh/authorized_keys", `command="`+folder(3)+`/valtctl agent --restricted" ssh-ed25519 AAAA`+"\n")
	write(filepath.Join(facts.AgentFolder, "something-else"), "x")
	s := &Side{Now: time.Now, Launcher: txn.Launcher{Root: root, Agent: folder(4) + "/valtctl"}}
	s.clearAgents()
	var left []string
	entries, err := os.ReadDir(filepath.Join(root, facts.AgentFolder))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		left = append(left, e.Name())
	}
	want := []string{name(1), name(2), name(3), name(4), name(17), name(18), name(19), "something-else"}
	if strings.Join(left, " ") != strings.Join(want, " ") {
		t.Errorf("left are %v", left)
	}
}

// Where it cannot be told what starts them, nothing goes.
func TestProgramsStayWhereItIsNotKnownWhatStartsThem(t *testing.T) {
	root := t.TempDir()
	for n := range 20 {
		if err := os.MkdirAll(filepath.Join(root, facts.AgentFolder, fmt.Sprintf("%064x", n)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	(&Side{Now: time.Now, Launcher: txn.Launcher{Root: root, Agent: "/valtctl"}}).clearAgents() // there is no /etc/passwd
	if entries, err := os.ReadDir(filepath.Join(root, facts.AgentFolder)); err != nil || len(entries) != 20 {
		t.Errorf("%d are left, %v", len(entries), err)
	}
}

// A login's own file may be anything: a pipe is not waited for, and of what is too long nothing is
// concluded.
func TestALoginsFileIsReadUpToALimit(t *testing.T) {
	root := t.TempDir()
	pipe, long := filepath.Join(root, "pipe"), filepath.Join(root, "long")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.WriteFile(long, make([]byte, maxNamed+1), 0o600)); err != nil {
		t.Fatal(err)
	}
	if text, err := textOf(pipe); len(text) > 0 || err != nil {
		t.Errorf("of a pipe: %q, %v", text, err)
	}
	if _, err := textOf(long); err == nil {
		t.Error("the beginning of a file is taken for all of it")
	}
	if text, err := textOf("/dev/zero"); len(text) > 0 || err != nil {
		t.Errorf("of a device: %d bytes, %v", len(text), err)
	}
}
