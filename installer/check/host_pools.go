package check

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/survey"
)

// Docker's own pools where nothing else is set, in the order in which it takes networks
// from them (moby, daemon/libnetwork/ipamutils). The first is its bridge's and the second
// that of the first project, so both are always used.
func dockerPools() (certain, possible []netip.Prefix) {
	parse := netip.MustParsePrefix
	return []netip.Prefix{parse("172.17.0.0/16"), parse("172.18.0.0/16")},
		[]netip.Prefix{parse("172.19.0.0/16"), parse("172.20.0.0/14"), parse("172.24.0.0/14"), parse("172.28.0.0/14"), parse("192.168.0.0/16")}
}

// judgePools keeps Docker's networks apart from the customer's: what is in one of them a
// host looks for inside itself, and never reaches.
func judgePools(v view) finding {
	f := pass("Docker's networks beside the customer's on " + v.Host.Name)
	taken := customer(v.in.Site)
	routes := outward(v.Survey.Subnets)
	var fails, warns []string
	clash := func(into *[]string, what string, p netip.Prefix, with map[netip.Prefix]string) {
		for _, c := range slices.SortedFunc(maps.Keys(with), netip.Prefix.Compare) {
			if p.Overlaps(c) {
				*into = append(*into, fmt.Sprintf("%s %s holds %s of %s", what, p, site.NetworkText(c), with[c]))
			}
		}
	}
	for _, s := range v.Survey.Subnets {
		if s.Docker != "" {
			f.evidence = append(f.evidence, fmt.Sprintf("Docker's network %s: %s", s.Docker, s.Prefix))
			clash(&fails, "Docker's network "+s.Docker+",", s.Prefix, taken)
		}
	}
	if pool := v.in.Site.Network.DockerPool; pool.IsValid() {
		f.evidence = append(f.evidence, "network.docker_pool: "+pool.String())
		clash(&fails, "network.docker_pool", pool, taken)
		clash(&fails, "network.docker_pool", pool, routes)
	} else {
		certain, possible := dockerPools()
		for _, p := range certain {
			clash(&fails, "Docker's own pool", p, taken)
		}
		for _, p := range possible {
			clash(&warns, "Docker's own pool", p, taken)
		}
	}
	if len(fails)+len(warns) == 0 {
		return f
	}
	f.status = Warn
	if len(fails) > 0 {
		f.status = Fail
	}
	all := slices.Concat(fails, warns)
	f.cause, f.evidence = all[0], append(f.evidence, all...)
	f.fix = poolFix(v, taken, routes)
	return f
}

// outward are the routes to other machines, by what they are.
func outward(all []survey.Subnet) map[netip.Prefix]string {
	docker := map[netip.Prefix]bool{}
	for _, s := range all {
		docker[s.Prefix] = docker[s.Prefix] || s.Docker != ""
	}
	routes := map[netip.Prefix]string{}
	for _, s := range all {
		bridge := strings.HasPrefix(s.Interface, "docker") || strings.HasPrefix(s.Interface, "br-")
		if !docker[s.Prefix] && !bridge {
			routes[s.Prefix] = "a route over " + s.Interface
		}
	}
	return routes
}

// poolFix proposes a pool that nothing else uses.
func poolFix(v view, taken, routes map[netip.Prefix]string) string {
	fix := "write network: { docker_pool: … } with a network that the customer does not use"
	for _, text := range []string{"192.168.240.0/20", "172.31.240.0/20", "10.255.240.0/20", "100.127.240.0/20"} {
		p := netip.MustParsePrefix(text)
		free := true
		for _, used := range []map[netip.Prefix]string{taken, routes} {
			for c := range used {
				free = free && !p.Overlaps(c)
			}
		}
		if free {
			fix = "write network: { docker_pool: " + text + " }, which nothing known here uses"
			break
		}
	}
	for _, s := range v.Survey.Subnets {
		if s.Docker == "" || s.Docker == "bridge" || s.Site != "" {
			continue
		}
		for c := range taken {
			if s.Prefix.Overlaps(c) {
				return fix + "; remove the old one with: docker network rm " + s.Docker
			}
		}
	}
	return fix
}
