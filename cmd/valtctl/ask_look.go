package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/remote"
	"ipivs.com/valtctl/installer/status"
	"ipivs.com/valtctl/installer/step/files"
	"ipivs.com/valtctl/installer/wizard"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/textfile"
)

// looker looks at what an answer names: files here, servers in the network.
type looker struct {
	a     *app
	g     *wizard.Guide
	facts map[int]facts.Facts // by server
}

// maxAnswerFile caps the files that answers name, in bytes.
const maxAnswerFile = 1 << 20

// errAbsent is wrapped where a file is not there at all, which it may be later.
var errAbsent = fs.ErrNotExist

// file looks at a file that is an answer. What it returns besides an error is what is
// worth knowing of it.
func (l *looker) file(q wizard.Question, text string) (string, error) {
	if text == "" || q.Kind != wizard.File {
		return "", nil
	}
	if q.Aspect == wizard.AsCertificate || q.Aspect == wizard.AsKey {
		return l.certificate(q, text)
	}
	content, err := l.content(text)
	if err != nil {
		return "", err
	}
	switch q.Aspect {
	case wizard.AsLicence:
		if err := files.CheckLicence(content); err != nil {
			return "", &wizard.Wrong{What: err.Error(), Fix: "put the licence key, one line, into the file"}
		}
	case wizard.AsFile:
		if len(bytes.TrimSpace(content)) == 0 {
			return "", &wizard.Wrong{What: "the file is empty", Fix: "put its content there, or write where it is"}
		}
	}
	return "", nil
}

func (l *looker) content(text string) ([]byte, error) {
	content, err := textfile.Read(l.g.Path(text), maxAnswerFile)
	var odd *textfile.Odd
	switch {
	case errors.As(err, &odd):
		return nil, &wizard.Wrong{What: fmt.Sprintf("it cannot be read: %v", err), Fix: textfile.Fix}
	case err != nil:
		return nil, fmt.Errorf("%w: %w", &wizard.Wrong{What: fmt.Sprintf("it cannot be read: %v", err), Fix: "put the file there, or write where it is"}, err)
	}
	return content, nil
}

// hostKeys asks a server for its host keys. None of them: it needs no SSH.
func (l *looker) hostKeys(ctx context.Context, i int) (remote.Scanned, string, error) {
	if l.g.Local(i) {
		return remote.Scanned{Known: true}, "", nil
	}
	s, h, err := l.g.Sketch(i)
	if err != nil {
		return remote.Scanned{}, "", err
	}
	found, err := remote.Scan(ctx, l.a.connection(s, h))
	return found, l.a.knownHosts(s, h.SSH), err
}

// remember keeps host keys that were found right.
func (l *looker) remember(file string, found remote.Scanned, keys []ssh.PublicKey) error {
	if err := os.MkdirAll(l.a.stateDir(l.g.Value("site")), 0o700); err != nil {
		return &problem.Error{Kind: problem.Failed, Doing: "remembering a host key in", Object: file, Err: err, Fix: "set XDG_STATE_HOME to a folder you may write to"}
	}
	return remote.Remember(file, found.Addr, keys)
}

// gather logs in at a server and reads what it has.
func (l *looker) gather(ctx context.Context, i int) (facts.Facts, error) {
	if f, ok := l.facts[i]; ok {
		return f, nil
	}
	s, h, err := l.g.Sketch(i)
	if err != nil {
		return facts.Facts{}, err
	}
	o, err := l.a.runOptions(s, event.Silent{})
	if err != nil {
		return facts.Facts{}, err
	}
	o.Hosts = []string{h.Name}
	if o.Dial, err = l.a.connect(s, nothingStays); err != nil {
		return facts.Facts{}, err
	}
	all, err := status.Gather(ctx, o, false)
	if err != nil {
		return facts.Facts{}, err
	}
	l.facts[i] = all[0].Facts
	return all[0].Facts, nil
}

// machineText is a server in one line.
func machineText(f facts.Facts) string {
	return fmt.Sprintf("%s, %s, %s, %s memory", f.OS.Pretty, f.Arch, count(f.CPUs, "CPU"), sizeText(f.MemoryBytes))
}

