package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/client"

	"ipivs.com/valtctl/cmd/valtlab/program"
	"ipivs.com/valtctl/cmd/valtlab/rootfs"
)

// tool is a program the lab runs on this machine and the Debian package that has it.
type tool struct{ program, pkg string }

func tools() []tool {
	return []tool{
		{"mmdebstrap", "mmdebstrap"}, {"apt-ftparchive", "apt-utils"}, {"dpkg-deb", "dpkg"},
		{"dockerd", "docker.io"}, {"iptables", "iptables"}, {"nft", "nftables"}, {"tc", "iproute2"},
		{"nsenter", "util-linux"}, {"openssl", "openssl"}, {"skopeo", "skopeo"}, {"gpgv", "gpgv"},
	}
}

// missingTools are the packages to install on this machine.
func missingTools(wanted []tool, lookup func(string) (string, error)) []string {
	var missing []string
	for _, t := range wanted {
		if _, err := lookup(t.program); err != nil {
			missing = append(missing, t.pkg)
		}
	}
	return missing
}

// lookup finds a program where root's PATH has it, whatever this process's is.
func lookup(program string) (string, error) {
	for _, folder := range []string{"/usr/sbin/", "/sbin/", "/usr/bin/", "/bin/", "/usr/local/bin/", "/usr/local/sbin/"} {
		if info, err := os.Stat(folder + program); err == nil && !info.IsDir() {
			return folder + program, nil
		}
	}
	// Takes a path with a slash as it is, also of what is no program.
	if info, err := os.Stat(program); strings.HasPrefix(program, "/") && err == nil && !info.IsDir() {
		return program, nil
	}
	path, err := exec.LookPath(program)
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", program, err)
	}
	return path, nil
}

// testTools are what the tests of the whole tree run beside the lab's own tools: real SSH
// servers on loopback, programs that check what was written, and a browser with a font for
// the pages.
func testTools() []tool {
	return []tool{
		{"sshd", "openssh-server"}, {"/usr/lib/openssh/sftp-server", "openssh-sftp-server"}, {"dropbear", "dropbear-bin"},
		{"sudo", "sudo"}, {"perl", "perl-base"}, {"unshare", "util-linux"}, {"gcc", "gcc"}, {"/usr/include/errno.h", "libc6-dev"},
		{"chromium", "chromium"}, {"/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", "fonts-dejavu-core"},
	}
}

// Prepare makes this machine ready for the tests: what they and the lab run is installed,
// and a Docker engine answers. No lab is started.
func (l *Lab) Prepare(ctx context.Context) error {
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	err = l.Stage(ctx, stageTools, func(ctx context.Context) error {
		return l.install(ctx, slices.Concat(tools(), testTools()))
	})
	if err != nil {
		return err
	}
	return l.Stage(ctx, stageEngine, l.startEngine)
}

// benchTools are what valtctl is measured beside.
func benchTools() []tool { return []tool{{"ansible-playbook", "ansible-core"}} }

// PrepareBench installs what valtctl is measured beside.
func (l *Lab) PrepareBench(ctx context.Context) error {
	return l.Stage(ctx, stageTools, func(ctx context.Context) error { return l.install(ctx, benchTools()) })
}

// installTools installs what is missing with apt-get, and nothing if nothing is.
func (l *Lab) installTools(ctx context.Context) error { return l.install(ctx, tools()) }

func (l *Lab) install(ctx context.Context, wanted []tool) error {
	if err := rootfs.CheckNull(); err != nil {
		return err
	}
	missing := missingTools(wanted, lookup)
	if len(missing) == 0 {
		return nil
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("installing %s needs root: run as root, or install them first", strings.Join(missing, " "))
	}
	l.Note(stageTools, "installing %s with apt-get", strings.Join(missing, " "))
	if err := aptGet(ctx, "update"); err != nil {
		return err
	}
	return aptGet(ctx, append([]string{"install", "--yes", "--no-install-recommends"}, missing...)...)
}

// aptGet waits ten minutes for somebody else's lock.
func aptGet(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "apt-get", append([]string{"-q", "-o", "DPkg::Lock::Timeout=600"}, args...)...)
	command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_SUSPEND=1")
	return program.Run(command)
}

// startEngine sees that a Docker engine answers, and says so when it starts one.
func (l *Lab) startEngine(ctx context.Context) error {
	// One that is there and busy is waited for: starting another would end in two.
	if err := l.engine.Ping(ctx); err == nil || !client.IsErrConnectionFailed(err) {
		return err
	}
	log := "/var/log/valtlab-dockerd.log"
	l.Note(stageEngine, "no Docker engine answers: starting dockerd, which stays (log: %s)", log)
	return l.engine.Start(ctx, log)
}
