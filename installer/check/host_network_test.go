package check

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/survey"
)

func TestPortsAreNamedWithWhoHoldsThem(t *testing.T) {
	for name, odd := range portOddities() {
		t.Run(name, func(t *testing.T) { expect(t, odd, JudgeHosts) })
	}
}

func portOddities() map[string]oddity {
	at := netip.IPv4Unspecified()
	return map[string]oddity{
		"apache": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) {
			s.Listeners = append(s.Listeners, survey.Listener{Protocol: "tcp", Address: at, Port: 443, PID: 812, Program: "apache2"})
		}, id: "hosts/valt/ports", status: Fail, cause: "port 443: apache2 (process 812)", fix: "systemctl status 812"},
		"a foreign container": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) {
			s.Listeners = append(s.Listeners, survey.Listener{Protocol: "tcp", Address: at, Port: 8000, PID: 9, Program: "docker-proxy", Container: "wiki"})
		}, id: "hosts/valt/ports", status: Fail, cause: "port 8000: the container wiki", fix: "docker stop"},
		"this site's container": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) {
			s.Listeners = append(s.Listeners, survey.Listener{Protocol: "tcp", Address: at, Port: 443, Program: "docker-proxy", Container: "valt-web", Site: "st-marys"})
		}, id: "hosts/valt/ports", status: Pass},
		"our own listener of this check": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) {
			s.Listeners = append(s.Listeners, survey.Listener{Protocol: "tcp", Address: at, Port: 444, Program: "valtctl"})
		}, id: "hosts/valt/ports", status: Pass},
		"a port nobody needs": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) {
			s.Listeners = append(s.Listeners, survey.Listener{Protocol: "tcp", Address: at, Port: 9100, Program: "node_exporter"}, survey.Listener{Protocol: "udp", Address: at, Port: 443, Program: "vpn"})
		}, id: "hosts/valt/ports", status: Pass},
	}
}

func TestNetworkOddities(t *testing.T) {
	for name, odd := range networkOddities() {
		t.Run(name, func(t *testing.T) { expect(t, odd, JudgeHosts) })
	}
}

func networkOddities() map[string]oddity {
	prefix := netip.MustParsePrefix
	return map[string]oddity{
		"clients where Docker's bridge is": {site: strings.Replace(oneServer, "10.0.0.0/16]", "172.17.5.0/24]", 1), make: func(*Input, *facts.Facts, *survey.Reply) {},
			id: "hosts/valt/address-pools", status: Fail, cause: "172.17.5.0/24 of the clients", fix: "docker_pool: 192.168.240.0/20"},
		"clients where Docker may go": {site: strings.Replace(oneServer, "10.0.0.0/16]", "192.168.0.0/16]", 1), make: func(*Input, *facts.Facts, *survey.Reply) {},
			id: "hosts/valt/address-pools", status: Warn, cause: "192.168.0.0/16", fix: "docker_pool: 172.31.240.0/20"},
		"clients everywhere say nothing": {site: strings.Replace(oneServer, "10.0.0.0/16]", "0.0.0.0/0]", 1), make: func(*Input, *facts.Facts, *survey.Reply) {},
			id: "hosts/valt/address-pools", status: Pass},
		"an old Docker network over a camera": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) {
			s.Subnets = append(s.Subnets, survey.Subnet{Prefix: prefix("10.0.9.0/24"), Docker: "old_default"}, survey.Subnet{Prefix: prefix("10.0.9.0/24"), Interface: "br-1"})
		}, id: "hosts/valt/address-pools", status: Fail, cause: "old_default", fix: "docker network rm old_default"},
		"the pool over a route of the host": {site: oneServer + "network: {docker_pool: 192.168.240.0/20}\n", make: func(_ *Input, _ *facts.Facts, s *survey.Reply) {
			s.Subnets = append(s.Subnets, survey.Subnet{Prefix: prefix("192.168.250.0/24"), Interface: "tun0"})
		}, id: "hosts/valt/address-pools", status: Fail, cause: "a route over tun0", fix: "172.31.240.0/20"},
		"the pool in use by Docker itself": {site: oneServer + "network: {docker_pool: 192.168.240.0/20}\n", make: func(_ *Input, _ *facts.Facts, s *survey.Reply) {
			s.Subnets = append(s.Subnets, survey.Subnet{Prefix: prefix("192.168.240.0/24"), Docker: "bridge"}, survey.Subnet{Prefix: prefix("192.168.240.0/24"), Interface: "docker0"})
		}, id: "hosts/valt/address-pools", status: Pass},
		"a proxy that the site does not name": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) {
			s.Proxies = []survey.Proxy{{Where: "apt", URL: "http://proxy:3128"}}
		}, id: "hosts/valt/proxy", status: Warn, cause: "http://proxy:3128 (apt)", fix: "proxy: http://proxy:3128"},
		"the site's proxy": {site: oneServer + "network: {proxy: 'http://proxy.example:3128/'}\n", make: func(_ *Input, _ *facts.Facts, s *survey.Reply) {
			s.Proxies = []survey.Proxy{{Where: "apt", URL: "http://proxy.example:3128"}}
		}, id: "hosts/valt/proxy", status: Pass},
		"another proxy": {site: oneServer + "network: {proxy: 'http://proxy.example:3128'}\n", make: func(_ *Input, _ *facts.Facts, s *survey.Reply) {
			s.Proxies = []survey.Proxy{{Where: "/etc/environment", URL: "http://old:8080"}}
		}, id: "hosts/valt/proxy", status: Warn, cause: "http://old:8080"},
		"no name server": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) { s.Resolvers = nil },
			id: "hosts/valt/resolvers", status: Fail, fix: "netplan"},
		"not the site's name server": {site: oneServer + "network: {dns: [10.0.0.54]}\n", make: func(*Input, *facts.Facts, *survey.Reply) {},
			id: "hosts/valt/resolvers", status: Warn, cause: "10.0.0.54"},
		"ufw beside the managed firewall": {site: oneServer + "admins: [10.0.99.0/28]\nfirewall: managed\n", make: func(_ *Input, _ *facts.Facts, s *survey.Reply) { s.Firewalls = []string{"ufw"} },
			id: "hosts/valt/firewall", status: Fail, cause: "ufw", fix: "sudo ufw disable"},
		"ufw is the customer's own": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) { s.Firewalls = []string{"ufw"} },
			id: "hosts/valt/firewall", status: Pass},
	}
}

