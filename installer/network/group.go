package network

import (
	"fmt"
	"net/netip"
	"slices"
)

// Group is items that differ in their ends alone: one line for people.
type Group struct {
	Item                 // the first one's, for what they share
	Sources      []Party // each has a flow to
	Destinations []Party // each of these
	Items        []Item
}

// Groups puts items together that ask for the same, keeping their order: first one source's
// destinations, then sources with the same destinations. A host with two hundred cameras
// is two lines.
func Groups(items []Item) []Group {
	var bySource, groups []Group
	for _, i := range items {
		bySource = join(bySource, Group{Item: i, Sources: []Party{i.Source}, Destinations: []Party{i.Destination}, Items: []Item{i}},
			func(g Group) []Party { return g.Sources }, func(into *Group, g Group) { into.Destinations = append(into.Destinations, g.Destinations...) })
	}
	for _, g := range bySource {
		groups = join(groups, g, func(g Group) []Party { return g.Destinations },
			func(into *Group, g Group) { into.Sources = append(into.Sources, g.Sources...) })
	}
	return groups
}

// join adds a group to the one that asks for the same and has the same ends on one side, or
// as a new one.
func join(all []Group, g Group, side func(Group) []Party, merge func(*Group, Group)) []Group {
	for i := range all {
		if sameAsk(all[i].Item, g.Item) && slices.EqualFunc(side(all[i]), side(g), func(a, b Party) bool { return a.Address == b.Address }) {
			merge(&all[i], g)
			all[i].Items = append(all[i].Items, g.Items...)
			return all
		}
	}
	return append(all, g)
}

func sameAsk(a, b Item) bool {
	return a.Protocol == b.Protocol && a.Port == b.Port && a.Direction == b.Direction && a.Basis == b.Basis && a.Proxied == b.Proxied &&
		a.Lifetime == b.Lifetime && slices.Equal(a.Rows, b.Rows)
}

// PartiesText lists parties with their addresses, a line each; runs of unnamed addresses
// are ranges: "camera 10.0.9.20–10.0.9.39 (20)".
func PartiesText(parties []Party) []string {
	var lines []string
	for i := 0; i < len(parties); {
		j := i + 1
		for j < len(parties) && follows(parties[j-1], parties[j]) {
			j++
		}
		lines = append(lines, runText(parties[i:j]))
		i = j
	}
	return lines
}

func runText(run []Party) string {
	first := run[0]
	if len(run) > 1 {
		return fmt.Sprintf("%s %s–%s (%d)", first.Name, first.Address, run[len(run)-1].Address, len(run))
	}
	switch {
	case first.Name == first.Address:
		return first.Address
	case first.Kind == KindVendor:
		return fmt.Sprintf("%s (in place of %s)", first.Address, first.Name)
	}
	return first.Name + " " + first.Address
}

func follows(a, b Party) bool {
	x, errX := netip.ParseAddr(a.Address)
	y, errY := netip.ParseAddr(b.Address)
	return a.Name == b.Name && errX == nil && errY == nil && x.Next() == y
}
