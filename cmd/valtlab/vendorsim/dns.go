package vendorsim

import (
	"fmt"
	"net/netip"
	"sort"
	"strings"
)

// HostsFolder is where dnsmasq looks for hosts files, which it reads again when
// they change.
const HostsFolder = "/etc/valtlab/hosts.d"

// DNSConfig is dnsmasq's configuration: it answers from the hosts files and says that
// every other name does not exist, so that nothing of the lab can look up an
// outside name.
func DNSConfig() []byte {
	return []byte(strings.Join([]string{
		"# The practice site's only DNS server.",
		"keep-in-foreground",
		"user=root",
		"no-resolv",
		"no-hosts",
		"local=/#/",
		"localise-queries", // of several addresses, the one on the asker's network
		"hostsdir=" + HostsFolder,
		"log-facility=-",
		"",
	}, "\n"))
}

// HostsFile lists names by address, in hosts(5)'s format.
func HostsFile(names map[string]netip.Addr) []byte {
	sorted := make([]string, 0, len(names))
	for name := range names {
		sorted = append(sorted, name)
	}
	sort.Strings(sorted)
	var text strings.Builder
	for _, name := range sorted {
		fmt.Fprintf(&text, "%s %s\n", names[name], name)
	}
	return []byte(text.String())
}

// ChronyConfig serves the machine's own time to the network; it never sets the clock.
func ChronyConfig(network netip.Prefix) []byte {
	return []byte("local stratum 8\nallow " + network.String() + "\ncmdport 0\nbindcmdaddress /run/chrony/chronyd.sock\n")
}
