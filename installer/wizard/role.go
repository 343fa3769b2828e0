package wizard

import (
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/site"
)

// roleGuide is what is asked about a server because of one of its roles.
type roleGuide struct {
	role   site.Role
	fields []string                 // of the server, in the site file's order
	ask    func(a *asking, i int)   // about the i-th server; nil: nothing
	does   func(h site.Host) string // in the picture: "media server, recordings on /srv/valt"
}

// roleGuides lists every role. A test of cmd/valtctl fails if one of installer/site is missing.
func roleGuides() []roleGuide { return []roleGuide{appGuide(), mediaGuide()} }

// Guides says whether the questions know the role.
func Guides(r site.Role) bool {
	return slices.ContainsFunc(roleGuides(), func(g roleGuide) bool { return g.role == r })
}

// serverName is a role in a sentence: "media server".
func serverName(r site.Role) string { return site.ShortNames([]site.Role{r})[0] + " server" }

// hasRole says whether an answer about roles names one.
func hasRole(answer string, r site.Role) bool { return slices.Contains(split(answer), string(r)) }

// hasRoles says whether it names all of them.
func hasRoles(answer string, all []site.Role) bool {
	return !slices.ContainsFunc(all, func(r site.Role) bool { return !hasRole(answer, r) })
}

// singleRoles are those of a site's only server.
func singleRoles() []site.Role { return site.RolesThat(func(s site.RoleSpec) bool { return s.Single }) }

// roleAnswer is how roles are answered: in the alphabet's order.
func roleAnswer(roles []site.Role) string {
	var all []string
	for _, r := range roles {
		all = append(all, string(r))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// open are the roles that the i-th server may have beside the others.
func (a *asking) open(i int) []site.Role {
	return site.RolesThat(func(s site.RoleSpec) bool {
		return !(s.InCloud && a.said(layout) == Cloud) && !(s.One && a.anotherIs(s.Role, i))
	})
}

// roleChoices are one option for each role, and one for all that a single server has.
func roleChoices(roles []site.Role) []Option {
	var all []Option
	for _, r := range roles {
		spec, _ := r.Spec()
		all = append(all, Option{string(r), serverName(r) + ": " + spec.About})
	}
	together := singleRoles()
	for _, r := range together {
		if !slices.Contains(roles, r) {
			return all
		}
	}
	text := strings.Join(site.ShortNames(together), " and ") + " server"
	if len(roles) == 2 {
		text = "both"
	}
	return append(all, Option{roleAnswer(together), text})
}

// lacksRole says whether no server has a role that the site needs.
func (a *asking) lacksRole() bool {
	needed := site.RolesThat(func(s site.RoleSpec) bool {
		return s.Lacking != nil && !(s.InCloud && a.said(layout) != Several)
	})
	return slices.ContainsFunc(needed, func(r site.Role) bool { return !a.anotherIs(r, -1) })
}
