package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/user"
	"runtime"
	"slices"
	"sync"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/remote"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
)

// runOptions are what every command that works on hosts gives to installer.
func (a *app) runOptions(s *site.Site, obs event.Observer) (fleet.Options, error) {
	connect, err := a.connect(s, agentStays)
	if err != nil {
		return fleet.Options{}, err
	}
	dir := a.stateDir(s.ID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fleet.Options{}, &problem.Error{Kind: problem.Failed, Doing: "making the state folder", Object: dir, Err: err,
			Fix: "set XDG_STATE_HOME to a folder you may write to"}
	}
	return fleet.Options{
		Site: s, Hosts: a.flags.hosts, Dial: connect, StateDir: dir, Run: a.runID(), Who: who(),
		Now: a.now, Observer: obs, DryRun: a.flags.dryRun, Lease: a.flags.lease, Limit: a.flags.limit,
		Ask: a.askSecret(),
	}, nil
}

// askSecret asks a person for something that is not shown; nil where nobody can be asked.
func (a *app) askSecret() func(question string) ([]byte, error) {
	prompt := a.prompt()
	if prompt == nil || a.flags.yes {
		return nil
	}
	return func(question string) ([]byte, error) {
		answer, err := prompt(context.Background(), question, false)
		return []byte(answer), err
	}
}

// runID is sortable by time and unique.
func (a *app) runID() string {
	var tail [3]byte
	_, _ = rand.Read(tail[:]) // never fails (crypto/rand)
	return a.now().UTC().Format("20060102T150405Z") + "-" + hex.EncodeToString(tail[:])
}

// who is the person and machine for the hosts' journals.
func who() string {
	name := "unknown"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if by := os.Getenv("SUDO_USER"); by != "" {
		name = by
	}
	host, err := os.Hostname()
	if err != nil {
		return name
	}
	return name + "@" + host
}

// afterwards is what stays on a host of an agent that had to be uploaded.
type afterwards bool

const (
	agentStays   afterwards = false // the next run finds it there
	nothingStays afterwards = true  // for commands that only look
)

// connect reaches hosts over SSH, and this machine itself without it.
func (a *app) connect(s *site.Site, then afterwards) (fleet.Dialer, error) {
	if err := fitsHosts(); err != nil {
		return nil, err
	}
	// Hashing this program takes as long as connecting does, so both happen at once.
	self := sync.OnceValues(ownBinary)
	go func() { _, _ = self() }() // its error is told to whoever needs it
	own := ownAddresses()
	return func(ctx context.Context, h site.Host, progress func(done, total int64)) (io.ReadWriteCloser, error) {
		conn, err := dial(ctx, a.connection(s, h), slices.Contains(own, string(h.Address)))
		if err != nil {
			return nil, err
		}
		with, err := self()
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		with.Progress, with.LeavesNothing = progress, then == nothingStays
		process, err := conn.StartAgent(ctx, with)
		if err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return channel{process, conn}, nil
	}, nil
}

func dial(ctx context.Context, o remote.Options, own bool) (*remote.Conn, error) {
	if own && os.Geteuid() == 0 {
		o.Restricted = false // it needs no key for itself
		return remote.Local(os.Geteuid(), o)
	}
	return remote.Dial(ctx, o)
}

// channel is an agent's streams and the connection that carries them.
type channel struct {
	*remote.Process
	conn *remote.Conn
}

// Close ends both.
func (c channel) Close() error { return errors.Join(c.Process.Close(), c.conn.Close()) }

// fitsHosts refuses a build of this program that hosts, Linux on amd64, cannot run.
func fitsHosts() error {
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		return &problem.Error{Kind: problem.Failed, Doing: "preparing the agent for the hosts",
			Err: fmt.Errorf("this program is built for %s/%s, and hosts need linux/amd64", runtime.GOOS, runtime.GOARCH),
			Fix: "run valtctl on a Linux machine, or on one of the servers"}
	}
	return nil
}

// ownBinary is this program as the agent for hosts.
func ownBinary() (remote.Agent, error) {
	path, err := os.Executable()
	if err != nil {
		return remote.Agent{}, fmt.Errorf("finding this program: %w", err)
	}
	return remote.AgentFromFile(path)
}

// ownAddresses lists this machine's addresses but loopback's.
func ownAddresses() []string {
	var list []string
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil // without them every host is reached over SSH
	}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() {
			list = append(list, n.IP.String())
		}
	}
	return list
}

// errDeclined says that a person looked at what would change and said no.
var errDeclined = errors.New("not confirmed; nothing was changed")

// confirmChanges asks before the first change. Without a terminal --yes must have been given.
func (a *app) confirmChanges(ctx context.Context, found *installer.Result) error {
	if a.flags.yes {
		return nil
	}
	tty := a.terminal()
	if tty == nil {
		return usage(errors.New("there is no terminal to ask at"), "look with --dry-run, then give --yes")
	}
	var steps int
	for _, h := range found.Hosts {
		steps += len(h.Changes)
	}
	fmt.Fprintf(a.err, "\n%s on %s would change for release %s (plan %.12s).\n",
		count(steps, "step"), count(len(found.Hosts), "host"), found.Release, found.Digest)
	yes, err := a.confirm(ctx, tty, "Go on?")
	if err != nil {
		return fmt.Errorf("asking for confirmation: %w", err)
	}
	if !yes {
		return &problem.Error{Kind: problem.Interrupted, Doing: "changing", Object: found.Site, Err: errDeclined}
	}
	return nil
}
