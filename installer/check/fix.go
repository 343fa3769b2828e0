package check

import (
	"fmt"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/probe"
)

// fix says what to do about a flow that does not work.
func fix(f network.Flow, v probe.Verdict, lost probe.Place) string {
	switch v {
	case probe.Filtered:
		return unfilter(f, lost)
	case probe.Refused:
		return answer(f)
	case probe.NoName:
		return fmt.Sprintf("have the name servers that %s uses resolve %s", f.Source.Name, f.Destination.Address)
	case probe.Intercepted:
		return fmt.Sprintf("exempt %s from TLS inspection, or name the inspecting authority's certificate in network.trust", f.Destination.Address)
	case probe.Proxy:
		return fmt.Sprintf("let %s use the proxy for %s without a login", f.Source.Address, f.Destination.Address)
	case probe.Certificate:
		return fmt.Sprintf("have the certificate of %s renewed or corrected", f.Destination.Address)
	case probe.WrongClock:
		return fmt.Sprintf("set the clock of %s: name the site's time servers in network.ntp, and allow udp/123 to them", f.Source.Name)
	case probe.WrongContent:
		return content(f)
	case probe.Unknown:
		if slices.Contains(f.Rows, "updates.docker-registry") {
			return "check registry.username and registry.password_file in the site file; a mirror must be synchronised first"
		}
	}
	if f.Destination.Kind == network.KindCloud {
		return "ask the vendor whether the tunnel's far end answers; the rest shows when the tunnel is set up"
	}
	return ""
}

// fixElsewhere is about the machine that a flow's answer comes from in truth, the last one that it led to.
func fixElsewhere(f network.Flow, o probe.Outcome) string {
	there := network.Observed(f, o.Elsewhere[len(o.Elsewhere)-1])
	ask := "; save this report (--save FILE), and the request for that name is: valtctl network --request --observed FILE"
	switch o.Verdict {
	case probe.Filtered:
		return fmt.Sprintf("ask for %s from %s to %s in the network's firewall", portText(there), f.Source.Address, there.Destination.Address) + ask
	case probe.WrongContent:
		return fmt.Sprintf("let %s reach the real %s, as it reaches %s", f.Source.Name, there.Destination.Address, f.Destination.Address) + ask
	}
	return fix(there, o.Verdict, o.Lost) + ask
}

// unfilter names the one whose rule is in the way.
func unfilter(f network.Flow, lost probe.Place) string {
	switch lost {
	case probe.AtSource:
		return fmt.Sprintf("allow %s out to %s in %s's own firewall (nft list ruleset, ufw status)", portText(f), f.Destination.Address, f.Source.Name)
	case probe.AtDestination:
		return fmt.Sprintf("allow %s in from %s in %s's own firewall (nft list ruleset, ufw status)", portText(f), f.Source.Address, f.Destination.Name)
	}
	if slices.Contains(f.Rows, "advisory.nts") {
		return fmt.Sprintf("ask for tcp/%d from %s to %s in the network's firewall: %s's chrony asks for keys there (NTS, RFC 8915; this row is valtctl's, not the vendor's), "+
			"or name time servers without NTS in network.ntp", f.Port, f.Source.Address, f.Destination.Address, f.Source.Name)
	}
	id, _, _ := strings.Cut(f.ID, "+")
	return fmt.Sprintf("ask for %s from %s to %s in the network's firewall; valtctl network --request --row %s writes the request",
		portText(f), f.Source.Address, f.Destination.Address, id)
}

// answer is for a far end that is reached and where nothing listens.
func answer(f network.Flow) string {
	if f.Destination.Kind == network.KindCamera {
		return fmt.Sprintf("turn on %s on %s, or correct its port in the site file (hosts[].cameras)", f.Service, f.Destination.Address)
	}
	return fmt.Sprintf("start what should answer on %s, %s", f.Destination.Address, portText(f))
}

func content(f network.Flow) string {
	switch f.Destination.Kind {
	case network.KindVendor:
		return fmt.Sprintf("let %s reach the real %s: log in to the captive portal or exempt the server, and check network.endpoints and network.proxy",
			f.Source.Name, f.Destination.Address)
	case network.KindCamera:
		return "check the camera's address and ports in the site file (hosts[].cameras)"
	case network.KindHost:
		return fmt.Sprintf("find out what answers on %s, %s (ss -ltnp there), and stop or move it", f.Destination.Name, portText(f))
	}
	return fmt.Sprintf("find out what answers on %s, %s", f.Destination.Address, portText(f))
}

// portText is "tcp/443", or the protocol's number where it has no ports.
func portText(f network.Flow) string {
	switch f.Protocol {
	case network.GRE:
		return "IP protocol 47 (GRE)"
	case network.ESP:
		return "IP protocol 50 (ESP)"
	}
	return fmt.Sprintf("%s/%d", f.Protocol, f.Port)
}

// howToTry says how a flow is tried whose source is out of valtctl's reach.
func (p Prober) howToTry(f network.Flow) string {
	if f.Source.Kind != network.KindNetwork {
		return "let valtctl reach " + f.Source.Name + ", then: valtctl check network"
	}
	ways := "run valtctl check network on a machine in " + f.Source.Address
	if strings.Contains(f.Source.Name, "clients") {
		return ways + ", or --from client on one like it; on a Windows PC there: valtctl network -o ps1"
	}
	return ways
}
