package mirror

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/rootfs"
)

// download fetches the closure of every group relative to the bare host with apt,
// which also checks the signatures, and puts the packages into Ubuntu's pools.
func download(ctx context.Context, work string, r Request) error {
	private, err := os.MkdirTemp("", "valtlab-apt-")
	if err != nil {
		return fmt.Errorf("making a private apt root: %w", err)
	}
	defer os.RemoveAll(private)
	options, err := aptRoot(private, r)
	if err != nil {
		return err
	}
	if err := apt(ctx, options, "update"); err != nil {
		return err
	}
	for _, group := range r.Groups {
		args := append([]string{"install", "--yes", "--download-only", "--reinstall", "--no-install-recommends"}, group...)
		if err := apt(ctx, options, args...); err != nil {
			return err
		}
	}
	return spread(filepath.Join(private, "archives"), filepath.Join(work, "ubuntu"), r.Ubuntu.Codename)
}

// aptRoot lays out a root of apt's own below dir and returns the options that make
// apt-get use it and nothing of this machine's state. The machine's apt.conf stays in
// force: it may name a proxy.
func aptRoot(dir string, r Request) ([]string, error) {
	for _, folder := range []string{"lists/partial", "archives/partial", "state", "empty.d"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			return nil, fmt.Errorf("making a private apt root: %w", err)
		}
	}
	files := map[string][]byte{
		"status":       r.Status,
		"sources.list": []byte(strings.Join(rootfs.Sources(r.Debian, r.Ubuntu.Suite), "\n") + "\n"),
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return nil, fmt.Errorf("making a private apt root: %w", err)
		}
	}
	late := "true"
	if r.Ubuntu.Moves { // a mirror of a suite that moves may be behind
		late = "false"
	}
	return []string{
		"-o", "Acquire::Check-Valid-Until=" + late,
		"-o", "Dir::State=" + dir + "/state",
		"-o", "Dir::State::status=" + dir + "/status",
		"-o", "Dir::State::lists=" + dir + "/lists",
		"-o", "Dir::Cache=" + dir,
		"-o", "Dir::Cache::archives=" + dir + "/archives",
		"-o", "Dir::Etc::sourcelist=" + dir + "/sources.list",
		"-o", "Dir::Etc::sourceparts=" + dir + "/empty.d",
		"-o", "Dir::Etc::preferences=/dev/null",
		"-o", "Dir::Etc::preferencesparts=" + dir + "/empty.d",
		"-o", "APT::Architecture=amd64",
		"-o", "APT::Architectures=amd64",
		"-o", "APT::Sandbox::User=root",
		"-o", "Acquire::Languages=none",
		"-o", "Acquire::Retries=3",
		"-o", "Debug::NoLocking=1",
		"-o", "APT::Update::Post-Invoke-Success::=true",
	}, nil
}

func apt(ctx context.Context, options []string, args ...string) error {
	command := exec.CommandContext(ctx, "apt-get", append(append([]string{"-qq"}, options...), args...)...)
	command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8")
	said, err := command.CombinedOutput()
	if err != nil {
		return fmt.Errorf("running apt-get %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(said))
	}
	return nil
}

// spread moves packages into the pools: all into the release's, and those that came
// as security updates (Debian numbers them +debNuM) into both pools for updates too.
func spread(archives, repository, codename string) error {
	packages, err := filepath.Glob(filepath.Join(archives, "*.deb"))
	if err != nil {
		return fmt.Errorf("listing downloaded packages: %w", err)
	}
	if len(packages) == 0 {
		return fmt.Errorf("apt downloaded nothing into %s", archives)
	}
	for _, from := range packages {
		content, err := os.ReadFile(from)
		if err != nil {
			return fmt.Errorf("reading a downloaded package: %w", err)
		}
		// apt writes a colon of an epoch as %3a; a web server would take that for a
		// colon again, so it goes altogether, as in real archives.
		name := filepath.Base(from)
		if version, epoch, found := cutEpoch(name); found {
			name = version + epoch
		}
		for _, suite := range suitesOf(name, codename) {
			if err := replaceFile(filepath.Join(repository, "pool", suite, name), content); err != nil {
				return err
			}
		}
	}
	return nil
}

// cutEpoch splits "docker_5%3a1.2_amd64.deb" into "docker_" and "1.2_amd64.deb".
func cutEpoch(name string) (before, after string, found bool) {
	before, after, found = strings.Cut(name, "%3a")
	if !found {
		return name, "", false
	}
	return before[:strings.LastIndex(before, "_")+1], after, true
}

// securityUpdate is in the version of what came after Debian's release (deb-version(7)).
var securityUpdate = regexp.MustCompile(`deb\d+u\d`)

func suitesOf(name, codename string) []string {
	suites := []string{codename}
	if securityUpdate.MatchString(name) {
		suites = append(suites, codename+"-updates", codename+"-security")
	}
	return suites
}