// unfit says what speaks against a server, as far as a look tells.
func unfit(f facts.Facts, siteID string) string {
	switch {
	case f.OS.ID != "ubuntu":
		return "it is not Ubuntu; VALT is installed on Ubuntu LTS"
	case f.Arch != "amd64":
		return "its processor is " + f.Arch + "; VALT's images are for amd64"
	case f.Installed != nil && f.Installed.Site != siteID:
		return "it belongs to the site " + f.Installed.Site
	}
	return ""
}

// disks are the mounted file systems that recordings could go to, the largest first.
func disks(f facts.Facts) []facts.Filesystem {
	all := slices.DeleteFunc(slices.Clone(f.Filesystems), func(fs facts.Filesystem) bool {
		return fs.Mount == "/" || systems(fs.Mount) || fs.Type == "squashfs" || fs.Type == "tmpfs" || fs.Type == "vfat"
	})
	slices.SortStableFunc(all, func(a, b facts.Filesystem) int { return int((b.Size - a.Size) >> 20) })
	return all
}

// systems says that a mount is the operating system's own.
func systems(mount string) bool {
	for _, top := range []string{"/boot", "/dev", "/etc", "/proc", "/run", "/snap", "/sys", "/tmp", "/usr", "/var"} {
		if mount == top || strings.HasPrefix(mount, top+"/") {
			return true
		}
	}
	return false
}

func diskText(fs facts.Filesystem) string {
	return fmt.Sprintf("%s: %s free of %s (%s)", fs.Mount, sizeText(fs.Free), sizeText(fs.Size), fs.Type)
}

// disk wants a file system to be mounted where recordings are to go, as far as it is known.
func (l *looker) disk(i int, path string) error {
	f, known := l.facts[i]
	if !known || slices.ContainsFunc(f.Filesystems, func(fs facts.Filesystem) bool { return fs.Mount == path }) {
		return nil
	}
	var has []string
	for _, d := range disks(f) {
		has = append(has, d.Mount)
	}
	fix := "mount a disk there, or name a folder where one is mounted"
	if len(has) > 0 {
		fix += ": " + strings.Join(has, ", ")
	}
	return &wizard.Wrong{What: "no file system is mounted at " + path + " there", Fix: fix}
}

// unasked looks at an answer that a flag gave: nobody can be asked back.
func (l *looker) unasked(ctx context.Context) func(wizard.Question, string) error {
	return func(q wizard.Question, text string) error {
		switch q.Aspect {
		case wizard.AsHost:
			return l.hostUnasked(ctx, q, text)
		case wizard.AsDisk:
			return l.disk(q.Server, text)
		}
		_, err := l.file(q, text)
		return err
	}
}

// hostUnasked trusts the host key with the fingerprint that was given, or one known before.
func (l *looker) hostUnasked(ctx context.Context, q wizard.Question, fingerprint string) error {
	name := l.g.Value(fmt.Sprintf("hosts[%d].name", q.Server))
	found, file, err := l.hostKeys(ctx, q.Server)
	if err != nil {
		return err
	}
	switch {
	case found.Known:
	case fingerprint == "":
		var shown []string
		for _, k := range describeKeys(found.Keys) {
			shown = append(shown, k.Type+" "+k.Fingerprint)
		}
		return &problem.Error{Kind: problem.Input, Doing: "looking at", Object: name,
			Err: fmt.Errorf("--server %s fingerprint= is missing, and it shows %s", name, strings.Join(shown, ", ")),
			Fix: "compare it with the server's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub there) and give it, or look at nothing with --no-look"}
	default:
		keys, err := withFingerprint(name, found.Keys, fingerprint)
		if err == nil {
			err = l.remember(file, found, keys)
		}
		if err != nil {
			return err
		}
	}
	f, err := l.gather(ctx, q.Server)
	if err != nil {
		return err
	}
	fmt.Fprintf(l.a.err, "%s: %s\n", name, machineText(f))
	if why := unfit(f, l.g.Value("site")); why != "" {
		return &problem.Error{Kind: problem.Check, Doing: "looking at", Object: name, Err: errors.New(why), Fix: "name another server"}
	}
	return nil
}
