package site

import "net/netip"

// Network is the customer's network: its services, and what stands in for the vendor's
// names.
type Network struct {
	DNS        []netip.Addr        `json:"dns,omitempty" jsonschema_description:"Addresses of the DNS servers."`
	NTP        []Address           `json:"ntp,omitempty" jsonschema_description:"Time servers."`
	Proxy      string              `json:"proxy,omitempty" jsonschema_description:"The HTTP proxy that hosts use for outward traffic, as a URL without a login."`
	Trust      []string            `json:"trust,omitempty" jsonschema_description:"PEM files of certificate authorities that hosts are to trust as well."`
	DockerPool netip.Prefix        `json:"docker_pool,omitzero" jsonschema_description:"The network that Docker takes its own networks from. It must not overlap the customer's."`
	Endpoints  map[string]Endpoint `json:"endpoints,omitempty" jsonschema_description:"Names of the vendor's network page, each with the host or host:port that stands in for it."`
}

// EndpointNames lists the names of the vendor's network page that a site may replace,
// in the page's order (Online Updates, Digital Wowza License, VALT Cloud).
func EndpointNames() []string {
	return []string{
		"us.archive.ubuntu.com", "security.ubuntu.com", "apt.ipivs.com",
		"changelogs.ubuntu.com", "download.docker.com", "docker.ipivs.com",
		"wowzalicense-all.wowzamedia.com", "wowzalicense1.wowzamedia.com", "wowzalicense2.wowzamedia.com",
		"wowzalicense3.wowzamedia.com", "wowzalicense4.wowzamedia.com",
		"acme-v02.api.letsencrypt.org", "route53.amazonaws.com",
	}
}

// Endpoint is what the site uses for one of the vendor's names: the name itself with port
// 0 unless the site replaces it.
func (n Network) Endpoint(name string) Endpoint {
	if e, ok := n.Endpoints[name]; ok {
		return e
	}
	return Endpoint{Host: Address(name)}
}
