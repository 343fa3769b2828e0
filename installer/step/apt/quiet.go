package apt

import "ipivs.com/valtctl/installer/step/files"

// QuietFiles are the settings that keep other programs from restarting what serves: needrestart
// leaves the engine alone (it reads conf.d last, needrestart.conf), and unattended-upgrades
// never restarts the host (the name sorts after its own 50unattended-upgrades, apt.conf(5)).
// They also hold where the programs are not installed yet.
func QuietFiles() []files.FileParams {
	return []files.FileParams{
		{Path: "/etc/needrestart/conf.d/valtctl.conf", Mode: "0644", Content: `# Written by valtctl: only an update restarts what serves.
$nrconf{override_rc}->{qr(^docker\.(service|socket)$)} = 0;
$nrconf{override_rc}->{qr(^containerd\.service$)} = 0;
`},
		{Path: "/etc/apt/apt.conf.d/zz-valtctl-reboot", Mode: "0644", Content: `// Written by valtctl: only an update restarts the host.
Unattended-Upgrade::Automatic-Reboot "false";
Unattended-Upgrade::Automatic-Reboot-WithUsers "false";
`},
	}
}
