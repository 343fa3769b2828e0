package remote_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/remote"
)

const onceFolders = "/var/lib/.valtctl-once.*"

// vanishing is the agent of the tests for a run that only looks.
func vanishing(t testing.TB) remote.Agent {
	a := theAgent(t)
	a.LeavesNothing = true
	return a
}

// gone waits until no file of an agent that leaves nothing is on the machine.
func gone(t *testing.T) {
	t.Helper()
	for {
		left, err := filepath.Glob(onceFolders)
		if err != nil {
			t.Fatal(err)
		}
		if len(left) == 0 {
			break
		}
		time.Sleep(10 * time.Millisecond) // the go test deadline ends this
	}
	if _, err := os.Stat("/var/lib/valtctl"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is /var/lib/valtctl: %v", err)
	}
}

// TestNothingStaysOfACutUpload: neither a killed controller nor one that gives up leaves
// a part of the agent behind.
func TestNothingStaysOfACutUpload(t *testing.T) {
	sshd, dropbear := startSSHD(t), startDropbear(t)
	for _, user := range []string{"free", "asked", "noisy"} {
		for name, s := range map[string]*server{"sshd": sshd, "dropbear": dropbear} {
			t.Run(user+" "+name, func(t *testing.T) {
				bare(t)
				o := s.options(user)
				o.Password = password(loginPassword)
				l := over(&o)
				a := vanishing(t)
				halfway := false
				a.Progress = func(done, total int64) {
					if done > total/2 && !halfway {
						halfway = true
						l.Conn.Close() // as a killed controller's kernel does
					}
				}
				if _, err := dial(t, o).StartAgent(t.Context(), a); err == nil || !halfway {
					t.Fatalf("the upload was not cut: %v", err)
				}
				gone(t)
			})
		}
	}
	t.Run("given up", func(t *testing.T) {
		bare(t)
		ctx, giveUp := context.WithCancel(t.Context())
		a := vanishing(t)
		a.Progress = func(done, total int64) {
			if done > total/2 {
				giveUp()
			}
		}
		if _, err := dial(t, startSSHD(t).options("free")).StartAgent(ctx, a); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		gone(t)
	})
}

// TestNothingStaysOfAKilledAgent: it has removed itself before it said that it is there.
func TestNothingStaysOfAKilledAgent(t *testing.T) {
	bare(t)
	o := startSSHD(t).options("asked")
	o.Password = password(loginPassword)
	l := over(&o)
	p, err := dial(t, o).StartAgent(t.Context(), vanishing(t))
	if err != nil {
		t.Fatal(err)
	}
	gone(t)
	l.Conn.Close()
	io.Copy(io.Discard, p)
	for onceRunning(t) {
		time.Sleep(10 * time.Millisecond)
	}
	gone(t)
}

func onceRunning(t *testing.T) bool {
	t.Helper()
	exes, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, exe := range exes {
		if path, err := os.Readlink(exe); err == nil && strings.HasPrefix(path, strings.TrimSuffix(onceFolders, "*")) {
			return true
		}
	}
	return false
}

// TestInstalledAgentIsUsedAndStays: what an installation brought is not for a look to remove.
func TestInstalledAgentIsUsedAndStays(t *testing.T) {
	bare(t)
	c := dial(t, startSSHD(t).options("free"))
	client(t, c, theAgent(t)).Close()
	a, sent := counted(vanishing(t))
	cl := client(t, c, a)
	reply, err := cl.Facts(t.Context(), agent.FactsRequest{})
	if err != nil || reply.Facts.Hostname != remote.AgentPath(a.Hash) || sent.Load() != 0 {
		t.Errorf("it runs %s after %d bytes were sent, %v", reply.Facts.Hostname, sent.Load(), err)
	}
	cl.Close()
	rootOwned(t, remote.AgentPath(a.Hash))
}

// TestAgentThatLeavesNothingIsRefused: what is wrong is said, and nothing stays of it.
func TestAgentThatLeavesNothingIsRefused(t *testing.T) {
	s := startSSHD(t)
	spoiled := vanishing(t)
	spoiled.Open = func() (io.ReadSeekCloser, error) {
		return readSeekCloser{bytes.NewReader(make([]byte, spoiled.Size))}, nil
	}
	short := vanishing(t)
	short.Open = func() (io.ReadSeekCloser, error) { return nil, os.ErrPermission }
	cases := map[string]struct {
		agent remote.Agent
		mount string // the file system of /var/lib: its flags or size
		want  want
		says  string
	}{
		"spoiled": {agent: spoiled, says: "another hash"},
		"short":   {agent: short, want: want{is: os.ErrPermission}, says: "cut short"},
		"noexec":  {agent: vanishing(t), mount: "noexec", want: want{is: remote.ErrNoExec, fix: "noexec"}},
		"full":    {agent: vanishing(t), mount: "size=2m", want: want{is: remote.ErrDiskFull, fix: "make room"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bare(t)
			if c.mount != "" {
				mountLib(t, c.mount)
			}
			_, err := dial(t, s.options("free")).StartAgent(t.Context(), c.agent)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v", err)
			}
			if c.want.is != nil {
				c.want.check(t, err)
			}
			gone(t)
		})
	}
}

// mountLib puts a file system with one odd option over /var/lib for a test.
func mountLib(t *testing.T, option string) {
	t.Helper()
	flags, data := uintptr(0), "mode=755,"+option
	if option == "noexec" {
		flags, data = syscall.MS_NOEXEC, "mode=755"
	}
	if err := syscall.Mount("tmpfs", "/var/lib", "tmpfs", flags, data); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount("/var/lib", syscall.MNT_DETACH) })
}

type readSeekCloser struct{ io.ReadSeeker }

func (readSeekCloser) Close() error { return nil }

// TestStaleFoldersGo: what a power cut left goes with the next agent of the kind.
func TestStaleFoldersGo(t *testing.T) {
	bare(t)
	stale, fresh := strings.Replace(onceFolders, "*", "stale", 1), strings.Replace(onceFolders, "*", "fresh", 1)
	for _, dir := range []string{stale, fresh} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, dir+"/valtctl", "half")
	}
	long := time.Now().Add(-3 * time.Hour)
	if err := os.Chtimes(stale, long, long); err != nil {
		t.Fatal(err)
	}
	client(t, dial(t, startSSHD(t).options("free")), vanishing(t))
	if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the stale folder is there: %v", err)
	}
	if _, err := os.Stat(fresh); err != nil {
		t.Errorf("another controller's upload was removed: %v", err)
	}
	os.RemoveAll(fresh)
}

func TestRemoveOnceRefusesOtherPrograms(t *testing.T) {
	for _, program := range []string{"/usr/bin/valtctl", remote.AgentPath("ab"), "/var/lib/.valtctl-once.x/deeper/valtctl", "valtctl", ""} {
		if err := remote.RemoveOnce(program); err == nil {
			t.Errorf("%q was removed", program)
		}
	}
}
