package facts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

// statfsWithin is how long a file system may take to tell its size. One whose server is
// gone never answers.
const statfsWithin = 2 * time.Second

type filesystemsReply struct {
	all []Filesystem
	err error
}

// filesystems lists what is mounted and has space of its own, in order of its mount
// points (proc_pid_mountinfo(5), statfs(2)). One that does not answer has size 0.
func (h *host) filesystems(ctx context.Context) filesystemsReply {
	f, err := os.Open(h.path("/proc/self/mountinfo"))
	if err != nil {
		return filesystemsReply{err: fmt.Errorf("reading the mounted file systems: %w", err)}
	}
	defer f.Close()
	mounts, err := mountinfo.GetMountsFromReader(f, withoutSpace)
	if err != nil {
		return filesystemsReply{err: fmt.Errorf("reading the mounted file systems: %w", err)}
	}
	ctx, cancel := context.WithTimeout(ctx, statfsWithin)
	defer cancel()
	var all []Filesystem
	for _, m := range uppermost(mounts) {
		of := Filesystem{Mount: m.Mountpoint, Device: m.Source, Type: m.FSType}
		stat, err := statfs(ctx, h.path(m.Mountpoint))
		switch {
		case errors.Is(err, errNoSpaceOfItsOwn):
			continue
		case err == nil:
			of.Size = int64(stat.Blocks) * stat.Bsize
			of.Free = int64(stat.Bavail) * stat.Bsize
		}
		all = append(all, of)
	}
	return filesystemsReply{all: all}
}

// withoutSpace filters out what holds nobody's data: the kernel's own file systems, those
// in memory, the read-only ones of snaps, and the layers of containers.
func withoutSpace(m *mountinfo.Info) (skip, stop bool) {
	kinds := []string{
		"autofs", "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs",
		"efivarfs", "fuse.lxcfs", "fusectl", "hugetlbfs", "mqueue", "nsfs", "proc", "pstore", "ramfs",
		"rpc_pipefs", "securityfs", "squashfs", "sysfs", "tmpfs", "tracefs",
	}
	layer := m.FSType == "overlay" && m.Mountpoint != "/"
	return layer || slices.Contains(kinds, m.FSType), false
}

// uppermost keeps, of mounts over one another, the one that is seen.
func uppermost(mounts []*mountinfo.Info) []*mountinfo.Info {
	seen := map[string]*mountinfo.Info{}
	for _, m := range mounts {
		seen[m.Mountpoint] = m
	}
	var all []*mountinfo.Info
	for _, m := range seen {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b *mountinfo.Info) int { return strings.Compare(a.Mountpoint, b.Mountpoint) })
	return all
}

var errNoSpaceOfItsOwn = errors.New("it is a file or has no blocks")

// statfs asks for a file system's size, and gives up with ctx: the call itself cannot be
// interrupted, so it is left behind then.
func statfs(ctx context.Context, path string) (unix.Statfs_t, error) {
	type reply struct {
		stat unix.Statfs_t
		err  error
	}
	done := make(chan reply, 1)
	go func() {
		var r reply
		info, err := os.Stat(path)
		if r.err = err; err == nil && !info.IsDir() {
			r.err = errNoSpaceOfItsOwn // a file of a container, bound from elsewhere
		}
		if r.err == nil {
			if r.err = unix.Statfs(path, &r.stat); r.err == nil && r.stat.Blocks == 0 {
				r.err = errNoSpaceOfItsOwn
			}
		}
		done <- r
	}()
	select {
	case r := <-done:
		return r.stat, r.err
	case <-ctx.Done():
		return unix.Statfs_t{}, ctx.Err()
	}
}

// synchronized is the kernel's own word on its clock (adjtimex(2), STA_UNSYNC), which
// whatever keeps the time sets.
func (h *host) synchronized() bool {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		h.keep(fmt.Errorf("asking the kernel for its clock: %w", err))
		return false
	}
	return state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0
}
