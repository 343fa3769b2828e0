// Package ubuntu says which long-term releases of Ubuntu the practice site's servers bear, and which of Debian's
// suites the parts are of that stand for them. There are no packages of Ubuntu in the practice site: a server is
// Debian with Ubuntu's identity, its apt, dpkg, systemd, sshd, sudo and Docker are real, and of the age that is said.
package ubuntu

import (
	"fmt"
	"slices"
	"strings"
)

// Release is one of Ubuntu's and what stands for it.
type Release struct {
	Version  string // VERSION_ID of os-release(5)
	Codename string
	Name     string // in words
	// Suite is the Debian suite of its parts.
	Suite string
	// Moves says that the suite is not a stable one: what it holds changes from day to day.
	Moves bool
	// Rust says that sudo is sudo-rs and the small programs are uutils, as in Ubuntu since 25.10.
	Rust bool
	// Unified says that the server has control groups of the second version alone, as its systemd wants.
	Unified bool
	// Docker and Containerd are the versions of the engine's packages, as Docker writes them.
	Docker, Containerd string
}

// The suites of Debian that stand for releases of Ubuntu.
const (
	Bookworm = "bookworm"
	Trixie   = "trixie"
	Forky    = "forky"
)

// Releases are all that a server may bear, the oldest first. The newest one is made of a stable suite, or of one
// that moves.
func Releases() []Release {
	return []Release{
		{Version: "22.04", Codename: "jammy", Name: "Jammy Jellyfish", Suite: Bookworm,
			Docker: "5:26.1.4-1~ubuntu.22.04~jammy", Containerd: "1.6.33-1"},
		{Version: "24.04", Codename: "noble", Name: "Noble Numbat", Suite: Bookworm,
			Docker: "5:26.1.4-1~ubuntu.24.04~noble", Containerd: "1.6.33-1"},
		{Version: "26.04", Codename: "resolute", Name: "Resolute Raccoon", Suite: Trixie, Rust: true, Unified: true,
			Docker: "5:26.1.5-1~ubuntu.26.04~resolute", Containerd: "1.7.24-1~ubuntu.26.04~resolute"},
		{Version: "26.04", Codename: "resolute", Name: "Resolute Raccoon", Suite: Forky, Moves: true, Rust: true, Unified: true,
			Docker: "5:28.5.2-1~ubuntu.26.04~resolute", Containerd: "2.1.9-1~ubuntu.26.04~resolute"},
	}
}

// Default is what a server bears unless something else is asked for; Newest is the latest long-term release.
const (
	Default = "24.04"
	Newest  = "26.04"
)

// Versions are those that can be asked for.
func Versions() []string {
	var all []string
	for _, r := range Releases() {
		if !slices.Contains(all, r.Version) {
			all = append(all, r.Version)
		}
	}
	return all
}

// Find is the release of a version, made of a suite; an empty one is the first that serves.
func Find(version, suite string) (Release, error) {
	for _, r := range Releases() {
		if r.Version == version && (suite == "" || r.Suite == suite) {
			return r, nil
		}
	}
	if slices.Contains(Versions(), version) {
		return Release{}, fmt.Errorf("no server bears Ubuntu %s made of Debian's %s", version, suite)
	}
	return Release{}, fmt.Errorf("there is no Ubuntu %q in the practice site: take one of %s", version, strings.Join(Versions(), ", "))
}

// OSRelease is the server's /etc/os-release (os-release(5)).
func (r Release) OSRelease() string {
	return `PRETTY_NAME="Ubuntu ` + r.Version + ` LTS"
NAME="Ubuntu"
VERSION_ID="` + r.Version + `"
VERSION="` + r.Version + ` LTS (` + r.Name + `)"
VERSION_CODENAME=` + r.Codename + `
ID=ubuntu
ID_LIKE=debian
HOME_URL="https://www.ubuntu.com/"
SUPPORT_URL="https://help.ubuntu.com/"
UBUNTU_CODENAME=` + r.Codename + `
LOGO=ubuntu-logo
`
}

// LSBRelease is the server's /etc/lsb-release.
func (r Release) LSBRelease() string {
	return "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=" + r.Version + "\nDISTRIB_CODENAME=" + r.Codename +
		"\nDISTRIB_DESCRIPTION=\"Ubuntu " + r.Version + " LTS\"\n"
}

// Sources is what a fresh server of the release has in /etc/apt/sources.list.d/ubuntu.sources.
func (r Release) Sources() string {
	const keyring = "Components: main restricted universe multiverse\nSigned-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg\n"
	return "Types: deb\nURIs: http://archive.ubuntu.com/ubuntu/\n" +
		"Suites: " + r.Codename + " " + r.Codename + "-updates " + r.Codename + "-backports\n" + keyring +
		"\nTypes: deb\nURIs: http://security.ubuntu.com/ubuntu/\nSuites: " + r.Codename + "-security\n" + keyring
}
