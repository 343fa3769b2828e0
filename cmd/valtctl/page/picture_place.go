package page

import (
	"fmt"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/check"
)

// place gives rows, columns and lines their coordinates.
func (p *picture) place() {
	left := 0
	for _, c := range p.Columns {
		if c.left {
			left++
		}
	}
	box := 24 + left*pitch
	nextLeft, nextRight := box-pitch+20, box+boxWidth+pitch-18
	for _, c := range p.Columns {
		c.Sub = c.sub()
		if c.left {
			c.X, nextLeft = nextLeft, nextLeft-pitch
		} else {
			c.X, nextRight = nextRight, nextRight+pitch
		}
	}
	p.Width = nextRight - 8
	if i := slices.IndexFunc(p.Columns, func(c *column) bool { return c.key == "cameras" }); i >= 0 {
		p.Width = p.Columns[i].X + dotsAfter + dotsAcross*dotPitch
	}
	p.placeRows(box)
	for _, l := range p.Links {
		l.place()
	}
	p.placeTrunk()
}

// sub is below a column's name: its one member, or how many.
func (c *column) sub() string {
	switch {
	case c.key == "servers":
		return "and back"
	case c.key == "cameras":
		return fmt.Sprint(len(c.members))
	case c.left && len(c.members) == 1 && len(c.members[0]) <= 13:
		return c.members[0]
	case c.left:
		return count(len(c.members), "network")
	}
	return count(len(c.members), "name")
}

// placeRows makes each row as high as its lines, its text and its cameras need.
func (p *picture) placeRows(x int) {
	y := headRoom
	for _, r := range p.Rows {
		high := 50
		for _, side := range []bool{true, false} {
			lanes := 0
			for _, l := range p.Links {
				if l.row == r && l.column.left == side {
					lanes++
				}
			}
			high = max(high, lanes*lanePitch+8)
		}
		for _, l := range p.Links {
			if l.row == r && l.column.key == "cameras" {
				high = max(high, (len(camerasOf(l))+dotsAcross-1)/dotsAcross*dotPitch+18)
			}
		}
		r.X, r.Y, r.Height = x, y, high
		y += high + rowGap
	}
	p.Height = y
}

// place draws the line from the host's box to the column, on the row's next free lane.
func (l *link) place() {
	side, edge := 1, l.row.X+boxWidth
	if l.column.left {
		side, edge = 0, l.row.X
	}
	l.Y = l.row.Y + 12 + l.row.lanes[side]*lanePitch
	l.row.lanes[side]++
	l.From, l.To, l.LabelX = edge, l.column.X, l.column.X+10
	tip, back := l.To, 8
	if l.In {
		tip = edge
	}
	if l.In == l.column.left { // the arrow points to the right
		back = -8
	}
	if !l.In {
		tip += back
	}
	l.Arrow = fmt.Sprintf("%d,%d %d,%d %d,%d", tip, l.Y, tip+back, l.Y-4, tip+back, l.Y+4)
	l.column.Bottom = max(l.column.Bottom, l.Y)
}

func (p *picture) placeTrunk() {
	for _, c := range p.Columns {
		if c.key == "servers" && len(p.Rows) > 0 {
			r := p.Rows[0]
			y := r.Y + r.Height - 8
			p.Trunk = &trunk{X1: r.X + boxWidth, X2: c.X, Y: y}
			c.Bottom = max(c.Bottom, y)
		}
	}
}

// finish sums up a line's results. Its status is the worst of them.
func (l *link) finish() {
	statuses := []check.Status{check.Pass, check.Warn, check.Fail, check.Unknown}
	var ids, wrong []string
	for _, r := range l.results {
		l.Counts[slices.Index(statuses, r.Status)]++
		ids = append(ids, r.ID)
		if r.Status == check.Fail && len(wrong) < 6 {
			wrong = append(wrong, r.Subject+": "+r.Cause)
		}
	}
	l.Status, l.IDs = worst(l.results), strings.Join(ids, " ")
	n := len(l.results)
	l.Label = fmt.Sprint(n)
	if at := l.Counts[slices.Index(statuses, l.Status)]; at != n {
		l.Label = fmt.Sprintf("%d/%d", at, n)
	}
	way := "to"
	if l.In {
		way = "from"
	}
	l.Title = fmt.Sprintf("%s %s %s: %s", l.row.Name, way, l.column.Name, tally(l.Counts))
	if len(wrong) > 0 {
		l.Title += "\n" + strings.Join(wrong, "\n")
	}
}

func tally(counts [4]int) string {
	var parts []string
	for i, name := range []string{"work", "with a warning", "fail", "not known"} {
		if counts[i] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[i], name))
		}
	}
	return strings.Join(parts, ", ")
}

// severity orders statuses, the worst first.
func severity(s check.Status) int {
	return slices.Index([]check.Status{check.Fail, check.Warn, check.Unknown, check.Pass}, s)
}

func worst(results []check.Result) check.Status {
	worst := check.Pass
	for _, r := range results {
		if severity(r.Status) < severity(worst) {
			worst = r.Status
		}
	}
	return worst
}

// camera is the results of the flows to one address.
type camera struct {
	name    string
	results []check.Result
}

func camerasOf(l *link) []camera {
	var all []camera
	for _, r := range l.results {
		name := r.Flow.Destination.Name + " " + r.Flow.Destination.Address
		i := slices.IndexFunc(all, func(c camera) bool { return c.name == name })
		if i < 0 {
			i = len(all)
			all = append(all, camera{name: name})
		}
		all[i].results = append(all[i].results, r)
	}
	return all
}

// dotsAfter is how far right of the column the cameras start, past the line's number.
const dotsAfter = 46

// cameras draws a dot for each camera at the end of its host's line, a block of them about
// the line's height.
func (p *picture) cameras() {
	for _, l := range p.Links {
		if l.column.key != "cameras" {
			continue
		}
		all := camerasOf(l)
		high := (len(all) - 1) / dotsAcross * dotPitch
		top := max(l.row.Y+9, min(l.Y-high/2, l.row.Y+l.row.Height-9-high))
		for i, c := range all {
			p.Dots = append(p.Dots, dot{
				X: l.column.X + dotsAfter + i%dotsAcross*dotPitch, Y: top + i/dotsAcross*dotPitch,
				Status: worst(c.results), Title: fmt.Sprintf("%s: %s", c.name, word(worst(c.results))),
			})
		}
	}
}

// What the template asks of each part.

func (l *link) MarkX() int { return l.To - 7 }
func (l *link) MarkY() int { return l.Y - 7 }

// LabelY keeps the number off the line, which on the left runs on below it.
func (l *link) LabelY() int {
	if l.column.left {
		return l.Y - 3
	}
	return l.Y + 4
}

func (r *row) TextX() int         { return r.X + 9 }
func (r *row) Line(n int) float64 { return float64(r.Y+r.Height/2) + 4 + float64(n-2)*14 }

func (d dot) Left() int { return d.X - 3 }
func (d dot) Top() int  { return d.Y - 3 }

func (p *picture) Legend() []check.Status {
	return []check.Status{check.Pass, check.Warn, check.Fail, check.Unknown}
}
