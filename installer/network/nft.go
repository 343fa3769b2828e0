package network

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
)

// NFTable names the one nftables table that is ours. All others, Docker's among them,
// are left alone.
const NFTable = "inet valtctl"

// nftHead is what every ruleset starts with. The table is declared before it is deleted,
// since deleting what is not there fails; nft loads a file in one transaction (nft(8),
// option -f), so at no moment is the host without it.
//
// Prerouting at -150 comes after connection tracking (-200), which the rules ask, and
// before destination translation (-100), so that a published container port is
// still the port that the stranger dialled (nft(8), "Priority names").
const nftHead = `
table inet valtctl
delete table inet valtctl

table inet valtctl {
	chain inward {
		type filter hook prerouting priority -150; policy accept;

		# The host itself, and its containers.
		iifname "lo" accept
		iifname "docker0" accept
		iifname "br-*" accept
		iifname "veth*" accept

		# Answers to what the host began.
		ct state established,related accept

		# What every machine on a network needs: ICMP, group membership, DHCP.
		meta l4proto { icmp, ipv6-icmp, igmp } accept
		udp sport 67 udp dport 68 accept
		udp sport 547 udp dport 546 accept
`

// nftTunnel lets in what comes out of the tunnel: deciphered by IPsec or unpacked from
// GRE. The packets of the tunnel itself are answers, since the host begins it.
const nftTunnel = `
		# Out of VALT Cloud's tunnel, which the vendor's page says all traffic flows through.
		meta ipsec exists accept
		meta iiftype ipgre accept
`

// nftTail drops the rest. It is not asked whom the packet is for: who adds a route by way
// of the host would otherwise reach containers at their own addresses.
const nftTail = `
		# Nothing else comes in.
		counter drop
	}
}
`

// Ruleset is the whole nftables ruleset of one host, ready for nft -f. It judges inbound
// packets on outward interfaces alone; outbound flows are comments, because most go to names
// and names cannot be rules. Where a rule would need an address and the site file has a
// name the error says so, one problem of kind Input a name.
func Ruleset(s *site.Site, host string) ([]byte, error) {
	h, ok := s.Host(host)
	if !ok {
		return nil, &problem.Error{Kind: problem.Input, Doing: "writing the firewall of", Object: host, Err: errors.New("the site has no such host")}
	}
	inbound, outbound := flowsAt(Flows(s), h)
	rules, err := inboundRules(s, h, inbound)
	cameras, cameraErr := cameraRule(s, h)
	if err := errors.Join(err, cameraErr); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "#!/usr/sbin/nft -f\n# valtctl: the firewall of %s (%s), site %s\n", h.Name, h.Address, s.ID)
	out.WriteString(nftHead)
	if s.Cloud != nil {
		out.WriteString(nftTunnel)
	}
	out.WriteString(cameras)
	fmt.Fprintf(&out, "\n\t\t# What the site asks for, and of which requirement.\n%s", rules)
	out.WriteString(nftTail)
	out.WriteString(outboundComments(outbound))
	return out.Bytes(), nil
}

// flowsAt are the flows to a host and those from it. A host may also stand in for
// another thing, a mirror or a DNS server, so its address counts and not the kind.
func flowsAt(all []Flow, h site.Host) (inbound, outbound []Flow) {
	for _, f := range all {
		switch string(h.Address) {
		case f.Destination.Address:
			inbound = append(inbound, f)
		case f.Source.Address:
			outbound = append(outbound, f)
		}
	}
	return inbound, outbound
}

func inboundRules(s *site.Site, h site.Host, flows []Flow) (string, error) {
	var rules strings.Builder
	var errs []error
	refused := map[string]bool{}
	for _, f := range flows {
		source, err := netip.ParsePrefix(f.Source.Address)
		if err != nil {
			var addr netip.Addr
			addr, err = netip.ParseAddr(f.Source.Address)
			source = netip.PrefixFrom(addr, addr.BitLen())
		}
		if err != nil {
			if !refused[f.Source.Address] {
				errs = append(errs, needsAddress(s, h, hostField(s, f.Source), f.Source.Address))
			}
			refused[f.Source.Address] = true
			continue
		}
		fmt.Fprintf(&rules, "\t\tip saddr %s %s accept # %s\n", site.NetworkText(source.Masked()), nftMatch(f), f.ID)
	}
	return rules.String(), errors.Join(errs...)
}

// nftMatch matches the protocol and, where it has one, the port.
func nftMatch(f Flow) string {
	if f.Port == 0 {
		return "ip protocol " + string(f.Protocol)
	}
	return fmt.Sprintf("%s dport %d", f.Protocol, f.Port)
}

// cameraRule lets in the video of a media host's own cameras: RTP, whose ports the two
// agree on anew each time (RFC 2326, section 12.39), so none can be named.
func cameraRule(s *site.Site, h site.Host) (string, error) {
	var addresses []netip.Addr
	var errs []error
	for i, c := range h.Cameras {
		ip, ok := c.Address.IP()
		if !ok {
			errs = append(errs, needsAddress(s, h, fmt.Sprintf("%s.cameras[%d]", hostField(s, Party{Name: h.Name}), i), string(c.Address)))
			continue
		}
		addresses = append(addresses, ip)
	}
	if len(addresses) == 0 {
		return "", errors.Join(errs...)
	}
	slices.SortFunc(addresses, netip.Addr.Compare)
	var list []string
	for _, ip := range slices.Compact(addresses) {
		list = append(list, ip.String())
	}
	return "\n\t\t# Video (RTP) of the host's own cameras. Advisory: not on the vendor's page.\n" +
		"\t\tip saddr { " + strings.Join(list, ", ") + " } meta l4proto udp accept\n", errors.Join(errs...)
}

// hostField is where a host stands in the site file.
func hostField(s *site.Site, p Party) string {
	i := slices.IndexFunc(s.Hosts, func(h site.Host) bool { return h.Name == p.Name || string(h.Address) == p.Address })
	return fmt.Sprintf("hosts[%d]", max(i, 0))
}

func needsAddress(s *site.Site, h site.Host, field, name string) error {
	return &problem.Error{
		Kind: problem.Input, Doing: "writing the firewall of " + h.Name + " from", Object: s.Position(field),
		Err: fmt.Errorf("%s: packets from %s must be let in, and a rule needs its address, not its name", field, name),
		Fix: "write the IPv4 address there",
	}
}

func outboundComments(flows []Flow) string {
	var out strings.Builder
	out.WriteString("\n# Outbound, for firewalls on the way. No rules: most destinations are names, and names cannot be rules.\n")
	for _, f := range flows {
		port := string(f.Protocol)
		if f.Port != 0 {
			port = fmt.Sprintf("%s/%d", f.Protocol, f.Port)
		}
		fmt.Fprintf(&out, "# to %s %s # %s\n", f.Destination.Address, port, f.ID)
	}
	return out.String()
}
