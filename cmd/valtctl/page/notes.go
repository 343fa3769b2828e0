package page

import (
	"slices"

	"ipivs.com/valtctl/installer/network"
)

// line is one group of flows as a row of a table.
type line struct {
	network.Group
	Number int
	From   []string
	To     []string
	Notes  []int // numbers of the footnotes
}

// section is one table of lines.
type section struct {
	ID, Title string
	Intro     []string
	Lines     []line
}

// notes are the footnotes of a page: where the vendor's page is unclear, each said once.
type notes struct{ texts []string }

func (n *notes) number(text string) int {
	i := slices.Index(n.texts, text)
	if i < 0 {
		i = len(n.texts)
		n.texts = append(n.texts, text)
	}
	return i + 1
}

// lines numbers groups from the given number on.
func (n *notes) lines(groups []network.Group, first int) []line {
	var all []line
	for i, g := range groups {
		l := line{Group: g, Number: first + i, From: network.PartiesText(g.Sources), To: network.PartiesText(g.Destinations)}
		if g.Unclear != "" {
			l.Notes = []int{n.number(g.Unclear)}
		}
		all = append(all, l)
	}
	return all
}

func jumps(sections []section, more ...jump) []jump {
	var all []jump
	for _, s := range sections {
		all = append(all, jump{s.ID, s.Title})
	}
	return append(all, more...)
}
