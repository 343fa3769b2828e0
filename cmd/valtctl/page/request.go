package page

import (
	"fmt"
	"io"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/site"
)

// Request writes what an IT department is asked to open. About names the hosts that it is
// restricted to; none: the whole site.
func Request(w io.Writer, s *site.Site, items []network.Item, about []string, now time.Time) error {
	body := tables{Request: true, Intro: []string{
		"Please allow these connections for the video system VALT. Each line names who begins the connection; answers to it belong to it. Nothing is asked for “any”: every source and destination is named.",
		"Lines marked advisory are not on the vendor's list; a site needs them all the same, and may have them already. Lines marked observed are where a check of this site was led.",
	}}
	var n notes
	number := 1
	for _, part := range requestParts(s) {
		lines := n.lines(network.Groups(kept(items, part.keep)), number)
		if len(lines) == 0 {
			continue
		}
		number += len(lines)
		part.Lines = lines
		body.Sections = append(body.Sections, part.section)
	}
	body.Notes = n.texts
	facts := []fact{{"Written", when(now)}, {"Lines", fmt.Sprint(number - 1)}, {"Connections", fmt.Sprint(len(items))}}
	if len(about) > 0 {
		facts = append(facts, fact{"About", strings.Join(about, ", ")})
	}
	return write(w, "tables.html", frame{
		Kind: "Firewall request", Site: s.ID, Facts: facts, Body: body, Jumps: jumps(body.Sections, noteJump(body.Notes)...),
	})
}

type requestPart struct {
	section
	keep func(network.Item) bool
}

func requestParts(s *site.Site) []requestPart {
	direct := func(d network.Direction) func(network.Item) bool {
		return func(i network.Item) bool { return i.Direction == d && !i.Proxied }
	}
	outside := []string{"Names are the vendor's; behind them are changing addresses, so please allow names where your firewall can."}
	return []requestPart{
		{section{ID: "in", Title: "In: to the servers", Intro: []string{"From people's and administrators' computers."}}, direct(network.In)},
		{section{ID: "between", Title: "Between the servers", Intro: []string{"Needed only where a firewall stands between them."}}, direct(network.Between)},
		{section{ID: "out", Title: "Out: from the servers", Intro: outside}, direct(network.Out)},
		{section{ID: "proxy", Title: "Out: from your proxy", Intro: []string{
			"The servers reach these through " + s.Network.Proxy + ". The proxy must let them through without a login, and must not open their TLS unless the servers trust its certificate authority.",
		}}, func(i network.Item) bool { return i.Proxied }},
	}
}

func kept(items []network.Item, keep func(network.Item) bool) []network.Item {
	var some []network.Item
	for _, i := range items {
		if keep(i) {
			some = append(some, i)
		}
	}
	return some
}
