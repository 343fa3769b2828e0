package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/wizard"
	"ipivs.com/valtctl/repos/release"
)

// roleConstants are the roles that installer/site has a constant for.
func roleConstants(t *testing.T) []site.Role {
	t.Helper()
	var all []site.Role
	for _, f := range goFiles(t) {
		if f.dir != "installer/site" || f.test {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if kind, ok := spec.Type.(*ast.Ident); !ok || kind.Name != "Role" {
				return true
			}
			for _, value := range spec.Values {
				if text, err := strconv.Unquote(value.(*ast.BasicLit).Value); err == nil {
					all = append(all, site.Role(text))
				}
			}
			return true
		})
	}
	return all
}

// lacks says what a role still needs, each with where it goes.
func lacks(t *testing.T, r site.Role) []string {
	t.Helper()
	var all []string
	missing := func(ok bool, what string, args ...any) {
		if !ok {
			all = append(all, fmt.Sprintf("role %s has no ", r)+fmt.Sprintf(what, args...))
		}
	}
	spec, described := r.Spec()
	missing(described, "description: add installer/site/role_%s.go and list it in specs() of installer/site/role.go", r)
	missing(spec.Short != "" && spec.About != "", "words for people: say Short and About in installer/site/role_%s.go", r)
	missing(plan.Plans(r), "plan: add installer/plan/role_%s.go and list it in roles() of installer/plan/role.go", r)
	missing(wizard.Guides(r), "questions: add installer/wizard/role_%s.go and list it in roleGuides() of installer/wizard/role.go", r)
	_, placed := network.RoleEnd(r)
	missing(placed, "end of the vendor's rows: add it to roleEnds() of installer/network/role.go, as AllServers if the page does not name its hosts")
	missing(slices.Contains(release.RoleNames(), string(r)), "place in a release: add a constant and list it in RoleNames() of repos/release/role.go")
	text := schemaText(t, "properties", "hosts", "items", "properties", "roles", "description")
	missing(strings.Contains(text, string(r)), "mention in the site file's schema (%q): name it in the description of Host.Roles in installer/site/host.go, and in docs/site-file.md", text)
	return all
}

// schemaText is one text of the site file's schema.
func schemaText(t *testing.T, at ...string) string {
	t.Helper()
	var node any
	if err := json.Unmarshal(site.Schema(), &node); err != nil {
		t.Fatal(err)
	}
	for _, key := range at {
		inner, ok := node.(map[string]any)
		if !ok {
			t.Fatalf("the site file's schema has nothing at %v", at)
		}
		node = inner[key]
	}
	text, _ := node.(string)
	return text
}

// A role is described once. What a new one lacks is listed here, by where it goes.
func TestEveryRoleIsDescribed(t *testing.T) {
	constants := roleConstants(t)
	if !slices.Contains(constants, site.App) || !slices.Contains(constants, site.Media) {
		t.Fatalf("found the roles %v in installer/site", constants)
	}
	for _, r := range constants {
		for _, what := range lacks(t, r) {
			t.Error(what)
		}
	}
	for _, r := range site.Roles() {
		if !slices.Contains(constants, r) {
			t.Errorf("role %s has a description and no constant in installer/site", r)
		}
	}
}

// The list itself tells of all that a role may lack.
func TestWhatAnUnknownRoleLacks(t *testing.T) {
	all := lacks(t, "unheard-of")
	for _, where := range []string{"installer/site/role_", "installer/plan/role_", "installer/wizard/role_", "installer/network/role.go", "repos/release/role.go", "installer/site/host.go"} {
		if !slices.ContainsFunc(all, func(what string) bool { return strings.Contains(what, where) }) {
			t.Errorf("nothing is said of %s in %q", where, all)
		}
	}
}

// Code that treats one role unlike another asks the roles' descriptions.
func TestRolesAreNamedWhereTheyAreDescribedAlone(t *testing.T) {
	names := map[string][]string{"site": {"App", "Media"}, "release": {"RoleApp", "RoleMedia"}}
	for _, f := range goFiles(t) {
		base := path.Base(f.path)
		if f.test || within(f.dir, "cmd/valtlab") || f.dir == "updater/simulated" || base == "role.go" || strings.HasPrefix(base, "role_") {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if of, ok := sel.X.(*ast.Ident); ok && slices.Contains(names[of.Name], sel.Sel.Name) {
				t.Errorf("%s:%d names %s.%s: say in installer/site/role.go what is so of the role, and ask that", f.path, f.set.Position(n.Pos()).Line, of.Name, sel.Sel.Name)
			}
			return true
		})
	}
}
