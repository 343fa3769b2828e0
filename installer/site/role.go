package site

import (
	"fmt"
	"slices"
	"strings"
)

// Role is what a host does for the site.
type Role string

// The roles. Each is described in role_<name>.go; a test of cmd/valtctl lists what a role
// lacks that has no more than its constant.
const (
	App   Role = "app"   // nginx, PHP, database and messaging
	Media Role = "media" // the streaming engine
)

// RoleSpec describes a role: all that code which treats one role unlike another may ask. So
// a role is described once, and such code names none.
type RoleSpec struct {
	Role  Role
	Short string // in labels, and before "host" or "server": "media"
	// About tells the people who are asked which role a host has: "records and streams".
	About string

	// One says that a site has no second host with it; InCloud, that in VALT Cloud the vendor
	// has that host; Single, that the only server of a site has it.
	One, InCloud, Single bool
	// Lease says that its host keeps the site's lease.
	Lease bool
	// Engine says that its host runs a streaming engine, which records what its cameras
	// show, has a licence and counts for updates.min_media_serving.
	Engine bool
	// OwnTurn says that a rollout changes its host before or after the waves of those that
	// have only other roles; Conducts, that other hosts record by its order, so that it is
	// changed while none does; Asked, that other hosts may ask it whether it serves.
	OwnTurn, Conducts, Asked bool

	// Keys are those of a host in the site file that only this role gives a meaning.
	Keys []string
	// Lacking is what a site without such a host is told; nil: it needs none.
	Lacking *Lacking

	defaults func(h *Host)                 // fills in what the file leaves out; nil: nothing
	needs    func(n *needs, i int, h Host) // what hosts[i] must say to be installed; nil: no more
}

// Lacking is about a site in which no host has a role.
type Lacking struct {
	Warning bool   // it is served all the same
	So, Fix string // ", so nothing can be recorded"
}

// specs are the roles in the order that people read them in.
func specs() []RoleSpec { return []RoleSpec{appRole(), mediaRole()} }

// Roles lists every role.
func Roles() []Role { return RolesThat(func(RoleSpec) bool { return true }) }

// RolesThat lists the roles that are so.
func RolesThat(are func(RoleSpec) bool) []Role {
	var all []Role
	for _, s := range specs() {
		if are(s) {
			all = append(all, s.Role)
		}
	}
	return all
}

// Spec describes the role; false: this program does not know it.
func (r Role) Spec() (RoleSpec, bool) {
	all := specs()
	i := slices.IndexFunc(all, func(s RoleSpec) bool { return s.Role == r })
	if i < 0 {
		return RoleSpec{Role: r}, false
	}
	return all[i], true
}

// Has says whether the host has the role.
func (h Host) Has(r Role) bool { return slices.Contains(h.Roles, r) }

// Is says whether one of the roles is so.
func Is(roles []Role, so func(RoleSpec) bool) bool {
	return slices.ContainsFunc(roles, func(r Role) bool {
		s, known := r.Spec()
		return known && so(s)
	})
}

// HasEngine says whether the host runs a streaming engine.
func (h Host) HasEngine() bool { return Is(h.Roles, RoleSpec.hasEngine) }

func (s RoleSpec) hasEngine() bool { return s.Engine }

// KeepsLease says whether the host's role has it keep the site's lease.
func (h Host) KeepsLease() bool { return Is(h.Roles, func(s RoleSpec) bool { return s.Lease }) }

// HasLicenceKey says whether the host's engine needs a key from a file.
func (h Host) HasLicenceKey() bool { return h.HasEngine() && h.Wowza.License == Electronic }

// ShortNames are the roles as labels name them.
func ShortNames(roles []Role) []string {
	var all []string
	for _, r := range roles {
		s, _ := r.Spec()
		all = append(all, s.Short)
	}
	return all
}

// rolesExample is how a site file gives roles: "[app], [media] or [app, media]".
func rolesExample() string {
	var each, all []string
	for _, r := range Roles() {
		each, all = append(each, fmt.Sprintf("[%s]", r)), append(all, string(r))
	}
	return fmt.Sprintf("%s or [%s]", strings.Join(each, ", "), strings.Join(all, ", "))
}
