package check

import (
	"fmt"
	"slices"
	"strings"
)

// judgeClones looks for servers that were copied from one another with what must be each one's own. Their
// journals and leases of addresses meet where the machine-id is one, and whoever has the SSH host key of
// one can stand in for the other.
func judgeClones(v view) finding {
	machines, keys := map[string][]string{}, map[string][]string{}
	known := 0
	for _, h := range v.in.Hosts {
		if h.Facts == nil {
			continue
		}
		known++
		if id := h.Facts.MachineID; id != "" && id != "uninitialized" {
			machines[id] = append(machines[id], h.Host.Name)
		}
		for _, key := range h.Facts.HostKeys {
			keys[key] = append(keys[key], h.Host.Name)
		}
	}
	if known < 2 {
		return finding{}
	}
	f := pass("what makes each server itself", fmt.Sprintf("machine-id and SSH host keys of %d servers", known))
	if hosts := shared(machines); len(hosts) > 0 {
		f.status, f.cause = Warn, "one machine-id is that of several: "+strings.Join(hosts, "; ")
		f.fix = "on all but one of them, when nothing is recorded: sudo rm /etc/machine-id /var/lib/dbus/machine-id; sudo systemd-machine-id-setup; sudo systemctl reboot"
	}
	if hosts := shared(keys); len(hosts) > 0 {
		cause := "one SSH host key is that of several, so each can stand in for the other: " + strings.Join(hosts, "; ")
		fix := "on all but one of them: sudo rm /etc/ssh/ssh_host_*_key*; sudo dpkg-reconfigure openssh-server; sudo systemctl restart ssh; then take the new keys in with: valtctl trust"
		if f.status == Warn {
			cause, fix = cause+"; and "+f.cause, fix+"; and "+f.fix
		}
		f.status, f.cause, f.fix = Fail, cause, fix
	}
	return f
}

// shared lists the hosts of each thing that several have, once.
func shared(of map[string][]string) []string {
	var all []string
	for _, hosts := range of {
		if hosts = slices.Compact(slices.Sorted(slices.Values(hosts))); len(hosts) > 1 {
			all = append(all, strings.Join(hosts, " and "))
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(all)))
}
