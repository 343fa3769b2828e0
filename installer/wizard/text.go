package wizard

import "slices"

// Text is the site file that the answers make: the one that was there with only their
// changes, or a new one.
func (g *Guide) Text() ([]byte, error) {
	text := g.base
	if !g.Found() {
		text = []byte(header)
	}
	d, err := read(g.base)
	if err != nil {
		return nil, err
	}
	var edits []Edit
	for _, q := range g.clone().Questions() {
		e, changes := g.editFor(q)
		switch {
		case !changes:
		case q.Field == "tls.certificate" && !e.Remove:
			edits = append(edits, g.certificateEdits(d, e)...)
		default:
			edits = append(edits, e)
		}
	}
	if g.answer[beam] == "no" && d.find("beam") != nil {
		edits = append(edits, Edit{Field: "beam", Remove: true})
	}
	if l := g.answer[layout]; l != "" && l != Cloud && d.find("cloud") != nil {
		edits = append(edits, Edit{Field: "cloud", Remove: true})
	}
	return Apply(text, edits)
}

// clone keeps what listing the questions decides by itself out of the answers.
func (g *Guide) clone() *Guide {
	c := *g
	c.answer, c.done = map[string]string{}, map[string]bool{}
	for f, a := range g.answer {
		c.answer[f] = a
	}
	for f, d := range g.done {
		c.done[f] = d
	}
	return &c
}

// editFor is what an answer changes in the file, if anything.
func (g *Guide) editFor(q Question) (Edit, bool) {
	want, answered := g.answer[q.Field]
	if q.fixed != "" {
		want, answered = q.fixed, true
	}
	has := g.loaded[q.Field]
	if !answered || q.key()[0] == '+' || want == has || has == "" && want == q.implied {
		return Edit{}, false
	}
	e := Edit{Field: q.Field, Value: want}
	if q.Kind == List || q.isList {
		e.Value, e.IsList, e.List = "", true, split(want)
		if slices.Equal(e.List, split(has)) {
			return Edit{}, false
		}
		if q.spaced {
			e.List = splitAt(want, ",;\n")
		}
	}
	e.Remove = want == ""
	return e, !e.Remove || has != ""
}
