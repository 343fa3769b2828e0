package remote_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/remote"
	"ipivs.com/valtctl/installer/txn"
)

// TestConformance asks of every kind of connection the same: that a bare machine gets
// the agent, that the agent runs as root from its own folder, and that calls and
// streams work.
func TestConformance(t *testing.T) {
	hardened := []string{"AllowTcpForwarding no", "MaxSessions 1", "AllowAgentForwarding no", "X11Forwarding no"}
	kinds := []struct {
		name    string
		connect func(t *testing.T) *remote.Conn
	}{
		{"sshd as root", func(t *testing.T) *remote.Conn { return dial(t, startSSHD(t).options("root")) }},
		{"sshd with sudo", func(t *testing.T) *remote.Conn { return dial(t, startSSHD(t).options("free")) }},
		{"sudo with a password and a pty", func(t *testing.T) *remote.Conn {
			o := startSSHD(t).options("asked")
			o.Password = password(loginPassword)
			return dial(t, o)
		}},
		{"hardened", func(t *testing.T) *remote.Conn { return dial(t, startSSHD(t, hardened...).options("free")) }},
		{"keyboard-interactive", func(t *testing.T) *remote.Conn {
			o := startSSHD(t, append(hardened, "AuthenticationMethods publickey,keyboard-interactive")...).options("asked")
			o.Password = password(loginPassword)
			return dial(t, o)
		}},
		{"noisy shell", func(t *testing.T) *remote.Conn {
			o := startSSHD(t, hardened...).options("noisy")
			o.Password = password("must not be sent")
			return dial(t, o)
		}},
		{"dropbear", func(t *testing.T) *remote.Conn { return dial(t, startDropbear(t).options("free")) }},
		{"dropbear without an sftp-server", func(t *testing.T) *remote.Conn {
			hide(t, "/usr/lib/openssh")
			return dial(t, startDropbear(t).options("free"))
		}},
		{"no SFTP", func(t *testing.T) *remote.Conn {
			return dial(t, startSSHD(t, "Subsystem sftp /bin/false").options("plain"))
		}},
		{"behind a jump host", func(t *testing.T) *remote.Conn {
			jump, s := startSSHD(t), startSSHD(t, hardened...)
			return dial(t, behind(jump, s))
		}},
		{"local", func(t *testing.T) *remote.Conn {
			c, err := remote.Local(os.Getuid(), remote.Options{})
			if err != nil {
				t.Fatal(err)
			}
			return c
		}},
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			bare(t)
			leaveNothing(t, k.connect(t))
			bare(t)
			conform(t, k.connect(t))
		})
	}
}

func conform(t *testing.T, c *remote.Conn) {
	a := theAgent(t)
	uploaded := int64(0)
	a.Progress = func(done, total int64) { uploaded = done }
	first := client(t, c, a)
	if uploaded != a.Size {
		t.Errorf("progress ended at %d of %d bytes", uploaded, a.Size)
	}
	reply, err := first.Facts(t.Context(), agent.FactsRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if reply.Facts.Hostname != remote.AgentPath(a.Hash) || reply.Facts.CPUs != 0 {
		t.Errorf("the agent runs from %s as user %d", reply.Facts.Hostname, reply.Facts.CPUs)
	}
	const events = 3000
	next := int64(0)
	followed, err := first.TxnFollow(t.Context(), agent.TxnFollowRequest{From: events}, func(e txn.Event) error {
		if e.Record == nil || e.Record.Seq != next {
			t.Fatalf("event %d came as %+v", next, e)
		}
		next++
		return nil
	})
	if err != nil || followed.Result.Outcome != txn.Done || next != events {
		t.Errorf("following gave %d events, %+v, %v", next, followed.Result, err)
	}
	first.Close()
	rootOwned(t, remote.AgentPath(a.Hash), remote.AgentRoot, remote.AgentRoot+"/"+a.Hash)

	uploaded = 0
	second := client(t, c, a)
	if _, err := second.Facts(t.Context(), agent.FactsRequest{}); err != nil {
		t.Errorf("the second start: %v", err)
	}
	if uploaded != 0 {
		t.Errorf("an agent that was there was uploaded again")
	}
}

// leaveNothing asks that an agent for looking only works and is never found on the host.
func leaveNothing(t *testing.T, c *remote.Conn) {
	a := theAgent(t)
	a.LeavesNothing = true
	before := onDisk(t)
	cl := client(t, c, a)
	if left := onDisk(t); !slices.Equal(left, before) {
		t.Errorf("while the agent runs there is %q, before it was %q", left, before)
	}
	reply, err := cl.Facts(t.Context(), agent.FactsRequest{})
	if err != nil || reply.Facts.CPUs != 0 {
		t.Errorf("the agent runs as user %d, %v", reply.Facts.CPUs, err)
	}
	cl.Close()
	if left := onDisk(t); !slices.Equal(left, before) {
		t.Errorf("the agent left %q, before it was %q", left, before)
	}
}

// onDisk lists what is where an agent may write, but for what a login itself writes.
func onDisk(t testing.TB) []string {
	t.Helper()
	furnished(t)
	var all []string
	for _, dir := range []string{"/var/lib", "/home", "/run"} {
		err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			all = append(all, path)
			return ignoreGone(err)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return slices.DeleteFunc(all, func(path string) bool {
		return strings.HasSuffix(path, "/authorized_keys") || strings.HasPrefix(path, "/run/sudo") || strings.HasPrefix(path, "/run/motd")
	})
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// hide makes a folder of the machine's empty for the length of a test.
func hide(t *testing.T, dir string) {
	t.Helper()
	furnished(t)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
}

// rootOwned asserts that only root may change the paths and everybody may run them.
func rootOwned(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t); owner.Uid != 0 || owner.Gid != 0 || info.Mode().Perm() != 0o755 {
			t.Errorf("%s is %d:%d %v", path, owner.Uid, owner.Gid, info.Mode())
		}
	}
}

// behind reaches s through jump.
func behind(jump, s *server) remote.Options {
	o := s.options("free")
	o.Jump = []string{"plain@" + jump.addr()}
	o.KnownHosts = append(o.KnownHosts, jump.knownHosts)
	return o
}
