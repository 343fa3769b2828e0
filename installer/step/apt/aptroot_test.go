package apt

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ipivs.com/valtctl/installer/step/steptest"
)

// The tests of apt run the machine's real apt, dpkg and gpgv on a root of their own:
// a temporary folder with its own /etc and /var, and the machine's /usr mounted
// read-only. Every program gets a mount namespace, so its mounts end with it and a
// killed test leaves nothing. It needs root, as apt does.

// lockVariable makes the test program hold that file's lock until it is killed.
const lockVariable = "VALTCTL_TEST_LOCK"

func TestMain(m *testing.M) {
	if file := os.Getenv(lockVariable); file != "" {
		fmt.Fprintln(os.Stderr, "holding the lock:", holdLock(file))
		os.Exit(125)
	}
	os.Exit(m.Run())
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
	for { // a runtime in which nothing but select waits would end the process as a deadlock
		time.Sleep(time.Hour)
		runtime.KeepAlive(f)
	}
}

// aptRoot is a host with real apt in a folder.
type aptRoot struct {
	*steptest.Chroot
	repo *aptRepo
}

func newAptRoot(t *testing.T) *aptRoot {
	t.Helper()
	return &aptRoot{Chroot: steptest.NewChroot(t)}
}

// holdLock lets another process take one of the locks, until the function returned
// is called.
func (r *aptRoot) holdLock(lock string) (release func()) {
	r.T.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{lockVariable + "=" + r.Path(lock)}
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.T.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.T.Fatal(err)
	}
	if _, err := io.ReadFull(out, make([]byte, len("held\n"))); err != nil {
		r.T.Fatal("the lock was not taken: ", err)
	}
	steptest.Place(r.T, r.Machine, "/proc/"+strconv.Itoa(cmd.Process.Pid)+"/comm", "unattended-upgr\n")
	var once sync.Once
	release = func() {
		once.Do(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
	}
	r.T.Cleanup(release)
	return release
}

// debArch is this machine's architecture in dpkg's word, for those where Go's is the same.
const debArch = runtime.GOARCH
