package site

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"ipivs.com/valtctl/repos/problem"
)

// camerasPerServer is the vendor's limit for one server that does everything (the
// vendor's page, Architecture and Terms).
const camerasPerServer = 50

// judge looks at what several fields say together, and fills in defaults that depend on
// other fields.
func (r *reader) judge(s *Site) {
	if s.Release.Channel != "" && s.Release.Version != "" {
		r.at("release", "names both a channel and a version", "keep channel to follow it, or version for exactly one release")
	}
	if s.Release.Channel == "" && s.Release.Version == "" {
		s.Release.Channel = "stable"
	}
	r.judgeNames(s)
	r.judgeReplaced(s)
	r.judgeRoles(s)
	r.judgeCloud(s)
	r.judgeCameras(s)
	r.judgeNetworks(s)
	r.judgeUpdates(s)
	r.judgeChecks(s)
}

// judgeRoles looks at who does what: no second host with a role of which there is one, and
// a role's keys on its hosts alone.
func (r *reader) judgeRoles(s *Site) {
	first := map[Role]string{} // the host that has it
	for i, h := range s.Hosts {
		if r.emptied(hostField(i, "roles")) {
			r.at(hostField(i, "roles"), "names no role", "write "+rolesExample())
		}
		if len(h.Roles) != len(slices.Compact(slices.Sorted(slices.Values(h.Roles)))) {
			r.at(hostField(i, "roles"), "names a role twice", "name each role once")
		}
		for _, role := range specs() {
			if !role.One || !h.Has(role.Role) {
				continue
			}
			if other := first[role.Role]; other != "" {
				r.at(hostField(i, "roles"), fmt.Sprintf("a site has one %s host, and %s is it already", role.Short, other), fmt.Sprintf("take %s from one of the two", role.Role))
			} else {
				first[role.Role] = h.Name
			}
		}
		r.judgeRoleKeys(i, h)
	}
	if r.given("hosts") && r.sound("hosts") { // or the roles are not known
		r.judgeLacking(s)
	}
}

// judgeLacking tells of the first role that a site lacks.
func (r *reader) judgeLacking(s *Site) {
	if len(s.Hosts) == 0 {
		r.at("hosts", "names no host", "write at least one host with name, address and roles")
		return
	}
	for _, role := range specs() {
		if role.Lacking == nil || role.InCloud && s.Cloud != nil || len(s.With(role.Role)) > 0 {
			continue
		}
		tell := r.at
		if role.Lacking.Warning {
			tell = r.warn
		}
		tell("hosts", fmt.Sprintf("no host has the role %s%s", role.Role, role.Lacking.So), role.Lacking.Fix)
		return
	}
}

// judgeRoleKeys finds keys on a host that has none of the roles that give them a meaning.
func (r *reader) judgeRoleKeys(i int, h Host) {
	if len(h.Roles) == 0 {
		return
	}
	told := map[string]bool{}
	for _, role := range specs() {
		for _, key := range role.Keys {
			means := func(s RoleSpec) bool { return slices.Contains(s.Keys, key) }
			if told[key] || Is(h.Roles, means) || !r.given(hostField(i, key)) {
				continue
			}
			told[key] = true
			r.at(hostField(i, key), fmt.Sprintf("belongs to a %s host, and this host has not the role %s", role.Short, role.Role),
				fmt.Sprintf("move it to the %s host, or add %s to this host's roles", role.Short, role.Role))
		}
	}
}

// judgeCloud holds a site in VALT Cloud to what the cloud is: encrypted, and with the
// application server elsewhere.
func (r *reader) judgeCloud(s *Site) {
	if s.Cloud == nil {
		return
	}
	if r.sound("ssl") && !s.SSL {
		r.at("ssl", "VALT Cloud is reached over SSL alone", "write ssl: true, or remove cloud")
	}
	for i, h := range s.Hosts {
		for _, role := range specs() {
			if role.InCloud && h.Has(role.Role) {
				r.at(hostField(i, "roles"), fmt.Sprintf("the %s server of a site with cloud is the cloud's", role.Short),
					fmt.Sprintf("write roles: [%s], or remove cloud", RolesThat(func(s RoleSpec) bool { return !s.InCloud })[0]))
			}
		}
	}
	if s.Name == "" {
		s.Name = string(s.Cloud.App)
	}
}

// Overload is a server that is to do everything for more cameras than the vendor says.
type Overload struct {
	Host    string
	Cameras int
	Limit   int
	Split   string // how to divide them, in the words of a site file
}

// Overloads lists the servers that are application and media server in one for more
// cameras than the vendor says, each with how to divide them.
func (s *Site) Overloads() []Overload {
	var all []Overload
	for _, h := range s.Hosts {
		if h.Has(App) && h.Has(Media) && len(s.Media()) == 1 && len(h.Cameras) > camerasPerServer {
			all = append(all, Overload{h.Name, len(h.Cameras), camerasPerServer,
				fmt.Sprintf("keep roles: [app] on %s and add media hosts, such as %s", h.Name, split(s, h.Cameras))})
		}
	}
	return all
}

