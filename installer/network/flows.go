package network

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"ipivs.com/valtctl/installer/site"
)

// Flow is a requirement applied to a site: one source, one destination, one protocol and
// port.
type Flow struct {
	ID          string   `json:"id"`   // <row>/<source>/<destination>, joined with + where rows merged
	Rows        []string `json:"rows"` // ids of the rows that ask for it
	Source      Party    `json:"source"`
	Destination Party    `json:"destination"`
	Protocol    Protocol `json:"protocol"`
	Port        uint16   `json:"port,omitempty"` // 0: the protocol has none
	Service     string   `json:"service"`
	Basis       Basis    `json:"basis"`
}

// Kind says what a party is.
type Kind string

// The kinds of parties. A Host is the site's own; a Vendor name is one of the page's.
const (
	KindNetwork Kind = "network" // clients, admins, BEAM devices
	KindHost    Kind = "host"
	KindCamera  Kind = "camera"
	KindVendor  Kind = "vendor"
	KindCloud   Kind = "cloud"
	KindService Kind = "service" // the customer's DNS, time or proxy server
)

// Party is one end of a flow.
type Party struct {
	Kind    Kind   `json:"kind"`
	Name    string `json:"name"`    // host name, camera name, "clients", the page's name
	Address string `json:"address"` // address, name or CIDR, as firewalls want it

	label string // in ids
	port  uint16 // replaces the row's port; 0: does not
}

// ubuntuNTP is the time server of an Ubuntu that was told no other (timesyncd.conf's
// FallbackNTP in Ubuntu's systemd-timesyncd).
const ubuntuNTP = "ntp.ubuntu.com"

// Flows applies every row to the site, in the order of the tables. Flows that are equal
// in source address, destination address, protocol and port are one.
func Flows(s *site.Site) []Flow {
	var all []Flow
	for _, t := range Tables() {
		if !t.applies(s) {
			continue
		}
		for _, row := range t.Rows {
			if row.applies(s) {
				all = append(all, row.flows(s, t.Basis)...)
			}
		}
	}
	return merge(all)
}

// Further are the flows that only a host itself knows of: nts are the time servers, by host, whose keys it gets
// over TLS. They are advisory, ours and not the vendor's.
func Further(s *site.Site, nts map[string][]string) []Flow {
	var all []Flow
	for _, row := range advisoryTable().Rows {
		if row.To != NTS {
			continue
		}
		for _, from := range servers(s, row.From) {
			for _, server := range nts[from.Name] {
				all = append(all, row.flow(from, Party{Kind: KindService, Name: "nts", Address: server, label: server}, Advisory))
			}
		}
	}
	return merge(all)
}

// applies says whether the row's own key is on.
func (r Row) applies(s *site.Site) bool {
	switch r.Key {
	case SSLOn:
		return s.SSL
	case SSLOff:
		return !s.SSL
	}
	return true
}

// flows pairs the row's sources with its destinations, never a host with itself.
func (r Row) flows(s *site.Site, basis Basis) []Flow {
	var all []Flow
	for _, from := range sources(s, r.From) {
		for _, to := range r.destinations(s, from) {
			if from.Address == to.Address {
				continue
			}
			all = append(all, r.flow(from, to, basis))
		}
	}
	return all
}

func (r Row) flow(from, to Party, basis Basis) Flow {
	f := Flow{
		ID: fmt.Sprintf("%s/%s/%s", r.ID, from.label, to.label), Rows: []string{r.ID},
		Source: from, Destination: to, Protocol: r.Protocol, Port: r.Port, Basis: basis,
		Service: strings.TrimSpace(r.Application + " " + r.Service),
	}
	if to.port != 0 {
		f.Port = to.port
	}
	if f.Service == "" {
		f.Service = strings.ToUpper(string(r.Protocol)) + " tunnel"
	}
	return f
}

func sources(s *site.Site, end End) []Party {
	switch end {
	case Clients:
		return networks("clients", s.Clients)
	case Admins:
		return networks("admins", s.Admins)
	case Devices:
		return networks("beam", s.Beam.Devices)
	case Licensed:
		return hosts(slices.DeleteFunc(slices.Clone(s.Hosts), func(h site.Host) bool { return !h.HasLicenceKey() }))
	}
	return servers(s, end)
}

// servers are the site's own hosts that an end stands for.
func servers(s *site.Site, end End) []Party {
	if role, ok := endRole(end); ok {
		return hosts(s.With(role))
	}
	return hosts(s.Hosts)
}

func (r Row) destinations(s *site.Site, from Party) []Party {
	switch r.To {
	case Cameras:
		return r.cameras(s, from.Name)
	case Endpoint:
		return []Party{endpoint(s, r.Destination)}
	case Tunnel:
		if s.Cloud == nil {
			return nil
		}
		return []Party{cloud(s.Cloud.Tunnel)}
	case DNS, NTP, NTS, Proxy:
		return services(s, r.To)
	}
	return r.serverDestinations(s)
}

