package vendorsim

import (
	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/rootfs"
)

// Recipe is the image of the world and of the client, who share one so that there
// is one less to build.
func Recipe() rootfs.Recipe {
	return rootfs.Recipe{
		Name: "world",
		Packages: []string{
			"systemd", "systemd-sysv", "dbus", "nginx-light", "docker-registry", "dnsmasq-base", "chrony",
			"curl", "openssl", "iproute2", "procps", "nmap",
		},
		Files: []containers.File{
			{Path: "/etc/systemd/system/valtlab-dns.service", Content: []byte(dnsUnit)},
			{Path: "/etc/systemd/system/valtlab-time.service", Content: []byte(timeUnit)},
			{Path: "/etc/systemd/system/valtlab-registry.service", Content: []byte(registryUnit)},
			{Path: "/etc/nginx/sites-enabled", Dir: true},
			{Path: "/etc/valtlab", Dir: true},
		},
		Commands: [][]string{
			{"systemctl", "disable", "docker-registry.service", "chrony.service"},
			{"systemctl", "enable", "nginx.service", "valtlab-dns.service", "valtlab-time.service", "valtlab-registry.service"},
			{"systemctl", "mask", "systemd-udevd.service", "systemd-udevd-kernel.socket", "systemd-udevd-control.socket",
				"console-getty.service", "getty@tty1.service", "apt-daily.timer", "apt-daily-upgrade.timer"},
		},
	}
}

const dnsUnit = `[Unit]
Description=Practice site: DNS
[Service]
ExecStart=/usr/sbin/dnsmasq --conf-file=/etc/valtlab/dnsmasq.conf
Restart=always
[Install]
WantedBy=multi-user.target
`

const timeUnit = `[Unit]
Description=Practice site: time
[Service]
RuntimeDirectory=chrony
ExecStart=/usr/sbin/chronyd -d -x -u root -f /etc/valtlab/chrony.conf
Restart=always
[Install]
WantedBy=multi-user.target
`

const registryUnit = `[Unit]
Description=Practice site: image registry
[Service]
ExecStart=/usr/bin/docker-registry serve /etc/valtlab/registry.yml
Restart=always
[Install]
WantedBy=multi-user.target
`
