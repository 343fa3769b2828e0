package page

import (
	"fmt"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/check"
	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/site"
)

// The picture: each of our hosts is a box on a row of its own, what it talks to is a
// column, and the flows between the two are one line with a mark at its end. That stays
// readable with any number of hosts, since no line ends where another one passes.

// Measures of the picture, in its own units; it is scaled to the page's width.
const (
	pitch      = 67  // between columns
	lanePitch  = 17  // between lines of a row
	boxWidth   = 132 // of a host
	headRoom   = 64  // above the rows, for the columns' names
	rowGap     = 14
	dotPitch   = 10 // between cameras
	dotsAcross = 13
)

type picture struct {
	Width, Height int
	Title         string
	Columns       []*column
	Rows          []*row
	Links         []*link
	Dots          []dot
	Trunk         *trunk
}

// column is what hosts talk to: the people's networks, a kind of vendor names, each other.
type column struct {
	key, Name, Sub string
	left           bool
	X, Bottom      int // where its line down ends
	members        []string
}

// row is one of our hosts, or the cloud's application server.
type row struct {
	key, Name, Address, Roles string
	Cloud                     bool
	Y, Height, X              int
	lanes                     [2]int // used on the left and on the right
}

// link is the flows between a row and a column in one direction, drawn as one line.
type link struct {
	row     *row
	column  *column
	In      bool
	results []check.Result

	Status       check.Status
	IDs          string
	Counts       [4]int // pass, warn, fail, unknown
	From, To, Y  int
	Arrow        string // points of the arrow head
	Label, Title string
	LabelX       int
}

// dot is one camera.
type dot struct {
	X, Y   int
	Status check.Status
	Title  string
}

// trunk ties the application server's box to the column of the servers' own flows.
type trunk struct{ X1, X2, Y int }

// draw arranges the flows among the results; nil where there are none.
func draw(s *site.Site, results []check.Result) *picture {
	p := &picture{}
	for _, r := range results {
		if r.Flow != nil {
			p.add(s, r)
		}
	}
	if len(p.Links) == 0 {
		return nil
	}
	p.sort(s)
	p.place()
	for _, l := range p.Links {
		l.finish()
	}
	p.cameras()
	p.Title = fmt.Sprintf("The site %s: %s, and what they talk to", s.ID, count(len(s.Hosts), "host"))
	return p
}

// add puts a flow into its link.
func (p *picture) add(s *site.Site, r check.Result) {
	host, far, in := ends(s, *r.Flow)
	row := p.row(s, host)
	col := p.column(far, r.Flow, in)
	for _, l := range p.Links {
		if l.row == row && l.column == col && l.In == in {
			l.results = append(l.results, r)
			return
		}
	}
	p.Links = append(p.Links, &link{row: row, column: col, In: in, results: []check.Result{r}})
}

// ends says which row a flow belongs to, which column, and whether it comes in there. What
// runs between servers belongs to the one that is not the application server.
func ends(s *site.Site, f network.Flow) (host, far string, in bool) {
	table, _, _ := strings.Cut(f.Rows[0], ".")
	app, _ := s.App()
	switch {
	case f.Source.Kind == network.KindNetwork:
		far, _, _ = strings.Cut(f.Source.Name, "+")
		return first(f.Destination.Name), far, true
	case f.Destination.Kind == network.KindHost && first(f.Source.Name) == app.Name:
		return first(f.Destination.Name), "servers", true
	case f.Destination.Kind == network.KindHost:
		return first(f.Source.Name), "servers", false
	case f.Destination.Kind == network.KindCamera:
		return first(f.Source.Name), "cameras", false
	case f.Destination.Kind == network.KindService:
		return first(f.Source.Name), first(f.Destination.Name), false
	case f.Destination.Kind == network.KindCloud:
		return first(f.Source.Name), "tunnel", false
	}
	return first(f.Source.Name), table, false
}

// first is the first of names that merged flows have joined.
func first(names string) string {
	name, _, _ := strings.Cut(names, "+")
	return name
}

func (p *picture) row(s *site.Site, key string) *row {
	for _, r := range p.Rows {
		if r.key == key {
			return r
		}
	}
	r := &row{key: key, Name: key}
	if h, ok := s.Host(key); ok {
		r.Address = string(h.Address)
		r.Roles = strings.Join(site.ShortNames(h.Roles), " and ")
	} else if s.Cloud != nil {
		r.Name, r.Address, r.Roles, r.Cloud = "VALT Cloud", string(s.Cloud.App), cloudRoles(), true
	}
	p.Rows = append(p.Rows, r)
	return r
}

// cloudRoles are what VALT Cloud does for a site.
func cloudRoles() string {
	return strings.Join(site.ShortNames(site.RolesThat(func(r site.RoleSpec) bool { return r.InCloud })), " and ")
}

// columnOrder is from the hosts outwards; the first three are on the left.
func columnOrder() []string {
	return []string{"clients", "admins", "beam", "servers", "dns", "ntp", "proxy", "updates", "wowza", "certificate", "tunnel", "other", "cameras"}
}

func (p *picture) column(key string, f *network.Flow, in bool) *column {
	if !slices.Contains(columnOrder(), key) {
		key = "other"
	}
	member := f.Destination.Address
	if in && key != "servers" {
		member = f.Source.Address
	}
	for _, c := range p.Columns {
		if c.key == key {
			if !slices.Contains(c.members, member) {
				c.members = append(c.members, member)
			}
			return c
		}
	}
	names := map[string]string{
		"clients": "People", "admins": "Admins", "beam": "BEAM", "servers": "App server", "dns": "DNS", "ntp": "Time", "proxy": "Proxy", "updates": "Updates",
		"wowza": "Licence", "certificate": "Certificate", "tunnel": "Tunnel", "other": "Other", "cameras": "Cameras",
	}
	c := &column{key: key, Name: names[key], left: slices.Index(columnOrder(), key) < 3, members: []string{member}}
	p.Columns = append(p.Columns, c)
	return c
}

// sort puts the application server first, and the rest in the site file's order.
func (p *picture) sort(s *site.Site) {
	app, _ := s.App()
	at := func(r *row) int {
		if r.key == app.Name {
			return -1
		}
		return slices.IndexFunc(s.Hosts, func(h site.Host) bool { return h.Name == r.key })
	}
	slices.SortStableFunc(p.Rows, func(a, b *row) int { return at(a) - at(b) })
	order := columnOrder()
	slices.SortFunc(p.Columns, func(a, b *column) int { return slices.Index(order, a.key) - slices.Index(order, b.key) })
	slices.SortStableFunc(p.Links, func(a, b *link) int {
		return slices.Index(p.Columns, a.column) - slices.Index(p.Columns, b.column)
	})
}
