package network

import (
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/site"
)

// Direction is which way a connection is begun, seen from the site's servers.
type Direction string

// The directions. With one host asked for, what is between servers is in or out for it.
const (
	In      Direction = "in"
	Out     Direction = "out"
	Between Direction = "between servers"
)

// Item is one line of a firewall request: a flow in the words of those who open ports, or,
// through a proxy, what the proxy must reach.
type Item struct {
	ID          string    `json:"id"`    // the flow's, or proxy/<row>/<destination>
	Flows       []string  `json:"flows"` // ids of the flows it stands for
	Rows        []string  `json:"rows"`
	Direction   Direction `json:"direction"`
	Source      Party     `json:"source"`
	Destination Party     `json:"destination"`
	Protocol    Protocol  `json:"protocol"`
	Port        uint16    `json:"port,omitempty"`
	Service     string    `json:"service"`
	Basis       Basis     `json:"basis"`
	Proxied     bool      `json:"proxied,omitempty"` // the proxy is the source
	Explanation
}

// Request is what an IT department is asked for: one item a flow, and where downloads go
// through the site's proxy one item for each place that the proxy must reach. For names
// the hosts that the request is about; none: all.
func Request(s *site.Site, flows []Flow, about []string) []Item {
	var items []Item
	proxied := map[string]int{}
	through := Lifetime("")
	for _, f := range flows {
		if !goesThroughProxy(s, f) {
			items = append(items, itemOf(f, about))
			continue
		}
		item := proxiedItem(s, f)
		through = longer(through, item.Lifetime)
		if i, seen := proxied[item.ID]; seen {
			items[i].Flows = append(items[i].Flows, item.Flows...)
			continue
		}
		proxied[item.ID] = len(items)
		items = append(items, item)
	}
	for i := range items { // the way to the proxy is needed for as long as what lies behind it
		if slices.Contains(items[i].Rows, "advisory.proxy") {
			items[i].Lifetime = longer(items[i].Lifetime, through)
		}
	}
	return items
}

// Items are flows as the vendor's page has them, one item each, with or without a proxy.
func Items(flows []Flow) []Item {
	items := make([]Item, len(flows))
	for i, f := range flows {
		items[i] = itemOf(f, nil)
	}
	return items
}

// goesThroughProxy holds for the vendor's names, save the licence servers: the streaming
// engine asks those by itself.
func goesThroughProxy(s *site.Site, f Flow) bool {
	_, _, ok := proxyOf(s)
	return ok && f.Destination.Kind == KindVendor && !slices.ContainsFunc(f.Rows, func(r string) bool {
		return strings.HasPrefix(r, "wowza.") || r == "advisory.proxy"
	})
}

func itemOf(f Flow, about []string) Item {
	return Item{
		ID: f.ID, Flows: []string{f.ID}, Rows: f.Rows, Direction: directionOf(f, about), Source: f.Source, Destination: f.Destination,
		Protocol: f.Protocol, Port: f.Port, Service: f.Service, Basis: f.Basis, Explanation: f.explain(),
	}
}

// proxiedItem is asked of the proxy once, whichever hosts use it.
func proxiedItem(s *site.Site, f Flow) Item {
	item := itemOf(f, nil)
	item.ID = fmt.Sprintf("proxy/%s/%s", strings.Join(f.Rows, "+"), f.Destination.label)
	item.Source, item.Proxied = services(s, Proxy)[0], true
	return item
}

func directionOf(f Flow, about []string) Direction {
	from, to := f.Source.Kind == KindHost, f.Destination.Kind == KindHost
	if from && to && len(about) > 0 {
		from = slices.ContainsFunc(about, func(h string) bool { return f.Source.is(h) })
		to = slices.ContainsFunc(about, func(h string) bool { return f.Destination.is(h) })
	}
	switch {
	case from && to:
		return Between
	case to:
		return In
	}
	return Out
}

// Asked is protocol and port as firewalls name them: "TCP 443", "IP protocol 47 (GRE)".
func (i Item) Asked() string {
	if i.Port == 0 {
		return i.Protocol.Name()
	}
	return fmt.Sprintf("%s %d", i.Protocol.Name(), i.Port)
}

// Name is the protocol as firewalls name it; GRE and ESP by their numbers (IANA, "Assigned
// Internet Protocol Numbers").
func (p Protocol) Name() string {
	switch p {
	case GRE:
		return "IP protocol 47 (GRE)"
	case ESP:
		return "IP protocol 50 (ESP)"
	}
	return strings.ToUpper(string(p))
}

// WriteRequestCSV writes one line an item, for a ticket.
func WriteRequestCSV(w io.Writer, items []Item) error {
	out := csv.NewWriter(w)
	rows := [][]string{{"id", "direction", "source", "source_address", "destination", "destination_address", "protocol", "port", "service", "purpose", "lifetime", "basis", "unclear"}}
	for _, i := range items {
		rows = append(rows, cells(
			i.ID, string(i.Direction), i.Source.Name, i.Source.Address, i.Destination.Name, i.Destination.Address, i.Protocol.Name(),
			Flow{Port: i.Port}.PortText(), i.Service, i.Purpose, string(i.Lifetime), string(i.Basis), i.Unclear,
		))
	}
	if err := out.WriteAll(rows); err != nil {
		return fmt.Errorf("writing the request as CSV: %w", err)
	}
	return nil
}