// serverDestinations counts the cloud's application server among the servers, save for
// administration, which is of our own hosts alone. Port 22 is each host's own SSH port.
func (r Row) serverDestinations(s *site.Site) []Party {
	all := servers(s, r.To)
	if r.Port == 22 {
		for i := range all {
			if h, ok := s.Host(all[i].Name); ok && h.SSH.Port != 22 {
				all[i].port = h.SSH.Port
			}
		}
	}
	if s.Cloud != nil && r.Key != Administration && inCloudToo(r.To) {
		all = append(all, cloud(s.Cloud.App))
	}
	return all
}

func (r Row) cameras(s *site.Site, host string) []Party {
	h, _ := s.Host(host)
	var all []Party
	for _, c := range h.Cameras {
		p := Party{Kind: KindCamera, Name: c.Name, Address: string(c.Address), label: string(c.Address), port: c.HTTP}
		if r.Application == "RTSP" {
			p.port = c.RTSP
		}
		if p.Name == "" {
			p.Name = "camera"
		}
		all = append(all, p)
	}
	return all
}

// endpoint is one of the page's names, or what the site has in its place. The page
// writes some as URLs.
func endpoint(s *site.Site, written string) Party {
	_, name, found := strings.Cut(written, "://")
	if !found {
		name = written
	}
	e := s.Network.Endpoint(name)
	return Party{Kind: KindVendor, Name: name, Address: string(e.Host), label: name, port: e.Port}
}

func cloud(a site.Address) Party {
	return Party{Kind: KindCloud, Name: "cloud", Address: string(a), label: string(a)}
}

// services are the customer's own. Without dns in the site file the hosts' resolvers are
// not known here, and there is no row; without ntp they are Ubuntu's.
func services(s *site.Site, end End) []Party {
	var all []Party
	add := func(name, address string, port uint16) {
		all = append(all, Party{Kind: KindService, Name: name, Address: address, label: address, port: port})
	}
	switch end {
	case DNS:
		for _, ip := range s.Network.DNS {
			add("dns", ip.String(), 0)
		}
	case NTP:
		for _, a := range s.Network.NTP {
			add("ntp", string(a), 0)
		}
		if len(all) == 0 {
			add("ntp", ubuntuNTP, 0)
		}
	case Proxy:
		if host, port, ok := proxyOf(s); ok {
			add("proxy", host, port)
		}
	}
	return all
}

// proxyOf is where the site's proxy listens; a URL without a port has its scheme's.
func proxyOf(s *site.Site) (host string, port uint16, ok bool) {
	u, err := url.Parse(s.Network.Proxy)
	if err != nil || u.Hostname() == "" {
		return "", 0, false
	}
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		return u.Hostname(), uint16(n), true
	}
	if u.Scheme == "https" {
		return u.Hostname(), 443, true
	}
	return u.Hostname(), 80, true
}

func hosts(list []site.Host) []Party {
	var all []Party
	for _, h := range list {
		all = append(all, Party{Kind: KindHost, Name: h.Name, Address: string(h.Address), label: h.Name})
	}
	return all
}

// networks are labelled with their address, so that an id stays when another is added.
func networks(name string, list []netip.Prefix) []Party {
	var all []Party
	for _, n := range list {
		address := site.NetworkText(n)
		all = append(all, Party{Kind: KindNetwork, Name: name, Address: address, label: name + "-" + strings.ReplaceAll(address, "/", "-")})
	}
	return all
}

// merge makes one flow of those that a firewall cannot tell apart. What the vendor asks
// for stays the vendor's.
func merge(all []Flow) []Flow {
	type key struct {
		from, to string
		protocol Protocol
		port     uint16
	}
	at := map[key]int{}
	merged := []Flow{}
	for _, f := range all {
		k := key{f.Source.Address, f.Destination.Address, f.Protocol, f.Port}
		i, seen := at[k]
		if !seen {
			at[k] = len(merged)
			merged = append(merged, f)
			continue
		}
		m := &merged[i]
		m.ID = also(m.ID, f.ID)
		if !slices.Contains(m.Rows, f.Rows[0]) {
			m.Rows = append(m.Rows, f.Rows[0])
		}
		m.Source.Name = also(m.Source.Name, f.Source.Name)
		m.Destination.Name = also(m.Destination.Name, f.Destination.Name)
		m.Service = also(m.Service, f.Service)
		if f.Basis == Vendor {
			m.Basis = Vendor
		}
	}
	return merged
}

// also joins two names unless the first holds the second.
func also(a, b string) string {
	if slices.Contains(strings.Split(a, "+"), b) {
		return a
	}
	return a + "+" + b
}

// Touches says whether the host of that name is an end of the flow.
func (f Flow) Touches(host string) bool { return f.Source.is(host) || f.Destination.is(host) }

// is says whether a party is the host of that name.
func (p Party) is(host string) bool {
	return p.Kind == KindHost && slices.Contains(strings.Split(p.Name, "+"), host)
}