func TestClocks(t *testing.T) {
	for name, odd := range clockOddities() {
		t.Run(name, func(t *testing.T) { expect(t, odd, JudgeHosts) })
	}
}

func clockOddities() map[string]oddity {
	clocks := func(app, media time.Duration) func(*Input, *facts.Facts, *survey.Reply) {
		return func(in *Input, _ *facts.Facts, _ *survey.Reply) {
			in.Hosts[0].ClockOffset, in.Hosts[1].ClockOffset = &app, &media
		}
	}
	return map[string]oddity{
		"two seconds ahead":         {site: twoServers, make: clocks(0, 2*time.Second), id: "hosts/media1/clock", status: Warn, cause: "ahead"},
		"a day behind":              {site: twoServers, make: clocks(0, -24*time.Hour), id: "hosts/media1/clock", status: Fail, cause: "behind", fix: "timedatectl"},
		"hosts apart":               {site: twoServers, make: clocks(-4*time.Minute, 4*time.Minute), id: "hosts/site/clocks", status: Fail, cause: "app1 is behind media1 by 8m0s"},
		"the controller is the odd": {site: twoServers, make: clocks(time.Hour, time.Hour), id: "hosts/media1/clock", status: Warn, cause: "this machine's that seems wrong", fix: "this machine"},
		"hosts agree nevertheless":  {site: twoServers, make: clocks(time.Hour, time.Hour), id: "hosts/site/clocks", status: Pass},
		"not measured":              {make: func(in *Input, _ *facts.Facts, _ *survey.Reply) { in.Hosts[0].ClockOffset = nil }, id: "hosts/valt/clock", status: Unknown},
		"nothing keeps it": {make: func(_ *Input, f *facts.Facts, s *survey.Reply) {
			f.Clock.Synchronized, s.Time = false, survey.TimeService{}
		}, id: "hosts/valt/time-service", status: Warn, cause: "no time service", fix: "set-ntp"},
		"its servers do not answer": {make: func(_ *Input, f *facts.Facts, s *survey.Reply) {
			f.Clock.Synchronized, s.Time.Name = false, "systemd-timesyncd"
		}, id: "hosts/valt/time-service", status: Warn, fix: "timesync-status"},
		"kept by the machine's host": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) { s.Time = survey.TimeService{} }, id: "hosts/valt/time-service", status: Pass},
	}
}
