package steptest

import (
	"bytes"
	"context"
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
	"time"

	"golang.org/x/sys/unix"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/testneeds"
)

// holdRoot is run as `sh -ec` in a mount namespace of its own: it puts the machine's /usr
// below the root, all but /usr/local, says that it has, and stays in the root until nobody
// holds its input any more.
const holdRoot = `
mount --bind "$0/usr/local" "$0/.local"
mount --bind -o ro /usr "$0/usr"
mount --bind "$0/.local" "$0/usr/local"
exec chroot "$0" sh -c 'echo; read -r end'
`

// enterRoot is run as `sh -ec` and becomes a program in the root that process $0 holds.
// Few open files are allowed because apt closes every number that is, one by one.
const enterRoot = `ulimit -n 256; exec nsenter --target "$0" --mount --root -- "$@"`

// Chroot is a host with the machine's real programs in a folder.
type Chroot struct {
	*step.Machine
	T *testing.T

	mu       sync.Mutex
	Ran      []string               // argv of every program, in order
	Fake     map[string]FakeProgram // programs that are not run for real, by argv[0]
	Told     []step.Progress        // what was reported
	OnReport func(step.Progress)    // called for each, if set
	running  int                    // the process that was started last
	holder   string                 // the process that holds the root, by its number
}

// FakeProgram answers instead of a program that needs a whole system.
type FakeProgram func(argv []string) (string, error)

// NewChroot makes one. It needs root, as apt does.
func NewChroot(t *testing.T) *Chroot {
	t.Helper()
	if testing.Short() {
		t.Skip("this is the time of apt and not ours; make unit runs this without the race detector")
	}
	testneeds.Of(t, testneeds.Root, testneeds.Program("apt-get", "apt"), testneeds.Program("dpkg-deb", "dpkg"), testneeds.Program("nsenter", "util-linux"))
	r := &Chroot{T: t, Fake: map[string]FakeProgram{}}
	r.Machine = &step.Machine{Root: t.TempDir(), Run: r, Now: func() time.Time { return Noted }, Progress: r.report}
	if err := os.Chmod(r.Root, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"usr/local/share", ".local", "dev", "proc", "run", "root", "opt", "etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/sources.list.d",
		"etc/dpkg/dpkg.cfg.d", "var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "var/lib/apt/lists/partial",
		"var/cache/apt/archives/partial", "var/log/apt"} {
		if err := os.MkdirAll(filepath.Join(r.Root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, link := range []string{"bin", "sbin", "lib", "lib64"} {
		if err := os.Symlink("usr/"+link, filepath.Join(r.Root, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(r.Root+"/tmp", 0o777), os.Chmod(r.Root+"/tmp", 0o777|os.ModeSticky)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(unix.Mknod(r.Root+"/dev/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))), os.Chmod(r.Root+"/dev/null", 0o666)); err != nil {
		t.Fatal(err)
	}
	Place(t, r.Machine, "/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n_apt:x:42:65534::/nonexistent:/usr/sbin/nologin\nnobody:x:65534:65534::/:/usr/sbin/nologin\n")
	Place(t, r.Machine, "/etc/group", "root:x:0:\nnogroup:x:65534:\n")
	Place(t, r.Machine, "/var/lib/dpkg/status", "")
	Place(t, r.Machine, "/etc/dpkg/dpkg.cfg", "force-unsafe-io\n") // a lost test root is no loss
	r.hold()
	return r
}

// hold mounts what the root needs, once for all programs that run in it. It ends with the
// test, or with the process of the tests.
func (r *Chroot) hold() {
	r.T.Helper()
	cmd := exec.CommandContext(r.T.Context(), "unshare", "-m", "sh", "-ec", holdRoot, r.Root)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		r.T.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.T.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.T.Fatal(err)
	}
	r.T.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait() // the test's context has ended it, or its input's end does
	})
	if _, err := io.ReadFull(out, make([]byte, 1)); err != nil {
		r.T.Fatal("mounting in the root: ", err)
	}
	r.holder = strconv.Itoa(cmd.Process.Pid)
}

func (r *Chroot) report(p step.Progress) {
	r.mu.Lock()
	r.Told = append(r.Told, p)
	react := r.OnReport
	r.mu.Unlock()
	if react != nil {
		react(p)
	}
}

// ToldOf says whether any progress held the words.
func (r *Chroot) ToldOf(words string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.Told {
		if strings.Contains(p.Text, words) {
			return true
		}
	}
	return false
}

// Runs lists the programs that ran whose command line holds the words.
func (r *Chroot) Runs(words string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []string
	for _, line := range r.Ran {
		if strings.Contains(line, words) {
			found = append(found, line)
		}
	}
	return found
}

// Run runs a program in the root.
func (r *Chroot) Run(ctx context.Context, c step.Command) (step.Output, error) {
	r.mu.Lock()
	r.Ran = append(r.Ran, strings.Join(c.Argv, " "))
	fake := r.Fake[c.Argv[0]]
	r.mu.Unlock()
	if fake != nil {
		out, err := fake(c.Argv)
		return step.Output{Stdout: []byte(out)}, err
	}
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-ec", enterRoot, r.holder}, c.Argv...)...)
	cmd.Env = c.Env
	if cmd.Env == nil {
		cmd.Env = []string{"PATH=" + step.SearchPath}
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.WaitDelay = 3 * time.Second // what a killed program leaves running keeps its output open; a busy machine is slow to read it
	var out, errs bytes.Buffer
	lines := &lineWriter{each: c.Line}
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, lines), &errs
	closeStatus, err := step.OpenStatus(cmd, c.Status)
	if err != nil {
		return step.Output{}, err
	}
	defer closeStatus()
	if err := cmd.Start(); err != nil {
		return step.Output{}, fmt.Errorf("starting %s: %w", c.Argv[0], err)
	}
	r.track(cmd.Process.Pid)
	err = cmd.Wait()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", c.Argv[0], err, strings.TrimSpace(errs.String()))
	}
	return step.Output{Stdout: out.Bytes(), Stderr: errs.Bytes(), Code: cmd.ProcessState.ExitCode()}, err
}

func (r *Chroot) track(pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running = pid
}

// Kill sends SIGKILL to the program that runs: with all it started, as systemd ends a
// unit, or alone, so that what it started goes on.
func (r *Chroot) Kill(all bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid := r.running
	if all {
		pid = -pid
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		r.T.Error("killing: ", err)
	}
}

// lineWriter hands out whole lines.
type lineWriter struct {
	each func(string)
	rest []byte
}

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		line, rest, found := bytes.Cut(w.rest, []byte{'\n'})
		if !found {
			return len(p), nil
		}
		w.rest = rest
		if w.each != nil {
			w.each(string(line))
		}
	}
}
