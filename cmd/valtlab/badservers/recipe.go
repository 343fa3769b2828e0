// Package badservers is the container of servers that are not as they should be, or that stand
// between: expired and future certificates, a captive page, a stranger's signatures, a
// proxy that reads along, one that wants a password, an IKE daemon, addresses that drop
// and reject. The programs are real (nginx, squid, strongSwan, nftables); only what they
// are told is made up. What a check must say about each is for the scenarios.
package badservers

import (
	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/rootfs"
)

// Recipe is the image of the peers. All that differs from lab to lab is put in when the
// container is made.
func Recipe() rootfs.Recipe {
	return rootfs.Recipe{
		Name: "peers",
		Packages: []string{
			"systemd", "systemd-sysv", "dbus", "iproute2", "nginx-light", "libnginx-mod-http-headers-more-filter",
			"squid-openssl", "charon-systemd", "strongswan-swanctl",
		},
		Files: []containers.File{
			{Path: "/etc/systemd/system/squid.service", Content: []byte(squidUnit)},
			{Path: "/etc/nginx/sites-enabled", Dir: true},
			{Path: folder, Dir: true},
		},
		Commands: [][]string{
			{"systemctl", "enable", "nginx.service", "squid.service", "strongswan.service"},
			{"systemctl", "mask", "systemd-udevd.service", "systemd-udevd-kernel.socket", "systemd-udevd-control.socket",
				"console-getty.service", "getty@tty1.service", "apt-daily.timer", "apt-daily-upgrade.timer"},
		},
	}
}

// folder holds what a lab puts into the container.
const folder = "/etc/valtlab"

// squidUnit replaces the package's, which knows nothing of the store that made
// certificates are kept in.
const squidUnit = `[Unit]
Description=Practice site: the customer's proxy
[Service]
ExecStartPre=/bin/rm -rf /run/squid-certificates
ExecStartPre=/usr/lib/squid/security_file_certgen -c -s /run/squid-certificates -M 4MB
ExecStartPre=/bin/chown -R proxy:proxy /run/squid-certificates
ExecStart=/usr/sbin/squid --foreground -f ` + folder + `/squid.conf
Restart=always
[Install]
WantedBy=multi-user.target
`
