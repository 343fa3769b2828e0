package apt

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/apt"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/problem"
)

const archives = "/var/cache/apt/archives"

// archive is where apt keeps a package's file (apt-pkg/acquire-item.cc: QuoteString).
func archive(p apt.Package) string {
	quote := strings.NewReplacer("%", "%25", "_", "%5f", ":", "%3a")
	return path.Join(archives, quote.Replace(p.Name)+"_"+quote.Replace(p.Version)+"_"+p.Architecture+".deb")
}

// download brings every file of the plan before anything is installed. apt compares
// only the size of a file that is already there, so their hashes are compared here.
// more are options that apt was given when it planned.
func (t *transaction) download(ctx context.Context, f frozen, more ...string) error {
	t.total = 0
	for _, p := range f.packages {
		good, err := t.archived(p)
		if err != nil {
			return err
		}
		if good {
			continue
		}
		t.total += p.Hash.Size
		if err := durable.Remove(t.h.Path(archive(p))); err != nil {
			return fmt.Errorf("removing a file that is not what the list says: %w", err)
		}
	}
	if t.total > 0 {
		args := slices.Concat([]string{"install", "--download-only"}, more, installOptions(), f.args())
		if out, err := t.run(ctx, aptGet(args...)); err != nil {
			return aptError("downloading", "packages", out, err)
		}
	}
	return t.checkArchives(f)
}

func (t *transaction) checkArchives(f frozen) error {
	for _, p := range f.packages {
		good, err := t.archived(p)
		if err != nil {
			return err
		}
		if !good {
			return &problem.Error{Kind: problem.Trust, Doing: "verifying", Object: archive(p),
				Err: fmt.Errorf("it is not the file whose SHA-256 is %s", p.Hash.SHA256),
				Fix: "Nothing was installed. Remove the file, find out who changed it, then run valtctl resume."}
		}
	}
	return nil
}

// archived says whether a package's file is there and is the one of the list.
func (t *transaction) archived(p apt.Package) (bool, error) {
	return hashed(t.h.Path(archive(p)), p.Hash.SHA256)
}

// hashed says whether a file is there and has this SHA-256, in hex.
func hashed(full, want string) (bool, error) {
	f, err := os.Open(full)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("verifying %s: %w", full, err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return false, fmt.Errorf("verifying %s: %w", full, err)
	}
	return hex.EncodeToString(sum.Sum(nil)) == want, nil
}

// install installs exactly the frozen plan from the files at hand.
func (t *transaction) install(ctx context.Context, f frozen, more ...string) error {
	args := append(append([]string{"install", "--no-download"}, more...), installOptions()...)
	if len(f.remove) == 0 {
		args = append(args, "--no-remove")
	}
	if out, err := t.runToEnd(ctx, aptGet(append(args, f.args()...)...)); err != nil {
		return aptError("installing", "packages", out, err)
	}
	return nil
}

// conffiles lists the files that dpkg and ucf left beside a changed configuration file.
func (t *transaction) conffiles() []string {
	var found []string
	root := t.h.Path("/etc")
	// What cannot be read is left out: this only tells a person where to look.
	_ = filepath.WalkDir(root, func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		for _, end := range []string{".dpkg-dist", ".dpkg-new", ".ucf-dist"} {
			if strings.HasSuffix(name, end) {
				found = append(found, "/etc"+strings.TrimPrefix(name, root))
			}
		}
		return nil
	})
	return found
}

// rebootNote tells that a package asked for a restart of the host (Debian policy's
// /run/reboot-required), and which.
func rebootNote(h *step.Machine) string {
	if _, err := os.Stat(h.Path("/run/reboot-required")); err != nil {
		return ""
	}
	names, err := os.ReadFile(h.Path("/run/reboot-required.pkgs"))
	if err != nil || len(strings.Fields(string(names))) == 0 {
		return "the host asks for a restart"
	}
	return "the host asks for a restart: " + strings.Join(strings.Fields(string(names)), " ")
}

// rebootNotes adds needrestart's opinion of the kernel, which looks at what runs.
func (t *transaction) rebootNotes(ctx context.Context) []string {
	const needrestart = "/usr/sbin/needrestart"
	if note := rebootNote(t.h); note != "" {
		return []string{note}
	}
	if _, err := os.Stat(t.h.Path(needrestart)); err != nil {
		return nil
	}
	// It says nothing where it fails, which costs a hint and no more.
	out, err := t.ask(ctx, []string{needrestart, "-b", "-k", "-r", "l"})
	if err == nil && kernelOutdated(string(out.Stdout)) {
		return []string{"the host runs an older kernel than the one installed: it wants a restart"}
	}
	return nil
}

// kernelOutdated reads needrestart's batch output: KSTA 2 is an ABI-compatible, 3 a
// newer kernel waiting (needrestart's README.batch.md).
func kernelOutdated(out string) bool {
	for line := range strings.Lines(out) {
		switch strings.TrimSpace(line) {
		case "NEEDRESTART-KSTA: 2", "NEEDRESTART-KSTA: 3":
			return true
		}
	}
	return false
}

// RebootNotes says why the host wants to be rebooted; nothing where it does not.
func RebootNotes(ctx context.Context, h *step.Machine) []string {
	return newTransaction(h, waiting{}).rebootNotes(ctx)
}
