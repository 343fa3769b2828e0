package facts

import (
	"io/fs"
	"os"
	"slices"
	"strings"
)

// timeService is which of the two services is there. Their packages exclude one another.
func (h *host) timeService() string {
	switch {
	case h.exists("/usr/sbin/chronyd"):
		return "chrony"
	case h.exists("/usr/lib/systemd/systemd-timesyncd"):
		return "systemd-timesyncd"
	}
	return ""
}

// nts are the servers of chrony's files with the option nts (chrony.conf(5)), where it runs: systemd keeps a
// link for each active unit. The other time services have no such option.
func (h *host) nts() []string {
	if _, err := os.Lstat(h.path("/run/systemd/units/invocation:chrony.service")); err != nil {
		return nil
	}
	var all []string
	for _, pattern := range []string{"etc/chrony/chrony.conf", "etc/chrony/conf.d/*.conf", "etc/chrony/sources.d/*.sources"} {
		files, err := fs.Glob(os.DirFS(h.path("/")), pattern)
		h.keep(err)
		for _, file := range files {
			for line := range strings.Lines(string(h.read("/" + file))) {
				f := strings.Fields(line)
				if len(f) > 2 && (f[0] == "server" || f[0] == "pool") && slices.Contains(f[2:], "nts") && !slices.Contains(all, f[1]) {
					all = append(all, f[1])
				}
			}
		}
	}
	return all
}
