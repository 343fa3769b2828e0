package apt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/apt"
)

// dpkg's files (dpkg(1)).
const (
	dpkgStatus  = "/var/lib/dpkg/status"
	dpkgUpdates = "/var/lib/dpkg/updates"
)

// enginePackages are the packages whose change stops a running Docker engine or the
// containers below it: Docker's own and Ubuntu's.
func enginePackages() []string {
	return []string{"docker-ce", "docker-ce-cli", "containerd.io", "docker.io", "containerd", "runc"}
}

// dpkgState is dpkg's view of the host, read from its files without running it.
type dpkgState struct {
	packages []apt.Installed
	journal  bool // dpkg was killed while it wrote its status
}

// dpkgLock is under what a host's Memo has the lock that is held while dpkg's status is read.
type dpkgLock struct{}

// dpkgMemo is a state with what the status file looked like when it was read.
type dpkgMemo struct {
	size  int64
	mtime time.Time
	inode any
	state *dpkgState
}

// readDpkg reads dpkg's status, once for as long as the file is the same, however many
// steps look at the same time. dpkg replaces it by rename, so size, time and inode tell.
// A host without one has no package.
func readDpkg(h *step.Machine) (*dpkgState, error) {
	lock, _ := h.Memo.LoadOrStore(dpkgLock{}, new(sync.Mutex))
	reading := lock.(*sync.Mutex)
	reading.Lock()
	defer reading.Unlock()
	f, err := os.Open(h.Path(dpkgStatus))
	if errors.Is(err, fs.ErrNotExist) {
		return &dpkgState{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading dpkg's status: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading dpkg's status: %w", err)
	}
	journal, err := dpkgJournal(h)
	if err != nil {
		return nil, err
	}
	if m, ok := h.Memo.Load(dpkgStatus); ok {
		memo := m.(dpkgMemo)
		if memo.size == info.Size() && memo.mtime.Equal(info.ModTime()) && memo.inode == inode(info) {
			return &dpkgState{packages: memo.state.packages, journal: journal}, nil
		}
	}
	packages, err := apt.ReadStatus(f)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", dpkgStatus, err)
	}
	state := &dpkgState{packages: packages, journal: journal}
	h.Memo.Store(dpkgStatus, dpkgMemo{info.Size(), info.ModTime(), inode(info), state})
	return state, nil
}

// dpkgJournal says whether dpkg left entries of its journal behind: files named by
// digits in updates/, which it merges into status when it ends.
func dpkgJournal(h *step.Machine) (bool, error) {
	entries, err := os.ReadDir(h.Path(dpkgUpdates))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("reading dpkg's journal: %w", err)
	}
	return slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		_, err := strconv.ParseUint(e.Name(), 10, 64)
		return err == nil
	}), nil
}

// version is the installed version of a package of any architecture; empty where it
// is not wholly installed.
func (s *dpkgState) version(name string) string { return s.exact(name, "") }

// exact is like version for one architecture, if it is not empty.
func (s *dpkgState) exact(name, arch string) string {
	for _, p := range s.packages {
		if p.Name == name && (arch == "" || arch == p.Arch) && len(p.Abbrev) == 2 && p.Abbrev[1] == 'i' {
			return p.Version
		}
	}
	return ""
}

// held says whether a person asked dpkg to leave a package alone.
func (s *dpkgState) held(name string) bool {
	return slices.ContainsFunc(s.packages, func(p apt.Installed) bool {
		return p.Name == name && strings.HasPrefix(p.Abbrev, "h")
	})
}

// bad lists the packages between two states. Only what is there counts, not what
// somebody selected: a package marked for removal that is installed is whole.
func (s *dpkgState) bad() []apt.Installed {
	return slices.DeleteFunc(slices.Clone(s.packages), func(p apt.Installed) bool {
		return len(p.Abbrev) == 2 && strings.ContainsRune("icn", rune(p.Abbrev[1]))
	})
}

// damage tells what is wrong, one line each.
func (s *dpkgState) damage() []string {
	var lines []string
	if s.journal {
		lines = append(lines, "dpkg was interrupted while it wrote its status")
	}
	for _, p := range s.bad() {
		lines = append(lines, fmt.Sprintf("%s %s is in dpkg's state %s", p.Name, p.Version, p.Abbrev))
	}
	return lines
}

func (s *dpkgState) damageDiff() string {
	lines := s.damage()
	if len(lines) == 0 {
		return ""
	}
	return "- " + strings.Join(lines, "\n- ") + "\n+ every package wholly installed or removed\n"
}

// engineDamaged says whether mending dpkg would configure the engine's packages.
func (s *dpkgState) engineDamaged() bool {
	return slices.ContainsFunc(s.bad(), func(p apt.Installed) bool { return slices.Contains(enginePackages(), p.Name) })
}

// engineRuns looks for a running dockerd by its pid file. It does not dial the socket:
// systemd would start the engine for it.
func engineRuns(h *step.Machine) bool {
	text, err := os.ReadFile(h.Path("/run/docker.pid"))
	if err != nil {
		return false
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return false
	}
	name, err := os.ReadFile(h.Path(path.Join("/proc", strconv.Itoa(pid), "comm")))
	return err == nil && strings.TrimSpace(string(name)) == "dockerd"
}
