package step

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The tests of apt run the machine's real apt, dpkg and gpgv on a root of their own:
// a temporary folder with its own /etc and /var, and the machine's /usr mounted
// read-only. Every program gets a mount namespace, so its mounts end with it and a
// killed test leaves nothing. It needs root, as apt does.

const (
	rootVariable = "VALTCTL_TEST_ROOT" // run argv in that root
	lockVariable = "VALTCTL_TEST_LOCK" // hold that file's lock until killed
)

func TestMain(m *testing.M) {
	if root := os.Getenv(rootVariable); root != "" {
		fmt.Fprintln(os.Stderr, "entering the test root:", enterRoot(root, os.Args[1:]))
		os.Exit(125)
	}
	if file := os.Getenv(lockVariable); file != "" {
		fmt.Fprintln(os.Stderr, "holding the lock:", holdLock(file))
		os.Exit(125)
	}
	os.Exit(m.Run())
}

// enterRoot replaces this process by argv inside root. It returns only to fail.
func enterRoot(root string, argv []string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making mounts private: %w", err)
	}
	for _, dir := range []string{"/usr", "/dev", "/proc"} {
		if err := unix.Mount(dir, root+dir, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
			return fmt.Errorf("mounting %s: %w", dir, err)
		}
	}
	if err := unix.Mount("", root+"/usr", "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("making /usr read-only: %w", err)
	}
	if err := errors.Join(unix.Chroot(root), unix.Chdir("/")); err != nil {
		return fmt.Errorf("entering %s: %w", root, err)
	}
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, rootVariable+"=") {
			env = append(env, e)
		}
	}
	program, err := exec.LookPath(argv[0])
	if err != nil {
		return fmt.Errorf("looking for %s: %w", argv[0], err)
	}
	return unix.Exec(program, argv, env)
}

func holdLock(file string) error {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	lock := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &lock); err != nil {
		return err
	}
	fmt.Println("held")
	select {}
}

// aptRoot is a host with real apt in a folder.
type aptRoot struct {
	*Machine
	t    *testing.T
	repo *aptRepo

	mu       sync.Mutex
	ran      []string                   // argv of every program, in order
	fake     map[string]fakeProgram     // programs that are not run for real, by argv[0]
	told     []Progress                 // what was reported
	onReport func(Progress)             // called for each, if set
	running  map[int]context.CancelFunc // process groups
}

// fakeProgram answers instead of a program that needs a whole system.
type fakeProgram func(argv []string) (string, error)

func newAptRoot(t *testing.T) *aptRoot {
	t.Helper()
	r := &aptRoot{t: t, running: map[int]context.CancelFunc{}, fake: map[string]fakeProgram{}}
	r.Machine = &Machine{Root: t.TempDir(), Run: r, Now: func() time.Time { return noted }, Progress: r.report}
	if err := os.Chmod(r.Root, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"usr", "dev", "proc", "run", "root", "opt", "etc/apt/apt.conf.d", "etc/apt/preferences.d", "etc/apt/sources.list.d",
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
	place(t, r.Machine, "/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n_apt:x:42:65534::/nonexistent:/usr/sbin/nologin\nnobody:x:65534:65534::/:/usr/sbin/nologin\n")
	place(t, r.Machine, "/etc/group", "root:x:0:\nnogroup:x:65534:\n")
	place(t, r.Machine, "/var/lib/dpkg/status", "")
	place(t, r.Machine, "/etc/dpkg/dpkg.cfg", "force-unsafe-io\n") // a lost test root is no loss
	return r
}

func (r *aptRoot) report(p Progress) {
	r.mu.Lock()
	r.told = append(r.told, p)
	react := r.onReport
	r.mu.Unlock()
	if react != nil {
		react(p)
	}
}

// toldOf says whether any progress held the words.
func (r *aptRoot) toldOf(words string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.told {
		if strings.Contains(p.Text, words) {
			return true
		}
	}
	return false
}

// runs lists the programs that ran whose command line holds the words.
func (r *aptRoot) runs(words string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []string
	for _, line := range r.ran {
		if strings.Contains(line, words) {
			found = append(found, line)
		}
	}
	return found
}

// Run runs a program in the root.
func (r *aptRoot) Run(ctx context.Context, c Command) (Output, error) {
	r.mu.Lock()
	r.ran = append(r.ran, strings.Join(c.Argv, " "))
	fake := r.fake[c.Argv[0]]
	r.mu.Unlock()
	if fake != nil {
		out, err := fake(c.Argv)
		return Output{Stdout: []byte(out)}, err
	}
	ctx, kill := context.WithCancel(ctx)
	defer kill()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", c.Argv...)
	env := c.Env
	if env == nil {
		env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}
	}
	cmd.Env = append([]string{rootVariable + "=" + r.Root}, env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Setsid: true}
	cmd.WaitDelay = 100 * time.Millisecond // what a killed program leaves running keeps its output open
	var out, errs bytes.Buffer
	lines := &lineWriter{each: c.Line}
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&out, lines), &errs
	if err := cmd.Start(); err != nil {
		return Output{}, fmt.Errorf("starting %s: %w", c.Argv[0], err)
	}
	r.track(cmd.Process.Pid, kill)
	err := cmd.Wait()
	if err != nil {
		err = fmt.Errorf("%s: %w: %s", c.Argv[0], err, strings.TrimSpace(errs.String()))
	}
	return Output{Stdout: out.Bytes(), Stderr: errs.Bytes(), Code: cmd.ProcessState.ExitCode()}, err
}

func (r *aptRoot) track(pid int, kill context.CancelFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.running = map[int]context.CancelFunc{pid: kill}
}

// killAll sends SIGKILL to the program that runs and to all it started, as systemd
// does to a unit.
func (r *aptRoot) killAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for pid := range r.running {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
}

// killOne sends SIGKILL to the program alone; what it started goes on.
func (r *aptRoot) killOne() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for pid := range r.running {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// holdLock lets another process take one of the locks, until the function returned
// is called.
func (r *aptRoot) holdLock(lock string) (release func()) {
	r.t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{lockVariable + "=" + r.Path(lock)}
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("held\n"))); err != nil {
		r.t.Fatal("the lock was not taken: ", err)
	}
	place(r.t, r.Machine, "/proc/"+strconv.Itoa(cmd.Process.Pid)+"/comm", "unattended-upgr\n")
	var once sync.Once
	release = func() {
		once.Do(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
	}
	r.t.Cleanup(release)
	return release
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

// debArch is this machine's architecture in dpkg's word, for those where Go's is the same.
const debArch = runtime.GOARCH
