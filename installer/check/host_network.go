package check

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/survey"
)

// ourProgram listens for the length of a check where nothing does yet.
const ourProgram = "valtctl"

// judgePorts looks who holds the ports that the host's roles need.
func judgePorts(v view) finding {
	f := pass("the ports that " + v.Host.Name + " needs")
	needed := needs(v.in.Site, v.Host.Name)
	f.evidence = []string{"needed: " + PortList(needed)}
	var taken []string
	pid := 0
	for _, port := range needed {
		for _, l := range v.Survey.Listeners {
			if l.Protocol != "tcp" || l.Port != port || l.Site == v.in.Site.ID || l.Program == ourProgram {
				continue
			}
			taken = append(taken, fmt.Sprintf("port %d: %s", port, holder(l)))
			if pid == 0 && l.Container == "" {
				pid = l.PID
			}
			break
		}
	}
	if len(taken) == 0 {
		return f
	}
	f.status, f.cause, f.evidence = Fail, "taken by what is not this site's: "+strings.Join(taken, "; "), taken
	f.fix = "move it to another server, or stop it: docker stop for a container, sudo systemctl disable --now for a service"
	if pid != 0 {
		f.fix = fmt.Sprintf("see which service it is with: systemctl status %d, then stop it for good with: sudo systemctl disable --now SERVICE; or move it to another server", pid)
	}
	return f
}

// needs lists the TCP ports where others expect an answer from the host, without SSH,
// whose server is the host's own.
func needs(s *site.Site, host string) []uint16 {
	var all []uint16
	for _, f := range network.Flows(s) {
		to := f.Destination
		if to.Kind != network.KindHost || !slices.Contains(strings.Split(to.Name, "+"), host) || f.Protocol != network.TCP {
			continue
		}
		if h, _ := s.Host(host); f.Port != h.SSH.Port {
			all = append(all, f.Port)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// holder is who listens, for people.
func holder(l survey.Listener) string {
	switch {
	case l.Container != "":
		return "the container " + l.Container
	case l.Program != "":
		return l.Program + " (process " + strconv.Itoa(l.PID) + ")"
	}
	return "a program that cannot be named"
}

// judgeTenants looks whether the host is this site's alone.
func judgeTenants(v view) finding {
	f := pass("what else runs on " + v.Host.Name)
	if was := v.Facts.Installed; was != nil && (was.Site != v.in.Site.ID || was.Host != v.Host.Name) {
		return finding{subject: f.subject, status: Fail, cause: fmt.Sprintf("it is installed as the host %s of the site %s", was.Host, was.Site),
			fix: "check the host's address in the site file; two hosts may share one"}
	}
	if v.Facts.Engine == nil {
		return f
	}
	var foreign []string
	for _, c := range v.Facts.Engine.Containers {
		if c.Labels[siteLabel] != v.in.Site.ID {
			foreign = append(foreign, c.Name)
		}
	}
	if len(foreign) > 0 {
		slices.Sort(foreign)
		f.status, f.cause = Fail, "containers run there that are not this site's: "+list(foreign)
		f.fix = "move them to another server, or remove them; valtctl looks after whole servers"
	}
	return f
}

func judgeProxy(v view) finding {
	f := pass("the proxy of " + v.Host.Name)
	want := bare(v.in.Site.Network.Proxy)
	var odd []string
	for _, p := range v.Survey.Proxies {
		f.evidence = append(f.evidence, p.Where+": "+p.URL)
		if p.URL != want {
			odd = append(odd, fmt.Sprintf("%s (%s)", p.URL, p.Where))
		}
	}
	switch {
	case len(odd) == 0:
	case want == "":
		f.status, f.cause = Warn, "the host is set to use a proxy that the site file does not name: "+list(odd)
		f.fix = "write network: { proxy: " + v.Survey.Proxies[0].URL + " } if it is right, or take it from the host"
	default:
		f.status, f.cause = Warn, fmt.Sprintf("the host is set to use another proxy than the site's %s: %s", want, list(odd))
		f.fix = "correct network.proxy, or take the other one from the host"
	}
	return f
}

// bare is a proxy's URL as a survey writes it.
func bare(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host}).String()
}

func judgeResolvers(v view) finding {
	f := pass("the name servers of " + v.Host.Name)
	have := v.Survey.Resolvers
	if len(have) > 0 {
		f.evidence = []string{list(have)}
	}
	var missing []string
	for _, want := range v.in.Site.Network.DNS {
		if !slices.Contains(have, want.String()) {
			missing = append(missing, want.String())
		}
	}
	switch {
	case len(have) == 0:
		f.status, f.cause = Fail, "it asks none, so it finds no name"
		f.fix = "name them in the host's network settings (/etc/netplan, nameservers:), then: sudo netplan apply"
	case len(missing) > 0:
		f.status, f.cause = Warn, "it does not ask the site's "+list(missing)
		f.fix = "name them in the host's network settings (/etc/netplan, nameservers:), or correct network.dns"
	}
	return f
}

// judgeFirewall refuses a second firewall beside the managed one: both would have to let
// a packet through, and each undoes what the other does.
func judgeFirewall(v view) finding {
	f := pass("other firewalls on " + v.Host.Name)
	active := v.Survey.Firewalls
	switch {
	case len(active) == 0:
		f.evidence = []string{"neither ufw nor firewalld is on"}
	case v.in.Site.Firewall != site.FirewallManaged:
		f.evidence = []string{list(active) + " is on; it must let through what valtctl network --for " + v.Host.Name + " lists"}
	default:
		f.status, f.cause = Fail, list(active)+" is on, and the site's firewall is managed by valtctl"
		f.fix = map[string]string{"ufw": "turn it off: sudo ufw disable", "firewalld": "turn it off: sudo systemctl disable --now firewalld"}[active[0]] + ", or write firewall: off"
	}
	return f
}

// customer lists the networks and addresses that must stay reachable from every host,
// each with what it is. A network of everything says nothing and is left out.
func customer(s *site.Site) map[netip.Prefix]string {
	all := map[netip.Prefix]string{}
	add := func(what string, p netip.Prefix) {
		if p.IsValid() && p.Bits() > 0 {
			all[p.Masked()] = what
		}
	}
	address := func(what string, a site.Address) {
		if ip, ok := a.IP(); ok {
			add(what, netip.PrefixFrom(ip, ip.BitLen()))
		}
	}
	for _, p := range s.Admins {
		add("the administrators", p)
	}
	for _, p := range s.Clients {
		add("the clients", p)
	}
	if s.Beam != nil {
		for _, p := range s.Beam.Devices {
			add("BEAM's devices", p)
		}
	}
	for _, ip := range s.Network.DNS {
		add("a name server", netip.PrefixFrom(ip, ip.BitLen()))
	}
	for _, a := range s.Network.NTP {
		address("a time server", a)
	}
	for _, h := range s.Hosts {
		address("the host "+h.Name, h.Address)
		for _, c := range h.Cameras {
			address("a camera", c.Address)
		}
	}
	return all
}
