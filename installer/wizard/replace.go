package wizard

import (
	"fmt"
	"slices"
	"strconv"
)

// Replacement is that another server takes the place of one of the site's hosts. It is kept
// beside the site's lease while it is under way, so that whoever goes on makes the same of the
// site file.
type Replacement struct {
	Old string `json:"old"`
	New string `json:"new"`
	// Address is the new server's; empty for one that the site file knows as replaced.
	Address string `json:"address,omitempty"`
	// Recordings is its folder of recordings; empty: as the old server's, or as the file has it.
	Recordings string `json:"recordings,omitempty"`
	// SSH is what of the ssh block differs from the old server's, by its keys.
	SSH map[string]string `json:"ssh,omitempty"`
	// Since is the day of it, such as 2026-11-30.
	Since string `json:"since"`
}

// own are the keys of a server that do not go over to the one that takes its place.
func own() []string {
	return []string{"recordings", "ssh.user", "ssh.port", "ssh.identity", "ssh.jump", "ssh.sudo_password_file", "ssh.known_hosts"}
}

// standing is what of a text's server stays with it wherever it stands.
type standing struct {
	name, address string
	keys          map[string]Edit // by own; without a field
}

// Apply makes of a site file what it is after the replacement: the place of the old server among
// the hosts, with its roles, cameras and licence, is the new one's, and the old one is among those
// that were replaced. All else, comments and order included, stays. A text that says so already is
// returned as it is.
func (r Replacement) Apply(text []byte) ([]byte, error) {
	d, err := read(text)
	if err != nil {
		return nil, err
	}
	if d.indexOf("hosts", r.New) >= 0 && d.indexOf("replaced", r.Old) >= 0 {
		return text, nil
	}
	at := d.indexOf("hosts", r.Old)
	if at < 0 {
		return nil, fmt.Errorf("looking for %s: the site file has no such host", r.Old)
	}
	place, left := fmt.Sprintf("hosts[%d]", at), d.count("replaced")
	old := d.standing(place)
	fresh := standing{r.New, r.Address, old.keys}
	if known := d.indexOf("replaced", r.New); known >= 0 {
		left = known
		fresh = d.standing(fmt.Sprintf("replaced[%d]", known))
	}
	fresh = fresh.with(r)
	edits := fresh.edits(place, d)
	edits = append(edits, old.edits(fmt.Sprintf("replaced[%d]", left), d)...)
	edits = append(edits, Edit{Field: fmt.Sprintf("replaced[%d].by", left), Value: r.New}, Edit{Field: fmt.Sprintf("replaced[%d].since", left), Value: r.Since})
	return Apply(text, append(edits, d.renamed(r.Old, r.New)...))
}

// with is the server with what was said of it for this time.
func (s standing) with(r Replacement) standing {
	keys := map[string]Edit{}
	for key, e := range s.keys {
		keys[key] = e
	}
	if r.Address != "" {
		s.address = r.Address
	}
	if r.Recordings != "" {
		keys["recordings"] = Edit{Value: r.Recordings}
	}
	for key, value := range r.SSH {
		keys["ssh."+key] = Edit{Value: value}
	}
	s.keys = keys
	return s
}

// edits write a server to a place, where the text may have another one.
func (s standing) edits(place string, d *document) []Edit {
	all := []Edit{{Field: place + ".name", Value: s.name}, {Field: place + ".address", Value: s.address}}
	for _, key := range own() {
		e, has := s.keys[key]
		e.Field = place + "." + key
		switch {
		case has:
			all = append(all, e)
		case d.find(e.Field) != nil:
			all = append(all, Edit{Field: e.Field, Remove: true})
		}
	}
	return all
}

// standing reads the one at a place of the text.
func (d *document) standing(place string) standing {
	s := standing{textOf(d.find(place + ".name")), textOf(d.find(place + ".address")), map[string]Edit{}}
	for _, key := range own() {
		switch n := d.find(place + "." + key); {
		case n == nil:
		case key == "ssh.jump":
			s.keys[key] = Edit{IsList: true, List: itemsOf(n)}
		default:
			s.keys[key] = Edit{Value: textOf(n)}
		}
	}
	return s
}

// count is how many items a list of the text has.
func (d *document) count(list string) int { return len(itemsOf(d.find(list))) }

// indexOf is the place of the server of a name in a list of the text; -1: it is not there.
func (d *document) indexOf(list, name string) int {
	for i := range d.count(list) {
		if textOf(d.find(list+"["+strconv.Itoa(i)+"].name")) == name {
			return i
		}
	}
	return -1
}

// renamed are the places that name the host whose place another one takes.
func (d *document) renamed(from, to string) []Edit {
	fields := []string{"updates.canary"}
	for i := range d.count("checks") {
		fields = append(fields, fmt.Sprintf("checks[%d].host", i))
	}
	var all []Edit
	for _, field := range slices.DeleteFunc(fields, func(f string) bool { return textOf(d.find(f)) != from }) {
		all = append(all, Edit{Field: field, Value: to})
	}
	return all
}
