package remote_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/remote"
)

// counted counts the bytes of the binary that are read to be sent.
func counted(a remote.Agent) (remote.Agent, *atomic.Int64) {
	open, total := a.Open, &atomic.Int64{}
	a.Open = func() (io.ReadSeekCloser, error) {
		file, err := open()
		return &countedFile{file, total}, err
	}
	return a, total
}

type countedFile struct {
	io.ReadSeekCloser
	total *atomic.Int64
}

func (c *countedFile) Read(b []byte) (int, error) {
	n, err := c.ReadSeekCloser.Read(b)
	c.total.Add(int64(n))
	return n, err
}

// TestUploadGoesOn: what a killed upload left is gone on from, or replaced if it is spoiled.
func TestUploadGoesOn(t *testing.T) {
	s := startSSHD(t)
	whole, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	half := whole[:len(whole)/2]
	spoiled := bytes.Repeat([]byte("spoiled"), len(half)/7)
	noSFTP := startSSHD(t, "Subsystem sftp /bin/false")
	a := theAgent(t)
	inHome, asRoot := "/home/free/.valtctl-"+a.Hash+".part", remote.AgentRoot+"/."+a.Hash+".part"
	cases := map[string]struct {
		server *server
		part   string
		left   []byte
		resume bool
	}{
		"by SFTP":                      {s, inHome, half, true},
		"by SFTP, spoiled":             {s, inHome, spoiled, false},
		"by SFTP, too long":            {s, inHome, append(bytes.Clone(whole), "more"...), false},
		"by standard input":            {noSFTP, asRoot, half, true},
		"by standard input, too long":  {noSFTP, asRoot, append(bytes.Clone(whole), "more"...), false},
		"by standard input, all there": {noSFTP, asRoot, whole, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bare(t)
			if err := os.MkdirAll(remote.AgentRoot, 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, c.part, string(c.left))
			if c.part == inHome {
				if err := os.Chown(c.part, 61000, 61000); err != nil {
					t.Fatal(err)
				}
			}
			measured, sent := counted(a)
			alive(t, client(t, dial(t, c.server.options("free")), measured))
			if resumed := sent.Load() < a.Size*3/4; resumed != c.resume {
				t.Errorf("%d of %d bytes were sent", sent.Load(), a.Size)
			}
			leftBehind(t)
		})
	}
}

// TestSpoiledUploadIsSaidAndReplaced: a wrong hash never becomes an agent, and the next try works.
func TestSpoiledUploadIsSaidAndReplaced(t *testing.T) {
	bare(t)
	s := startSSHD(t, "Subsystem sftp /bin/false")
	a := theAgent(t)
	if err := os.MkdirAll(remote.AgentRoot, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, remote.AgentRoot+"/."+a.Hash+".part", "spoiled")
	c := dial(t, s.options("free"))
	_, err := c.StartAgent(t.Context(), a)
	if err == nil || !strings.Contains(err.Error(), "another hash") {
		t.Fatalf("got %v", err)
	}
	if _, err := os.Stat(remote.AgentPath(a.Hash)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the spoiled binary was installed: %v", err)
	}
	alive(t, client(t, c, a))
}

// A disk may lose what it was given: an agent that is no more what it was is brought again.
func TestADamagedAgentIsReplaced(t *testing.T) {
	bare(t)
	s := startSSHD(t)
	a := theAgent(t)
	alive(t, client(t, dial(t, s.options("free")), a))
	for name, content := range map[string]string{"empty": "", "not a program": "damaged\n"} {
		if err := os.Remove(remote.AgentPath(a.Hash)); err != nil { // one that runs cannot be written to
			t.Fatal(err)
		}
		if err := os.WriteFile(remote.AgentPath(a.Hash), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) { alive(t, client(t, dial(t, s.options("free")), a)) })
	}
}

