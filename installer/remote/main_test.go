package remote_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/remote"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/testneeds"
)

// The tests use the machine's real sshd, dropbear and sudo (Debian packages
// openssh-server, dropbear-bin, sudo) and therefore need root. They run in a mount
// namespace of their own, in which the test's logins, their homes and the agent's
// folder exist, so that nothing of it is left on the machine, whatever happens.

const inNamespace = "VALTCTL_TEST_NAMESPACE"

func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "agent" {
		os.Exit(agentMain(os.Args[2]))
	}
	if len(os.Args) == 4 && os.Args[1] == "agent" && os.Args[2] == "--once" {
		os.Exit(onceMain(os.Args[3]))
	}
	lacks = testneeds.Missing(testneeds.Root, testneeds.File("/usr/sbin/sshd", "openssh-server"), testneeds.File("/usr/sbin/dropbear", "dropbear-bin"),
		testneeds.Program("dropbearkey", "dropbear-bin"), testneeds.File("/etc/sudoers", "sudo"), testneeds.Program("sudo", "sudo"))
	if lacks != "" {
		os.Exit(m.Run()) // what needs no server
	}
	if os.Getenv(inNamespace) == "" {
		os.Exit(reexec())
	}
	if err := furnish(os.Getenv(inNamespace)); err != nil {
		fmt.Fprintln(os.Stderr, "furnishing the namespace:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// lacks is what the machine lacks for a server; it is asked outside of the namespace too.
var lacks string

// furnished skips a test where there is no namespace of the tests' own.
func furnished(t testing.TB) {
	t.Helper()
	testneeds.Of(t, func() string { return lacks })
}

// agentMain is the agent of these tests: the test binary itself, uploaded.
func agentMain(nonce string) int {
	fmt.Printf("\n%s\n", remote.Ready(nonce))
	err := agent.Serve(context.Background(), agent.Stdio(os.Stdin, os.Stdout), agent.Handlers{
		Facts: func(context.Context, agent.FactsRequest) (agent.FactsReply, error) {
			exe, _ := os.Executable()
			return agent.FactsReply{Facts: facts.Facts{Hostname: exe, CPUs: os.Getuid()}}, nil
		},
		TxnFollow: func(_ context.Context, r agent.TxnFollowRequest, event func(txn.Event) error) (agent.TxnFollowReply, error) {
			for i := range r.From {
				if err := event(txn.Event{Record: &journal.Record{Seq: i, Step: strings.Repeat("x", 1000)}}); err != nil {
					return agent.TxnFollowReply{}, err
				}
			}
			return agent.TxnFollowReply{Result: txn.Result{Outcome: txn.Done}}, nil
		},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// onceMain is the agent of these tests that leaves nothing.
func onceMain(nonce string) int {
	exe, err := os.Executable()
	if err == nil {
		err = remote.RemoveOnce(exe)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return agentMain(nonce)
}

// endsAtOnce is for the agents' environment. The race detector has a program sleep for a
// second before it ends, for races with the exit handlers of C, of which Go has none.
const endsAtOnce = "GORACE=atexit_sleep_ms=0"

// reexec runs the tests again in a mount namespace of their own.
func reexec() int {
	dir, err := os.MkdirTemp("", "valtctl-remote-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inNamespace+"="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	err = cmd.Run()
	var exited *exec.ExitError
	if errors.As(err, &exited) {
		return exited.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "starting the tests in a mount namespace (they need root):", err)
		return 1
	}
	return 0
}

// loginPassword is every test login's, loginHash as crypt(5) has it.
const (
	loginPassword = "right horse"
	loginHash     = "$6$valtctl$U0A4epU0DVaOQXNL7Y5VT9z2q56gSca8pCFRzT6xcGo6jdsQOjAC9YvFdbO.5OoZGsRJGgztwEVMyIWn175zr."
)

// logins are the test's users: name and shell.
var logins = [][2]string{
	{"free", "/bin/bash"},    // sudo without a password
	{"asked", "/bin/bash"},   // sudo with a password and a pty of its own
	{"barred", "/bin/bash"},  // no sudo
	{"noisy", "/bin/bash"},   // a .bashrc that prints, and traces what it runs
	{"plain", "/bin/sh"},     // as free, another shell
	{"flooded", "/bin/bash"}, // a .bashrc that never stops
}

// furnish mounts what the tests need over the machine's own.
func furnish(dir string) error {
	sudoers := "Defaults secure_path=/usr/sbin:/usr/bin:/sbin:/bin\nDefaults env_keep += GORACE\nDefaults:asked use_pty\nDefaults:asked timestamp_timeout=0\n" +
		"root ALL=(ALL) ALL\nfree,noisy,plain,flooded ALL=(ALL) NOPASSWD: ALL\nasked ALL=(ALL) ALL\n"
	files := map[string]string{"/etc/sudoers": sudoers}
	for path, line := range map[string]string{
		"/etc/passwd": "NAME:x:ID:ID::/home/NAME:SHELL\n",
		"/etc/shadow": "NAME:" + loginHash + ":19000:0:99999:7:::\n",
		"/etc/group":  "NAME:x:ID:\n",
	} {
		have, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files[path] = string(have)
		for i, l := range logins {
			files[path] += strings.NewReplacer("NAME", l[0], "ID", strconv.Itoa(61000+i), "SHELL", l[1]).Replace(line)
		}
	}
	for path, text := range files {
		copied := filepath.Join(dir, filepath.Base(path))
		mode := os.FileMode(0o644)
		if path == "/etc/sudoers" {
			mode = 0o440
		}
		if err := os.WriteFile(copied, []byte(text), mode); err != nil {
			return err
		}
		if err := syscall.Mount(copied, path, "", syscall.MS_BIND, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", path, err)
		}
	}
	for path, flags := range map[string]uintptr{"/home": syscall.MS_NOEXEC, "/run": 0, "/var/lib": 0} {
		if err := syscall.Mount("tmpfs", path, "tmpfs", flags, "mode=755"); err != nil {
			return fmt.Errorf("mounting %s: %w", path, err)
		}
	}
	if err := os.Mkdir("/run/sshd", 0o755); err != nil {
		return err
	}
	if err := grabbingEnv(dir); err != nil {
		return err
	}
	if _, err := writeKey(filepath.Join(dir, "id"), ""); err != nil {
		return err
	}
	for i, l := range logins {
		if err := settle("/home/"+l[0], 61000+i); err != nil {
			return err
		}
	}
	if err := os.WriteFile("/home/noisy/.bashrc", []byte("echo 'Welcome to St Mary'\\''s'\nprintf 'no newline' >&2\nset -x\n"), 0o644); err != nil {
		return err
	}
	return os.WriteFile("/home/flooded/.bashrc", []byte("yes\n"), 0o644)
}

// grabbingEnv puts an env in the place of the machine's that takes -S for an option of its own wherever it stands,
// also behind the program, as that of uutils 0.0.30 does.
func grabbingEnv(dir string) error {
	own, err := os.ReadFile("/usr/bin/env")
	if err != nil {
		return err
	}
	const script = "#!/bin/sh\nfor a in \"$@\"; do case $a in -S*) echo \"env: no string to split\" >&2; exit 125;; esac; done\nexec /run/env \"$@\"\n"
	grabbing := filepath.Join(dir, "env")
	if err := errors.Join(os.WriteFile("/run/env", own, 0o755), os.WriteFile(grabbing, []byte(script), 0o755)); err != nil {
		return err
	}
	if err := syscall.Mount(grabbing, "/usr/bin/env", "", syscall.MS_BIND, ""); err != nil {
		return fmt.Errorf("mounting env: %w", err)
	}
	return nil
}

func settle(home string, id int) error {
	if err := os.MkdirAll(home+"/.ssh", 0o700); err != nil {
		return err
	}
	return errors.Join(os.Chmod(home, 0o755), os.Chown(home, id, id), os.Chown(home+"/.ssh", id, id))
}

// theAgent is the test binary as the agent to upload.
func theAgent(t testing.TB) remote.Agent {
	t.Helper()
	a, err := hashed()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// hashed reads the test binary once for all tests.
var hashed = sync.OnceValues(func() (remote.Agent, error) {
	exe, err := os.Executable()
	if err != nil {
		return remote.Agent{}, err
	}
	file, err := os.Open(exe)
	if err != nil {
		return remote.Agent{}, err
	}
	defer file.Close()
	sum := sha256.New()
	size, err := io.Copy(sum, file)
	return remote.Agent{
		Hash: hex.EncodeToString(sum.Sum(nil)), Size: size, Path: exe,
		Open: func() (io.ReadSeekCloser, error) { return os.Open(exe) },
	}, err
})
