package support

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/survey"
	"ipivs.com/valtctl/repos/safepath"
)

// sources lists every file, the most useful first: where the host's limit is reached, what
// comes last is left out. A new one is a line here.
func (h *host) sources(ctx context.Context) []source {
	all := []source{
		{"facts.json", true, h.facts},
		{"survey.json", true, h.survey},
		{"containers.json", true, h.inspected},
		{"engine.json", true, h.engine},
		h.program("systemd/failed.txt", "systemctl", "--no-pager", "--plain", "--failed"),
		h.program("systemd/units.txt", "systemctl", "--no-pager", "--plain", "--all", "list-units", "valtctl*", "docker*", "containerd*", "nftables*", "ufw*", "apt-daily*", "unattended-upgrades*"),
		h.program("systemd/timers.txt", "systemctl", "--no-pager", "--plain", "--all", "list-timers"),
		h.program("nftables.txt", "nft", "list", "ruleset"),
	}
	all = append(all, h.files("/var/lib/valtctl/host.json", "/var/lib/valtctl/lease.json", "/var/lib/valtctl/fence.json", "/var/lib/valtctl/tuf/state.json")...)
	all = append(all, h.files(facts.ScheduleEnabled("*"), facts.ScheduleState("*"), facts.ScheduleNotices("*"), facts.SchedulePause("*"))...)
	all = append(all, h.transactions()...)
	runs := h.files(facts.SiteFolder("*") + "/runs/*.jsonl")
	slices.Reverse(runs) // the newest first: their names begin with their time
	all = append(all, runs...)
	all = append(all, h.journal("journal/valtctl.log", "--unit=valtctl*"), h.journal("journal/valtctl-runs.log", "--identifier=valtctl"))
	all = append(all, h.containers(ctx).logs()...)
	all = append(all,
		h.journal("journal/docker.log", "--unit=docker.service", "--unit=containerd.service"),
		h.journal("journal/warnings.log", "--priority=warning", "--boot"))
	all = append(all, h.files(settingFiles()...)...)
	return append(all, h.files("/var/log/apt/history.log", "/var/log/apt/term.log", "/var/log/dpkg.log")...)
}

// settingFiles are those of the host that decide whether it reaches anything.
func settingFiles() []string {
	return []string{
		"/etc/os-release", "/etc/hosts", "/etc/resolv.conf", "/etc/environment",
		"/etc/docker/daemon.json", "/etc/systemd/system/docker.service.d/*.conf",
		"/etc/apt/apt.conf", "/etc/apt/apt.conf.d/*", "/etc/apt/sources.list", "/etc/apt/sources.list.d/*",
	}
}

// files are the host's own, each at its own path below files.
func (h *host) files(patterns ...string) []source {
	var all []source
	for _, pattern := range patterns {
		for _, name := range h.glob(pattern) {
			all = append(all, h.file(path.Join("files", name), name))
		}
	}
	return all
}

// transactions are the files of every transaction, the newest one's first.
func (h *host) transactions() []source {
	folders := h.glob("/var/lib/valtctl/txn/*")
	slices.Reverse(folders) // their names begin with their time
	var all []source
	for _, folder := range folders {
		for _, name := range h.glob(folder + "/*") {
			all = append(all, h.file(path.Join("transactions", path.Base(folder), path.Base(name)), name))
		}
	}
	return all
}

// maxRead caps what is read of one file: its last bytes.
const maxRead = 64 << 20

// file copies the end of a file of the host. Anything but a file is passed over.
func (h *host) file(as, name string) source {
	return source{path: as, take: func(_ context.Context, out io.Writer) error {
		f, err := h.Machine.Files().Open(name)
		if errors.Is(err, safepath.ErrPlanted) || errors.Is(err, syscall.EISDIR) || errors.Is(err, fs.ErrNotExist) {
			return errAbsent
		}
		if err != nil {
			return fmt.Errorf("opening %s: %w", name, err)
		}
		defer f.Close()
		if err := copyEnd(out, f); err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		return nil
	}}
}

// copyEnd copies at most the last maxRead bytes, from the beginning of a line.
func copyEnd(out io.Writer, f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	in := bufio.NewReader(io.LimitReader(f, maxRead)) // also of a file that grows meanwhile
	if from := info.Size() - maxRead; from > 0 {
		if _, err := f.Seek(from, io.SeekStart); err != nil {
			return err
		}
		if _, err := in.ReadSlice('\n'); err != nil && !errors.Is(err, bufio.ErrBufferFull) && !errors.Is(err, io.EOF) {
			return err
		}
	}
	_, err = io.Copy(out, in)
	return err
}

// program is what a program prints. One that this host does not have is no problem.
func (h *host) program(as string, argv ...string) source {
	return source{path: as, take: func(ctx context.Context, out io.Writer) error {
		got, err := h.Machine.Run.Run(ctx, step.Command{Argv: argv})
		if errors.Is(err, fs.ErrNotExist) {
			return errAbsent
		}
		if _, writing := out.Write(got.Stdout); writing != nil {
			return writing
		}
		return err
	}}
}

// journal is the end of the system's log. A program's output is capped, and what it prints
// first is what is kept, so fewer lines are asked for where there was too much.
func (h *host) journal(as string, which ...string) source {
	return source{path: as, take: func(ctx context.Context, out io.Writer) error {
		var got step.Output
		var err error
		for lines := 20000; lines >= 200; lines /= 10 {
			argv := append([]string{"journalctl", "--no-pager", "--quiet", "--output=short-iso-precise", "--lines=" + strconv.Itoa(lines)}, which...)
			got, err = h.Machine.Run.Run(ctx, step.Command{Argv: argv})
			if err == nil || got.Code != 0 {
				break
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return errAbsent
		}
		if _, writing := out.Write(got.Stdout); writing != nil {
			return writing
		}
		return err
	}}
}

// facts are the host's, every installed package included.
func (h *host) facts(ctx context.Context, out io.Writer) error {
	engine, err := h.Machine.Docker()
	if err != nil {
		return fmt.Errorf("gathering facts: %w", err)
	}
	o := facts.Options{Root: h.Machine.Root, Docker: engine, Now: h.Machine.Now, Full: true}
	f, err := facts.Gather(ctx, o)
	if err != nil { // a damaged list of packages must not hide the rest
		o.Full = false
		var less error
		if f, less = facts.Gather(ctx, o); less != nil {
			return less
		}
	}
	f.DpkgStatus, f.Keyring = "", nil // of use to apt alone
	return errors.Join(err, writeJSON(out, f))
}

func (h *host) survey(ctx context.Context, out io.Writer) error {
	s, err := survey.Take(ctx, survey.Env{Machine: h.Machine, Ignore: os.Getpid()}, survey.Request{NoWrite: true, Folders: []string{"/", "/var/lib/docker"}})
	if err != nil {
		return err
	}
	return writeJSON(out, s)
}

func writeJSON(out io.Writer, v any) error {
	e := json.NewEncoder(out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	return nil
}

// fileName makes a name one that can be a file's.
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.' {
			return r
		}
		return '_'
	}, name)
}
