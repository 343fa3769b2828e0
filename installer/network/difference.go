package network

import (
	"slices"

	"ipivs.com/valtctl/installer/site"
)

// Change is what firewalls must let through besides, and what they need not any more, where a site
// becomes another.
type Change struct {
	New  []Item `json:"new"`
	Away []Item `json:"away"`
}

// Difference compares the firewall requests of a site before and after a change. Items are the
// same where a firewall cannot tell them apart: by their addresses, protocol and port.
func Difference(before, after *site.Site) Change {
	was, is := Request(before, Flows(before), nil), Request(after, Flows(after), nil)
	return Change{New: without(is, was), Away: without(was, is)}
}

// without are those items that others have none like.
func without(items, others []Item) []Item {
	return slices.DeleteFunc(slices.Clone(items), func(i Item) bool {
		return slices.ContainsFunc(others, func(o Item) bool {
			return i.Source.Address == o.Source.Address && i.Destination.Address == o.Destination.Address && i.Protocol == o.Protocol && i.Port == o.Port
		})
	})
}
