package lab

import (
	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/mirror"
	"ipivs.com/valtctl/cmd/valtlab/rootfs"
)

// hostRecipe is a bare server as Ubuntu's installer leaves it, as near as Debian's
// packages come to it. What differs from host to host is put in by hostFiles.
func hostRecipe() rootfs.Recipe {
	return rootfs.Recipe{
		Name: "host",
		Packages: []string{
			"systemd", "systemd-sysv", "libpam-systemd", "libnss-systemd", "dbus", "udev", "kmod",
			"openssh-server", "dropbear-bin", "sudo", "gpgv", "iproute2", "iputils-ping", "netbase",
			"lsb-release", "procps", "less", "curl", "openssl", "python3", "python3-apt",
		},
		Files: []containers.File{
			{Path: "/usr/lib/os-release", Content: []byte(osRelease)},
			{Path: "/etc/lsb-release", Content: []byte(lsbRelease)},
			{Path: "/etc/debian_version", Content: []byte("trixie/sid\n")},
			{Path: "/etc/apt/sources.list.d/ubuntu.sources", Content: []byte(ubuntuSources)},
			{Path: "/etc/systemd/system/valtlab-setup.service", Content: []byte(setupUnit)},
			{Path: "/etc/systemd/system/dropbear.service", Content: []byte(dropbearUnit)},
			{Path: "/etc/ssh/sshd_config.d/10-valtlab.conf", Content: []byte("PasswordAuthentication no\n")},
			{Path: "/srv/valt", Dir: true},
		},
		Commands: [][]string{
			{"useradd", "--create-home", "--shell", "/bin/bash", DefaultUser},
			{"systemctl", "enable", "ssh.service", "valtlab-setup.service"},
			{"systemctl", "mask", "systemd-udevd.service", "systemd-udevd-kernel.socket", "systemd-udevd-control.socket",
				"console-getty.service", "getty@tty1.service"},
			{"sh", "-c", "rm -f /etc/ssh/ssh_host_*"},
		},
	}
}

const osRelease = `PRETTY_NAME="Ubuntu 24.04 LTS"
NAME="Ubuntu"
VERSION_ID="24.04"
VERSION="24.04 LTS (Noble Numbat)"
VERSION_CODENAME=` + mirror.Codename + `
ID=ubuntu
ID_LIKE=debian
HOME_URL="https://www.ubuntu.com/"
SUPPORT_URL="https://help.ubuntu.com/"
UBUNTU_CODENAME=` + mirror.Codename + `
LOGO=ubuntu-logo
`

const lsbRelease = `DISTRIB_ID=Ubuntu
DISTRIB_RELEASE=24.04
DISTRIB_CODENAME=` + mirror.Codename + `
DISTRIB_DESCRIPTION="Ubuntu 24.04 LTS"
`

// ubuntuSources is what Ubuntu 24.04's installer writes. None of its names resolves
// in the lab but security.ubuntu.com: an installation has to replace it.
const ubuntuSources = `Types: deb
URIs: http://archive.ubuntu.com/ubuntu/
Suites: noble noble-updates noble-backports
Components: main restricted universe multiverse
Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg

Types: deb
URIs: http://security.ubuntu.com/ubuntu/
Suites: noble-security
Components: main restricted universe multiverse
Signed-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg
`

// setupUnit runs what a host's options ask for at every boot: mounts and routes do
// not outlive one.
const setupUnit = `[Unit]
Description=Practice site: what this host was asked to be
DefaultDependencies=no
After=local-fs.target systemd-sysusers.service
Before=ssh.service dropbear.service sysinit.target
ConditionPathExists=/etc/valtlab-setup
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh /etc/valtlab-setup
[Install]
WantedBy=sysinit.target
`

// dropbearUnit stands in for openssh's on a host with --sshd dropbear.
const dropbearUnit = `[Unit]
Description=Practice site: dropbear SSH server
[Service]
EnvironmentFile=-/etc/default/dropbear
ExecStart=/usr/sbin/dropbear -F -E -s -r /etc/dropbear/dropbear_ed25519_host_key -p ${DROPBEAR_PORT}
Restart=always
[Install]
WantedBy=multi-user.target
`
