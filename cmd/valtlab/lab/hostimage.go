package lab

import (
	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/rootfs"
	"ipivs.com/valtctl/cmd/valtlab/ubuntu"
)

// hostRecipe is the root file system of a bare server: the suite's minimal system with systemd and
// sshd, the identity of the Ubuntu that it bears, and no Docker.
func hostRecipe(u ubuntu.Release) rootfs.Recipe {
	r := rootfs.Recipe{
		Name: "host", Suite: u.Suite, Late: u.Moves,
		Packages: []string{
			"systemd", "systemd-sysv", "libpam-systemd", "libnss-systemd", "dbus", "udev", "kmod",
			"openssh-server", "dropbear-bin", "gpgv", "iproute2", "iputils-ping", "netbase",
			"lsb-release", "procps", "less", "curl", "openssl", "python3", "python3-apt",
		},
		Files: []containers.File{
			{Path: "/usr/lib/os-release", Content: []byte(u.OSRelease())},
			{Path: "/etc/lsb-release", Content: []byte(u.LSBRelease())},
			{Path: "/etc/debian_version", Content: []byte("trixie/sid\n")},
			{Path: "/etc/apt/sources.list.d/ubuntu.sources", Content: []byte(u.Sources())},
			{Path: "/etc/systemd/system/valtlab-setup.service", Content: []byte(setupUnit)},
			{Path: "/etc/systemd/system/dropbear.service", Content: []byte(dropbearUnit)},
			{Path: "/etc/ssh/sshd_config.d/10-valtlab.conf", Content: []byte("PasswordAuthentication no\n")},
			{Path: "/srv/valt", Dir: true},
		},
		Commands: [][]string{
			{"useradd", "--create-home", "--shell", "/bin/bash", DefaultUser},
			{"systemctl", "enable", "ssh.service", "valtlab-setup.service"},
			{"systemctl", "mask", "systemd-udevd.service", "systemd-udevd-kernel.socket", "systemd-udevd-control.socket",
				"systemd-modules-load.service", "console-getty.service", "getty@tty1.service"},
			{"sh", "-c", "rm -f /etc/ssh/ssh_host_*"},
		},
	}
	if !u.Rust {
		r.Packages = append(r.Packages, "sudo")
		return r
	}
	return rusty(r)
}

// rusty puts sudo-rs and uutils in place of sudo and the small programs, linked as Ubuntu links them: cp, mv and
// rm stay GNU's.
func rusty(r rootfs.Recipe) rootfs.Recipe {
	r.Packages = append(r.Packages, "sudo-rs", "rust-coreutils")
	r.Files = append(r.Files,
		containers.File{Path: "/etc/sudoers", Mode: 0o440, Content: []byte(sudoersText)},
		containers.File{Path: "/etc/pam.d/sudo", Content: []byte(sudoPAM)},
		containers.File{Path: "/usr/bin/sudo", Link: "/usr/lib/cargo/bin/sudo"},
		containers.File{Path: "/usr/sbin/visudo", Link: "/usr/lib/cargo/bin/visudo"})
	r.Commands = append(r.Commands, []string{"sh", "-c", `for p in /usr/lib/cargo/bin/coreutils/*; do
case ${p##*/} in cp|mv|rm|ln) ;; *) /usr/bin/ln -sf "$p" "/usr/bin/${p##*/}";; esac; done`})
	return r
}

const sudoersText = `Defaults secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
root ALL=(ALL:ALL) ALL
%sudo ALL=(ALL:ALL) ALL
@includedir /etc/sudoers.d
`

// sudoPAM is what sudo's package brings, and that of sudo-rs does not.
const sudoPAM = `session required pam_limits.so
@include common-auth
@include common-account
@include common-session-noninteractive
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
