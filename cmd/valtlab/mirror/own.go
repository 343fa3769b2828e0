package mirror

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
)

// ownPackage is a small package made for the practice site.
type ownPackage struct {
	Vendor      string
	Name        string
	Version     string
	Depends     string
	Description string
	Files       map[string]string // path → content
	Conffiles   []string
}

// dockerVersion is of the lab's docker-ce and friends, written as Docker does.
const dockerVersion = "5:26.1.4-1~ubuntu.24.04~noble"

// ownPackages are Docker's packages, as shells around Debian's, and the vendor's
// host package in two versions whose configuration file differs.
func ownPackages() []ownPackage {
	packages := []ownPackage{
		{Vendor: "docker", Name: "docker-ce-cli", Version: dockerVersion, Depends: "docker.io",
			Description: "Docker's client, in the practice site a shell around Debian's docker.io"},
		{Vendor: "docker", Name: "docker-ce", Version: dockerVersion, Depends: "docker.io, docker-ce-cli, containerd.io, iptables",
			Description: "Docker's engine, in the practice site a shell around Debian's docker.io"},
		{Vendor: "docker", Name: "containerd.io", Version: "1.6.33-1", Depends: "containerd, runc",
			Description: "Docker's containerd, in the practice site a shell around Debian's containerd"},
	}
	for _, version := range []string{"6.4.1", "6.4.2"} {
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
	return packages
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

// build makes the package in folder with dpkg-deb.
func (p ownPackage) build(ctx context.Context, folder string) error {
	tree, err := os.MkdirTemp("", "valtlab-deb-")
	if err != nil {
		return fmt.Errorf("building package %s: %w", p.Name, err)
	}
	defer os.RemoveAll(tree)
	if err := os.Chmod(tree, 0o755); err != nil {
		return fmt.Errorf("building package %s: %w", p.Name, err)
	}
	files := map[string]string{"/DEBIAN/control": p.control()}
	if len(p.Conffiles) > 0 {
		sort.Strings(p.Conffiles)
		files["/DEBIAN/conffiles"] = strings.Join(p.Conffiles, "\n") + "\n"
	}
	for path, content := range p.Files {
		files[path] = content
	}
	for path, content := range files {
		if err := replaceFile(filepath.Join(tree, path), []byte(content)); err != nil {
			return err
		}
	}
	pack := exec.CommandContext(ctx, "dpkg-deb", "--root-owner-group", "-Zgzip", "--build", tree, filepath.Join(folder, p.file()))
	pack.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=0")
	if said, err := pack.CombinedOutput(); err != nil {
		return fmt.Errorf("building package %s: %w: %s", p.Name, err, bytes.TrimSpace(said))
	}
	return nil
}
