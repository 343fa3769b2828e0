package site

import (
	"fmt"
	"slices"
	"time"
)

// Replaced is a server that another one has taken the place of. It serves nothing any more and
// no row of the network page is its own; it is named because recordings are on it, until a
// person has moved them, or they have aged, and takes it out of the file.
type Replaced struct {
	Name       string  `json:"name" jsonschema:"required" jsonschema_description:"The name that it had among the hosts."`
	Address    Address `json:"address" jsonschema:"required" jsonschema_description:"An IPv4 address or a name."`
	By         string  `json:"by" jsonschema:"required" jsonschema_description:"The host that has taken its place."`
	Since      string  `json:"since,omitempty" jsonschema_description:"The day on which it did, such as 2026-11-30."`
	Recordings string  `json:"recordings,omitempty" jsonschema_description:"The folder there that its recordings are in."`
	// SSH is the site's ssh block with this server's own over it.
	SSH SSH `json:"ssh,omitzero" jsonschema_description:"What differs from the site's ssh block."`
}

// WasReplaced finds a replaced server by its name.
func (s *Site) WasReplaced(name string) (Replaced, bool) {
	i := slices.IndexFunc(s.Replaced, func(r Replaced) bool { return r.Name == name })
	if i < 0 {
		return Replaced{}, false
	}
	return s.Replaced[i], true
}

// Host is the server as a host of the site, with the roles that its successor has from it.
func (r Replaced) Host(roles []Role) Host {
	return Host{Name: r.Name, Address: r.Address, Roles: roles, Recordings: r.Recordings, SSH: r.SSH}
}

// Keeps says of the server what whoever looks after the site must know.
func (r Replaced) Keeps() string {
	text := fmt.Sprintf("%s (%s) was replaced by %s", r.Name, r.Address, r.By)
	if r.Since != "" {
		text += " on " + r.Since
	}
	text += " and keeps its recordings"
	if r.Recordings != "" {
		text += " in " + r.Recordings
	}
	return text
}

func (r *reader) replaced(v value, s *Site) {
	for _, item := range r.items(v) {
		old := Replaced{SSH: s.SSH}
		r.object(item, []field{
			{key: "name", read: scalar(r, &old.Name, parseID), need: "name: and the name that the server had, such as media1"},
			{key: "address", read: scalar(r, &old.Address, parseAddress), need: "address: and the server's IPv4 address or name"},
			{key: "by", read: scalar(r, &old.By, parseID), need: "by: and the name of the host that has taken its place"},
			{key: "since", read: scalar(r, &old.Since, parseSince)},
			{key: "recordings", read: scalar(r, &old.Recordings, parseHostPath)},
			{key: "ssh", read: func(v value) { r.ssh(v, &old.SSH) }},
		})
		s.Replaced = append(s.Replaced, old)
	}
}

// parseSince accepts a day as RFC 3339 writes it.
func parseSince(s string) (string, error) {
	if _, err := time.Parse(time.DateOnly, s); err != nil {
		return "", &wrong{fmt.Sprintf("%q is no day", s), "write it as 2026-11-30"}
	}
	return s, nil
}

// judgeReplaced finds replaced servers that are hosts still, stand twice, or have no successor.
func (r *reader) judgeReplaced(s *Site) {
	names, addresses := map[string]string{}, map[Address]string{}
	for i, h := range s.Hosts {
		names[h.Name], addresses[h.Address] = fmt.Sprintf("hosts[%d]", i), fmt.Sprintf("hosts[%d]", i)
	}
	for i, old := range s.Replaced {
		here := fmt.Sprintf("replaced[%d]", i)
		if first, seen := names[old.Name]; seen && old.Name != "" {
			r.at(here+".name", fmt.Sprintf("%s is also the name of %s", old.Name, first), "a server is either a host or replaced: keep it in one of the two")
		}
		if first, seen := addresses[old.Address]; seen && old.Address != "" {
			r.at(here+".address", fmt.Sprintf("%s is also the address of %s", old.Address, first), "write the address that the replaced server has")
		}
		names[old.Name], addresses[old.Address] = here, here
	}
	for i, old := range s.Replaced {
		if _, known := names[old.By]; old.By != "" && (!known || old.By == old.Name) && r.sound("hosts") {
			r.at(fmt.Sprintf("replaced[%d].by", i), fmt.Sprintf("%s is no other server of the site", old.By), "write the name of the host that has taken its place")
		}
	}
}