// judgeLoad warns of servers with too many cameras.
func (r *reader) judgeLoad(s *Site) {
	for _, o := range s.Overloads() {
		i := slices.IndexFunc(s.Hosts, func(h Host) bool { return h.Name == o.Host })
		r.warn(hostField(i, "cameras"),
			fmt.Sprintf("%s has %d cameras and is the application server as well; the vendor asks for a separate media server above %d", o.Host, o.Cameras, o.Limit), o.Split)
	}
}

// split divides cameras evenly over as few media servers as hold them.
func split(s *Site, cameras []Camera) string {
	var parts []string
	servers := (len(cameras) + camerasPerServer - 1) / camerasPerServer
	for n, from := 0, 0; n < servers; n++ {
		to := (n + 1) * len(cameras) / servers
		parts = append(parts, fmt.Sprintf("%s with cameras: [%s]", s.freeName(n), ranges(cameras[from:to])))
		from = to
	}
	return strings.Join(parts, " and ")
}

// freeName is the n-th name media1, media2, … that no host has.
func (s *Site) freeName(n int) string {
	for i := 1; ; i++ {
		name := fmt.Sprintf("media%d", i)
		if _, taken := s.Host(name); taken {
			continue
		}
		if n == 0 {
			return name
		}
		n--
	}
}

// judgeNetworks looks at who is where.
func (r *reader) judgeNetworks(s *Site) {
	r.judgePeople(s)
	if s.Firewall == FirewallManaged && !r.given("admins") {
		r.at("firewall", "managed needs to know where administrators are, or it would shut them out", "write admins: and their networks, such as [10.0.99.0/28]")
	}
	if !r.given("admins") && r.given("clients") && s.Firewall != FirewallManaged {
		r.warnOn(nearestLine(r.lines, "clients"), "admins", "is absent, so every network of clients gets the administrators' ports as well (SSH and 8088)",
			"write admins: and the networks where administrators sit, such as [10.0.99.0/28]")
	}
	if len(s.Admins) == 0 {
		s.Admins = slices.Clone(s.Clients)
	}
	if pool := s.Network.DockerPool; pool.IsValid() {
		r.judgePool(s, pool)
	}
}

func (r *reader) judgePeople(s *Site) {
	type group struct {
		path     string
		networks []netip.Prefix
	}
	groups := []group{{"clients", s.Clients}, {"admins", s.Admins}}
	if s.Beam != nil {
		groups = append(groups, group{"beam.devices", s.Beam.Devices})
	}
	for _, g := range groups {
		if r.emptied(g.path) {
			r.at(g.path, "names no network", "write at least one network, such as [10.0.0.0/16]")
		}
		for i, n := range g.networks {
			if n.Bits() == 0 {
				r.warn(fmt.Sprintf("%s[%d]", g.path, i), "is every network there is, which no firewall request should ask for", "write the networks that people really are in")
			}
		}
	}
}

// judgeUpdates checks that a rollout could happen at all.
func (r *reader) judgeUpdates(s *Site) {
	u, media := &s.Updates, len(s.Media())
	if u.MinMediaServing == unset {
		u.MinMediaServing = min(1, max(media-1, 0))
	} else if r.sound("hosts") && media > 0 && u.MinMediaServing >= media {
		r.at("updates.min_media_serving", fmt.Sprintf("with %d to keep serving, none of the %d media hosts could ever be updated", u.MinMediaServing, media), fmt.Sprintf("write a number up to %d", media-1))
	}
	if u.Timezone == "" && r.sound("updates.timezone") && (r.given("updates.windows") || r.given("updates.blackouts")) {
		r.at("updates.timezone", "is missing, and windows and blackouts are read in it", "write timezone: and its name, such as America/Chicago")
	}
	if _, ok := s.Host(u.Canary); u.Canary != "" && !ok && r.sound("hosts") {
		r.at("updates.canary", fmt.Sprintf("no host is named %q", u.Canary), fmt.Sprintf("did you mean %q?", problem.Nearest(u.Canary, s.hostNames())))
	}
}

// judgeChecks judges the site's own checks: each is one thing, under a name of its own, on a host
// that is there.
func (r *reader) judgeChecks(s *Site) {
	seen := map[string]bool{}
	for i, c := range s.Checks {
		field := func(key string) string { return fmt.Sprintf("checks[%d].%s", i, key) }
		if (c.URL == "") == (c.Program == "") && r.sound(field("url")) && r.sound(field("program")) {
			r.at(field("name"), "it asks neither an address nor a program, or both", "write url: or program:, one of them")
		}
		if seen[c.Name] {
			r.at(field("name"), fmt.Sprintf("two checks are named %q", c.Name), "give each a name of its own")
		}
		seen[c.Name] = true
		if _, ok := s.Host(c.Host); c.Host != "" && !ok && r.sound("hosts") {
			r.at(field("host"), fmt.Sprintf("no host is named %q", c.Host), fmt.Sprintf("did you mean %q?", problem.Nearest(c.Host, s.hostNames())))
		}
	}
}

func (s *Site) hostNames() []string {
	names := make([]string, len(s.Hosts))
	for i, h := range s.Hosts {
		names[i] = h.Name
	}
	return names
}

func hostField(i int, key string) string { return fmt.Sprintf("hosts[%d].%s", i, key) }
