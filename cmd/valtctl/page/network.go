package page

import (
	"fmt"
	"io"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/site"
)

// tables is the body of the network list and of the request.
type tables struct {
	Request  bool
	Intro    []string
	Sections []section
	Notes    []string
}

// Network writes the flows of a site by the tables of the vendor's page.
func Network(w io.Writer, s *site.Site, flows []network.Flow, now time.Time) error {
	body := tables{Intro: []string{
		"What the vendor's page “Network Requirements” asks of this site, row by row, and, marked advisory, what it leaves out and a site needs all the same. Hosts and cameras that need the same are one line.",
	}}
	var n notes
	number := 1
	items := network.Items(flows)
	tables := append(network.Tables(), network.Table{ID: network.ObservedTable, Title: network.ObservedTitle})
	for _, t := range tables {
		lines := n.lines(network.Groups(ofTable(items, t.ID)), number)
		if len(lines) == 0 {
			continue
		}
		number += len(lines)
		body.Sections = append(body.Sections, section{ID: "table-" + t.ID, Title: t.Title, Intro: t.Notes, Lines: lines})
	}
	body.Notes = n.texts
	return write(w, "tables.html", frame{
		Kind: "Network requirements", Site: s.ID, Body: body, Jumps: jumps(body.Sections, noteJump(body.Notes)...),
		Facts: []fact{{"Written", when(now)}, {"Flows", fmt.Sprint(len(flows))}, {"Lines", fmt.Sprint(number - 1)}},
	})
}

// ofTable keeps the items whose first row stands in the table. The rows for administration
// stand in the clients' table.
func ofTable(items []network.Item, table string) []network.Item {
	var kept []network.Item
	for _, i := range items {
		of, _, _ := strings.Cut(i.Rows[0], ".")
		if of == "admin" {
			of = "client"
		}
		if of == table {
			kept = append(kept, i)
		}
	}
	return kept
}

func noteJump(notes []string) []jump {
	if len(notes) == 0 {
		return nil
	}
	return []jump{{"notes", "Notes"}}
}