// TestUploadCut: a controller that dies in the middle leaves a part, and the next goes on.
func TestUploadCut(t *testing.T) {
	for name, s := range map[string]*server{"SFTP": startSSHD(t), "standard input": startSSHD(t, "Subsystem sftp /bin/false")} {
		t.Run(name, func(t *testing.T) {
			bare(t)
			a := theAgent(t)
			ctx, cut := context.WithCancel(t.Context())
			dying := a
			dying.Progress = func(done, total int64) {
				if done > total/2 {
					cut()
				}
			}
			doomed := dial(t, s.options("free"))
			if _, err := doomed.StartAgent(ctx, dying); err == nil || ctx.Err() == nil {
				t.Fatalf("the upload was not cut: %v", err)
			}
			doomed.Close()
			if _, err := os.Stat(remote.AgentPath(a.Hash)); !errors.Is(err, os.ErrNotExist) {
				t.Fatalf("half an agent was installed: %v", err)
			}
			alive(t, client(t, dial(t, s.options("free")), a))
			leftBehind(t)
		})
	}
}

// TestTwoControllersUploadAtOnce: both end up with the agent, whatever way they take.
func TestTwoControllersUploadAtOnce(t *testing.T) {
	sftp, stdin := startSSHD(t), startSSHD(t, "Subsystem sftp /bin/false")
	for range 2 {
		bare(t)
		var running sync.WaitGroup
		errs := make(chan error, 4)
		for _, s := range []*server{sftp, sftp, stdin, stdin} {
			c := dial(t, s.options("free"))
			running.Go(func() {
				p, err := c.StartAgent(t.Context(), theAgent(t))
				if err == nil {
					err = p.Close()
				}
				errs <- err
			})
		}
		running.Wait()
		for range 4 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		rootOwned(t, remote.AgentPath(theAgent(t).Hash))
		leftBehind(t)
	}
}

// TestHostsInTheWay: what a host's file systems can have against an agent.
func TestHostsInTheWay(t *testing.T) {
	s := startSSHD(t, "Subsystem sftp /bin/false")
	cases := map[string]struct {
		flags uintptr
		data  string
		want  want
	}{
		"noexec": {syscall.MS_NOEXEC, "mode=755", want{is: remote.ErrNoExec, fix: "noexec"}},
		"full":   {0, "mode=755,size=2m", want{is: remote.ErrDiskFull, fix: "make room"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			bare(t)
			if err := os.MkdirAll("/var/lib/valtctl", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Mount("tmpfs", "/var/lib/valtctl", "tmpfs", c.flags, c.data); err != nil {
				t.Fatal(err)
			}
			defer syscall.Unmount("/var/lib/valtctl", 0)
			_, err := dial(t, s.options("free")).StartAgent(t.Context(), theAgent(t))
			c.want.check(t, err)
			if left, _ := filepath.Glob(remote.AgentRoot + "/.*.part"); len(left) > 0 {
				t.Errorf("a full disk is kept full by %v", left)
			}
		})
	}
}

func TestBinaryThatCannotBeRead(t *testing.T) {
	bare(t)
	a := theAgent(t)
	a.Open = func() (io.ReadSeekCloser, error) { return nil, os.ErrPermission }
	_, err := dial(t, startSSHD(t).options("free")).StartAgent(t.Context(), a)
	if !errors.Is(err, os.ErrPermission) {
		t.Errorf("got %v", err)
	}
}

func alive(t *testing.T, c *agent.Client) {
	t.Helper()
	if _, err := c.Facts(t.Context(), agent.FactsRequest{}); err != nil {
		t.Errorf("the agent does not answer: %v", err)
	}
}

// leftBehind asserts that no part of an upload is left.
func leftBehind(t *testing.T) {
	t.Helper()
	inHome, _ := filepath.Glob("/home/*/.valtctl-*")
	asRoot, _ := filepath.Glob(remote.AgentRoot + "/.*.part")
	if left := append(inHome, asRoot...); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
