package survey

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"

	"ipivs.com/valtctl/installer/sockets"
)

// deleted is what the kernel puts behind the name of a file that is not there any more, as
// dpkg leaves those that it replaces (proc_pid_exe(5), proc_pid_maps(5)).
const deleted = " (deleted)"

// maxMaps caps what is read of one process's mappings, in bytes.
const maxMaps = 16 << 20

// outdated lists the processes of the host itself that run a program or a library that was replaced
// since they started. Those of containers have files of their own, and are told apart by their
// processes' namespace.
func (h *host) outdated(ctx context.Context) (answer, error) {
	entries, err := os.ReadDir(h.Path("/proc"))
	if err != nil {
		return nil, fmt.Errorf("listing the processes: %w", err)
	}
	own, err := os.Readlink(h.Path("/proc/self/ns/pid"))
	if err != nil {
		return nil, fmt.Errorf("telling the host's own processes from those of containers: %w", err)
	}
	var all []Outdated
	var hidden error
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == h.ignore {
			continue
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("looking at the processes: %w", ctx.Err())
		}
		one, err := h.outdatedProcess(pid, own)
		switch {
		case errors.Is(err, fs.ErrNotExist) || gone(err): // it ended meanwhile
		case err != nil:
			hidden = err
		case one.File != "":
			all = append(all, one)
		}
	}
	return func(r *Reply) { r.Outdated = all }, hidden
}

// outdatedProcess looks at one process; File is empty where nothing of it was replaced.
func (h *host) outdatedProcess(pid int, own string) (Outdated, error) {
	at := path.Join("/proc", strconv.Itoa(pid))
	one := Outdated{PID: pid}
	where, err := os.Readlink(h.Path(at + "/ns/pid"))
	if err != nil || where != own {
		return one, err
	}
	program, err := os.Readlink(h.Path(at + "/exe"))
	if errors.Is(err, fs.ErrNotExist) { // one of the kernel's own
		return one, nil
	}
	if err != nil {
		return one, err
	}
	if file, ok := strings.CutSuffix(program, deleted); ok && installed(file) {
		one.File, one.Whole = file, true
	} else if one.File, err = h.deletedLibrary(at + "/maps"); err != nil || one.File == "" {
		return one, err
	}
	one.Program = sockets.Program(h.Root, pid)
	groups, err := h.read(at + "/cgroup")
	one.Unit = unitOf(groups)
	return one, err
}

// deletedLibrary is the first code of a process that is not there any more.
func (h *host) deletedLibrary(maps string) (string, error) {
	f, err := os.Open(h.Path(maps))
	if err != nil {
		return "", err
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, maxMaps))
	lines.Buffer(nil, maxFile)
	for lines.Scan() {
		// address perms offset dev inode path
		line, ok := strings.CutSuffix(lines.Text(), deleted)
		if !ok {
			continue
		}
		words := strings.Fields(line)
		if len(words) < 6 || !strings.Contains(words[1], "x") {
			continue
		}
		if file := words[5]; strings.Contains(path.Base(file), ".so") && installed(file) {
			return file, nil
		}
	}
	return "", lines.Err()
}

// installed says whether a file lies where packages put programs and libraries.
func installed(file string) bool {
	for _, folder := range []string{"/usr/", "/lib", "/bin/", "/sbin/", "/opt/"} {
		if strings.HasPrefix(file, folder) {
			return true
		}
	}
	return false
}

// unit is a component of a control group's name that systemd made (systemd.unit(5)).
var unit = regexp.MustCompile(`/((?:[^/]+)\.(?:service|scope))`)

// unitOf is the unit that a process belongs to, by its control group in systemd's hierarchy
// (cgroups(7), proc_pid_cgroup); empty: none.
func unitOf(groups string) string {
	for line := range strings.Lines(groups) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 || f[0] != "0" && f[1] != "name=systemd" {
			continue
		}
		if found := unit.FindStringSubmatch(f[2]); found != nil {
			return found[1] // the outermost: what runs inside a login is the login's
		}
	}
	return ""
}
