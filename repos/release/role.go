package release

import (
	"slices"
	"strings"
)

// The roles that a release may be for (design.md, "Words"). They are installer/site's, and a
// test of cmd/valtctl fails if one of them is missing here.
const (
	RoleApp   = "app"
	RoleMedia = "media"
)

// RoleNames lists the roles that a manifest may speak of. It need not speak of all: a release
// without one is good for every site in which no host has it.
func RoleNames() []string { return []string{RoleApp, RoleMedia} }

// role wants the name of a role.
func (f *findings) role(field, role string) {
	f.need(slices.Contains(RoleNames(), role), field, role, strings.Join(RoleNames(), " or "))
}
