package lab

import (
	"context"
	"fmt"
	"os"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/pki"
)

// hostSecrets are what the lab's folder holds for a host.
type hostSecrets struct {
	authorized  []byte // public key of whoever may log in
	hostKey     pki.SSHKey
	dropbearKey []byte // the same key in dropbear's format
	keyring     []byte // Ubuntu's, binary
	shadow      string // crypt(3) hash of the user's password; empty: none
}

// files are what makes a bare root this host.
func (h Host) files(s hostSecrets) []containers.File {
	files := []containers.File{
		{Path: "/usr/share/keyrings/ubuntu-archive-keyring.gpg", Content: s.keyring},
		{Path: "/etc/ssh/ssh_host_ed25519_key", Mode: 0o600, Content: s.hostKey.Private},
		{Path: "/etc/ssh/ssh_host_ed25519_key.pub", Content: s.hostKey.Public},
	}
	if h.Port != 22 {
		files = append(files, file("/etc/ssh/sshd_config.d/20-port.conf", fmt.Sprintf("Port %d\n", h.Port)))
	}
	if h.ImageStore == Containerd {
		files = append(files, file("/etc/docker/daemon.json", `{"features": {"containerd-snapshotter": true}}`+"\n"))
	}
	if h.Hardened {
		files = append(files,
			// sshd takes the first value it reads, so this stands before 10-valtlab.conf.
			file("/etc/ssh/sshd_config.d/05-hardened.conf", hardenedSSH),
			containers.File{Path: "/etc/sudoers.d/05-hardened", Mode: 0o440, Content: []byte("Defaults use_pty\n")})
	}
	if h.SSHD == Dropbear {
		files = append(files,
			containers.File{Path: "/etc/dropbear/dropbear_ed25519_host_key", Mode: 0o600, Content: s.dropbearKey},
			file("/etc/default/dropbear", fmt.Sprintf("DROPBEAR_PORT=%d\n", h.Port)),
			containers.File{Path: "/etc/systemd/system/ssh.service", Link: "/dev/null"},
			containers.File{Path: "/etc/systemd/system/multi-user.target.wants/dropbear.service", Link: "/etc/systemd/system/dropbear.service"})
	}
	if rule := h.sudoRule(); rule != "" {
		files = append(files, containers.File{Path: "/etc/sudoers.d/90-" + h.User, Mode: 0o440, Content: []byte(rule)})
	}
	if h.NoisyShell {
		files = append(files, file("/etc/profile.d/noise.sh", noise), file("/etc/valtlab-noise", noise))
	}
	return append(files, file("/etc/valtlab-provision", h.provision(s)), file("/etc/valtlab-setup", h.setup()))
}

func file(path, content string) containers.File {
	return containers.File{Path: path, Content: []byte(content)}
}

const hardenedSSH = `AllowTcpForwarding no
MaxSessions 1
KbdInteractiveAuthentication yes
UsePAM yes
`

// noise is what a .bashrc by a friendly administrator prints.
const noise = `echo "Welcome. This system is monitored."
echo "Last maintenance: Sunday. Disk usage: 41%." >&2
`

func (h Host) sudoRule() string {
	switch {
	case h.User == "root":
		return ""
	case h.Sudo == SudoNopasswd:
		return h.User + " ALL=(ALL:ALL) NOPASSWD: ALL\n"
	case h.Sudo == SudoPassword:
		return h.User + " ALL=(ALL:ALL) ALL\n"
	}
	return ""
}

// provision is run once, in the first boot before sshd starts: accounts are edited
// by the system's own tools.
func (h Host) provision(s hostSecrets) string {
	home := "/home/" + h.User
	var script strings.Builder
	script.WriteString("set -e\n")
	switch h.User {
	case "root":
		home = "/root"
	case DefaultUser:
	default:
		fmt.Fprintf(&script, "id %s >/dev/null 2>&1 || useradd --create-home --shell /bin/bash %s\n", h.User, h.User)
	}
	if s.shadow == "" && h.User != "root" {
		s.shadow = "*" // no password, and not locked
	}
	if s.shadow != "" {
		fmt.Fprintf(&script, "usermod --password '%s' %s\n", s.shadow, h.User)
	}
	fmt.Fprintf(&script, "install -d -m 0700 -o %s %s/.ssh\n", h.User, home)
	fmt.Fprintf(&script, "cat > %s/.ssh/authorized_keys <<'END'\n%sEND\n", home, s.authorized)
	fmt.Fprintf(&script, "chown -R %s: %s/.ssh\nchmod 0600 %s/.ssh/authorized_keys\n", h.User, home, home)
	if h.NoisyShell {
		// Before everything else: Debian's .bashrc returns early for a shell that nobody types at.
		for _, rc := range []string{".bashrc", ".profile"} {
			fmt.Fprintf(&script, "cat /etc/valtlab-noise %[1]s/%[2]s > /run/rc 2>/dev/null || true; cat /run/rc > %[1]s/%[2]s; chown %[3]s: %[1]s/%[2]s; rm /run/rc\n", home, rc, h.User)
		}
	}
	if h.SSHD == Dropbear {
		script.WriteString("rm -f /usr/lib/openssh/sftp-server /usr/lib/sftp-server\n")
	}
	return script.String()
}

// setup is run at every boot.
func (h Host) setup() string {
	var script strings.Builder
	script.WriteString("set -e\n" +
		"if [ -e /etc/valtlab-provision ]; then sh /etc/valtlab-provision; rm /etc/valtlab-provision; fi\n")
	if h.Noexec {
		script.WriteString("for d in /tmp /home; do mount --bind $d $d; mount -o remount,bind,noexec,nosuid $d; done\n" +
			"mount -o remount,noexec /dev/shm\n")
	}
	return script.String()
}

// hostSecrets makes what is missing of a host's keys and gathers them.
func (l *Lab) hostSecrets(ctx context.Context, h Host) (s hostSecrets, err error) {
	if s.authorized, err = l.sshKey("id_ed25519", "practice site"); err != nil {
		return s, err
	}
	keyPath := "hosts/" + h.Name + "/ssh_host_ed25519_key"
	if s.hostKey.Public, err = l.sshKey(keyPath, h.Name); err != nil {
		return s, err
	}
	if s.hostKey.Private, err = os.ReadFile(l.Path(keyPath)); err != nil {
		return s, fmt.Errorf("reading the host key of %s: %w", h.Name, err)
	}
	ubuntu, err := l.vendorSecret(VendorUbuntu)
	if err != nil {
		return s, err
	}
	s.keyring = ubuntu.Binary
	if h.SSHD == Dropbear {
		if s.dropbearKey, err = pki.DropbearKey(s.hostKey.Private); err != nil {
			return s, err
		}
	}
	if h.Sudo == SudoPassword || h.Hardened {
		s.shadow, err = l.passwordHash(ctx)
	}
	return s, err
}

// passwordHash is the hash of the password in the file sudo_password, kept so that a
// host is the same every time it is made.
func (l *Lab) passwordHash(ctx context.Context) (string, error) {
	hash, err := keepFile(l.Path("hosts", "shadow"), 0o600, func() ([]byte, error) {
		password, err := os.ReadFile(l.Path("sudo_password"))
		if err != nil {
			return nil, fmt.Errorf("reading the hosts' password: %w", err)
		}
		hash, err := pki.CryptHash(ctx, strings.TrimSpace(string(password)))
		return []byte(hash), err
	})
	return string(hash), err
}
