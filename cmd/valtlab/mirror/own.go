package mirror

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sort"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/program"
	"ipivs.com/valtctl/cmd/valtlab/ubuntu"
)

// ownPackage is a package made for the practice site: out of Files, or out of parts of
// one of Debian's.
type ownPackage struct {
	Vendor      string
	Name        string
	Version     string
	Depends     string
	Conflicts   string
	Description string
	Files       map[string]string // path → content
	Conffiles   []string
	// From is the Debian package whose files below Keep, and scripts if Scripts is set, go
	// into this one.
	From    string
	Keep    []string
	Scripts bool
}

// ownPackages are Docker's packages and the vendor's: its host package in versions
// whose configuration file differs, and its tools. Docker's are cut out of Debian's: Debian's
// docker.io conflicts with docker-ce by name, so they cannot merely depend on it.
func ownPackages(u ubuntu.Release) []ownPackage {
	parts := partsOf(u.Suite)
	packages := []ownPackage{
		{Vendor: "docker", Name: "docker-ce", Version: u.Docker, Conflicts: "docker.io",
			Depends:     parts.depends,
			Description: "Docker's engine, in the practice site Debian's under Docker's name",
			From:        "docker.io", Keep: parts.engine, Scripts: true},
		{Vendor: "docker", Name: "docker-ce-cli", Version: u.Docker, Conflicts: parts.client, Depends: "libc6",
			Description: "Docker's client, in the practice site Debian's under Docker's name",
			From:        parts.client, Keep: []string{"usr/bin/docker"}},
		{Vendor: "docker", Name: "containerd.io", Version: u.Containerd, Conflicts: "containerd", Depends: "libc6, runc",
			Description: "Docker's containerd, in the practice site Debian's under Docker's name",
			From:        "containerd", Keep: parts.containerd, Scripts: true},
	}
	for _, version := range []string{"6.4.1", "6.4.2", "6.4.4"} {
		packages = append(packages, ownPackage{
			Vendor: "ipivs", Name: "valt-host", Version: version + "-1",
			Description: "what a VALT host needs beside its containers (practice site)",
			Files: map[string]string{
				"/etc/valt/host.conf":           "# Settings of this VALT host.\nversion = " + version + "\nlog_days = 30\n",
				"/usr/share/valt-host/version":  version + "\n",
				"/usr/share/doc/valt-host/NEWS": "valt-host " + version + "\n",
			},
			Conffiles: []string{"/etc/valt/host.conf"},
		})
	}
	for n, version := range []string{"6.4.1", "6.4.4"} {
		packages = append(packages, ownPackage{
			Vendor: "ipivs", Name: "valt-tools", Version: version + "-1",
			Description: "tools of the vendor's for a VALT host, as large as such are (practice site)",
			Files:       map[string]string{"/usr/share/valt-tools/data": filling(toolsSize, byte(n))},
		})
	}
	return packages
}

// engineParts say how a Debian suite packs the engine: what its daemon needs, the package that its client
// is in, and what of the daemon's and of containerd's package is Docker's.
type engineParts struct {
	depends, client    string
	engine, containerd []string
}

func partsOf(suite string) engineParts {
	p := engineParts{
		depends: "adduser, containerd.io, docker-ce-cli, iptables, libc6, libsystemd0, sysvinit-utils, tini", client: "docker-cli",
		engine:     []string{"usr/lib", "usr/sbin/dockerd", "usr/sbin/docker-proxy", "usr/bin/docker-init"},
		containerd: []string{"etc", "usr/lib", "usr/bin"},
	}
	switch suite {
	case ubuntu.Bookworm:
		p.depends = "adduser, containerd.io, docker-ce-cli, iptables, libc6, libdevmapper1.02.1, libsystemd0, tini"
		p.client, p.engine, p.containerd = "docker.io", []string{"lib", "usr/sbin/dockerd", "usr/sbin/docker-proxy"}, []string{"etc", "lib", "usr/bin"}
	case ubuntu.Forky:
		p.depends = "debconf, containerd.io, docker-ce-cli, iptables, libc6, libsystemd0, systemd, sysvinit-utils, tini-static"
	}
	return p
}

