package apt

import (
	"regexp"
	"strings"

	"ipivs.com/valtctl/installer/step/files"
)

// QuietFiles are the settings that keep other programs from restarting what serves: needrestart
// leaves the engine alone (it reads conf.d last, needrestart.conf), and unattended-upgrades
// never restarts the host (the name sorts after its own 50unattended-upgrades, apt.conf(5)) nor
// upgrades the engine, whose packages restart it without a drain. They also hold where the programs
// are not installed yet.
func QuietFiles() []files.FileParams {
	return []files.FileParams{
		{Path: "/etc/needrestart/conf.d/valtctl.conf", Mode: "0644", Content: `# Written by valtctl: only an update restarts what serves.
$nrconf{override_rc}->{qr(^docker\.(service|socket)$)} = 0;
$nrconf{override_rc}->{qr(^containerd\.service$)} = 0;
`},
		{Path: "/etc/apt/apt.conf.d/zz-valtctl-reboot", Mode: "0644", Content: `// Written by valtctl: only an update, which waits for recordings, restarts the host or its Docker engine.
Unattended-Upgrade::Automatic-Reboot "false";
Unattended-Upgrade::Automatic-Reboot-WithUsers "false";
Unattended-Upgrade::Package-Blacklist:: "docker";
Unattended-Upgrade::Package-Blacklist:: "containerd";
Unattended-Upgrade::Package-Blacklist:: "runc";
`},
	}
}

// blacklisted are the lines of what apt-config(8) dumps that name packages which
// unattended-upgrades leaves alone, each an expression for the beginning of a name
// (its 50unattended-upgrades).
var blacklisted = regexp.MustCompile(`(?mi)^Unattended-Upgrade::Package-Blacklist::\S* "(.*)";$`)

// Kept says whether unattended-upgrades leaves a package alone, by apt's settings as apt-config
// dumps them. What is no expression keeps nothing.
func Kept(dump, name string) bool {
	for _, line := range blacklisted.FindAllStringSubmatch(dump, -1) {
		if re, err := regexp.Compile("^(?:" + strings.TrimSpace(line[1]) + ")"); err == nil && re.MatchString(name) {
			return true
		}
	}
	return false
}
