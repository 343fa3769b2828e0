package host

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/safepath"
)

// KeptAgents is how many programs of ours a host keeps besides those that something on it
// starts: the one at work, and the ones before it that a person may come back with.
const KeptAgents = 3

// clearAgents removes programs of ours that nothing on the host names and that are not the
// newest: each version is some 30 MB. It is tidying: what cannot be removed now goes the next
// time, and of what cannot be told nothing is removed.
func (s *Side) clearAgents() {
	root := s.machine(nil).Path(facts.AgentFolder)
	entries, err := os.ReadDir(root)
	if err != nil {
		return
	}
	named, err := s.whatStarts()
	if err != nil {
		return
	}
	type program struct {
		folder string
		made   time.Time
	}
	var all []program
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && e.IsDir() && facts.IsAgentFolder(e.Name()) {
			all = append(all, program{e.Name(), info.ModTime()})
		}
	}
	slices.SortFunc(all, func(a, b program) int { return b.made.Compare(a.made) })
	for i, p := range all {
		if i >= KeptAgents && !strings.Contains(s.Launcher.Agent, p.folder) && !bytes.Contains(named, []byte(p.folder)) {
			_ = durable.RemoveAll(filepath.Join(root, p.folder))
		}
	}
}

// maxNamed caps a file that may name a program of ours, in bytes: a login's own may be anything.
const maxNamed = 1 << 20

// textOf is a file's content, and nothing of what is no file.
func textOf(name string) ([]byte, error) {
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe's would wait for its writer
	if err != nil {
		return nil, nil //nolint:nilerr // it starts nothing that cannot be read by root
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxNamed+1))
	if err == nil && len(text) > maxNamed {
		err = fmt.Errorf("%s has more than %d bytes", name, maxNamed)
	}
	return text, err
}

// whatStarts is all text of the host that may name a program of ours: units, sudo's rules, the
// keys of logins, and what runs now.
func (s *Side) whatStarts() ([]byte, error) {
	m := s.machine(nil)
	var files []string
	for _, pattern := range []string{"/etc/systemd/system/*", "/run/systemd/transient/*", "/etc/sudoers.d/*", "/etc/cron.d/*"} {
		found, err := filepath.Glob(m.Path(pattern))
		if err != nil {
			return nil, err
		}
		files = append(files, found...)
	}
	keys, err := keysOfLogins(m.Files())
	if err != nil {
		return nil, err
	}
	all := bytes.NewBuffer(keys)
	for _, file := range files {
		text, err := textOf(file)
		if err != nil {
			return nil, err
		}
		all.Write(text)
	}
	running, err := filepath.Glob(m.Path("/proc/[0-9]*/exe"))
	for _, link := range running {
		if target, err := os.Readlink(link); err == nil {
			all.WriteString(target + "\n")
		}
	}
	return all.Bytes(), err
}

// maxKeys caps what is read of a login's keys, in bytes.
const maxKeys = 1 << 20

// keysOfLogins is the text of all logins' authorized_keys. What a login has put in their place, or made too large
// to be read, may name a program of ours as well: it is an error.
func keysOfLogins(files safepath.Tree) ([]byte, error) {
	logins, err := files.ReadFile("/etc/passwd", maxKeys)
	if err != nil {
		return nil, err
	}
	var all []byte
	for lines := bufio.NewScanner(bytes.NewReader(logins)); lines.Scan(); {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) < 6 || fields[5] == "" {
			continue
		}
		text, err := files.ReadFile(filepath.Join(fields[5], ".ssh/authorized_keys"), maxKeys)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			return nil, err
		}
		all = append(all, text...)
	}
	return all, nil
}