// toolsSize is how many bytes the vendor's tools have.
const toolsSize = 512 << 10

// filling is content that no packing makes smaller, the same every time.
func filling(n int, seed byte) string {
	text := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(text) // never fails (math/rand/v2)
	return string(text)
}

// control is the package's DEBIAN/control (deb-control(5)).
func (p ownPackage) control() string {
	lines := []string{
		"Package: " + p.Name,
		"Version: " + p.Version,
		"Architecture: amd64",
		"Maintainer: VALT practice site <practice@valt.lab.example>",
		"Section: admin",
		"Priority: optional",
	}
	if p.Depends != "" {
		lines = append(lines, "Depends: "+p.Depends)
	}
	if p.Conflicts != "" {
		lines = append(lines, "Conflicts: "+p.Conflicts, "Replaces: "+p.Conflicts)
	}
	return strings.Join(append(lines, "Description: "+p.Description, ""), "\n")
}

// file is the package's file name, which leaves the epoch out.
func (p ownPackage) file() string {
	version := p.Version
	if _, after, found := strings.Cut(version, ":"); found {
		version = after
	}
	return p.Name + "_" + version + "_amd64.deb"
}

// build makes the package in folder with dpkg-deb. Packages it is cut out of are in
// the folder debian.
func (p ownPackage) build(ctx context.Context, debian, folder string) error {
	tree, err := os.MkdirTemp("", "valtlab-deb-")
	if err != nil {
		return fmt.Errorf("building package %s: %w", p.Name, err)
	}
	defer os.RemoveAll(tree)
	if err := os.Chmod(tree, 0o755); err != nil {
		return fmt.Errorf("building package %s: %w", p.Name, err)
	}
	if p.From != "" {
		if err := p.cut(ctx, debian, tree); err != nil {
			return fmt.Errorf("building package %s: %w", p.Name, err)
		}
	}
	files := map[string]string{"/DEBIAN/control": p.control()}
	if len(p.Conffiles) > 0 {
		sort.Strings(p.Conffiles)
		files["/DEBIAN/conffiles"] = strings.Join(p.Conffiles, "\n") + "\n"
	}
	maps.Copy(files, p.Files)
	for path, content := range files {
		if err := replaceFile(filepath.Join(tree, path), []byte(content)); err != nil {
			return err
		}
	}
	// The lightest compression: these are read on the machine that made them.
	err = runTool(ctx, "dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, filepath.Join(folder, p.file()))
	if err != nil {
		return fmt.Errorf("building package %s: %w", p.Name, err)
	}
	return nil
}

// cut puts the parts of the Debian package into tree.
func (p ownPackage) cut(ctx context.Context, debian, tree string) error {
	found, err := filepath.Glob(filepath.Join(debian, p.From+"_*.deb"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("finding Debian's %s: %d packages (%v)", p.From, len(found), err)
	}
	whole, err := os.MkdirTemp("", "valtlab-whole-")
	if err != nil {
		return fmt.Errorf("unpacking Debian's %s: %w", p.From, err)
	}
	defer os.RemoveAll(whole)
	if err := runTool(ctx, "dpkg-deb", "--raw-extract", found[0], whole); err != nil {
		return fmt.Errorf("unpacking Debian's %s: %w", p.From, err)
	}
	keep := p.Keep
	if p.Scripts {
		keep = append(slices.Clone(keep), "DEBIAN")
	}
	for _, part := range keep {
		target := filepath.Join(tree, part)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return fmt.Errorf("cutting %s out of Debian's %s: %w", part, p.From, err)
		}
		if err := os.Rename(filepath.Join(whole, part), target); err != nil {
			return fmt.Errorf("cutting %s out of Debian's %s: %w", part, p.From, err)
		}
	}
	// They name files that were left out, such as the old init script, which Debian's
	// maintainer script would start beside the unit.
	for _, list := range []string{"md5sums", "conffiles"} {
		if err := os.Remove(filepath.Join(tree, "DEBIAN", list)); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("cutting up Debian's %s: %w", p.From, err)
		}
	}
	return nil
}

func runTool(ctx context.Context, name string, args ...string) error {
	command := exec.CommandContext(ctx, name, args...)
	command.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=0")
	return program.Run(command)
}
