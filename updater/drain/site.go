package drain

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/wowza"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// method is the one way of draining that this program knows (contracts.md): by the media
// engine's REST interface.
const method = "wowza-rest"

// For is the drain of one host of a site, as a release wants it. within is how long to
// wait for recordings, 0: the step's own time; interrupt does not wait.
func For(s *site.Site, h site.Host, m *release.Manifest, within time.Duration, interrupt bool) (Params, error) {
	p := Params{Interrupt: interrupt, SessionPorts: sessionPorts(s, h, m)}
	if within > 0 {
		p.Within = within.String()
	}
	for _, other := range s.Hosts {
		if a, err := netip.ParseAddr(string(other.Address)); err == nil && other.Name != h.Name {
			p.From = append(p.From, a.String())
		}
	}
	p.hooks(s.Hooks)
	p.AskElsewhere = !interrupt && DrivesOthers(s, h, m)
	if !h.HasEngine() {
		return p, nil
	}
	if m.Drain.Method != method {
		return p, &problem.Error{Kind: problem.Failed, Doing: "draining host", Object: h.Name,
			Err: fmt.Errorf("release %s wants the method %q, which this valtctl does not know", m.Version, m.Drain.Method),
			Fix: "use the valtctl that came with that release"}
	}
	engine, err := Engine(m)
	p.ControlPorts, p.Engine = m.Drain.ControlPorts, engine
	if m.Drain.QuietSeconds > 0 {
		p.Quiet = (time.Duration(m.Drain.QuietSeconds) * time.Second).String()
	}
	return p, err
}

// hooks takes over what the site wants to be told of a drain.
func (p *Params) hooks(h *site.Hooks) {
	if h != nil {
		p.Before, p.After, p.HookWithin = h.BeforeDrain, h.AfterAdmit, time.Duration(h.Within).String()
	}
}

// OpenFor are the parameters of a step that opens a host's gate (OpenKind).
func OpenFor(s *site.Site) Params {
	var p Params
	p.hooks(s.Hooks)
	p.Before = ""
	return p
}

// DrivesOthers says whether recordings on other hosts depend on this one, so that it must not be
// changed while one goes on.
func DrivesOthers(s *site.Site, h site.Host, m *release.Manifest) bool {
	return m.Drain.App != "ignore" && site.Is(h.Roles, func(r site.RoleSpec) bool { return r.Conducts }) &&
		slices.ContainsFunc(s.Hosts, func(o site.Host) bool { return o.Name != h.Name && o.HasEngine() })
}

// Engine is how a media host asks its own engine (plan.EngineAccess).
func Engine(m *release.Manifest) (*wowza.Access, error) {
	if access, ok := plan.EngineAccess(m); ok {
		return &access, nil
	}
	return nil, &problem.Error{Kind: problem.Failed, Doing: "asking the media engine", Object: m.Version,
		Err: errors.New(`the release has no password "engine", so nobody can tell what is recorded`), Fix: "tell the vendor"}
}

// sessionPorts are those that sessions are begun on: everything that others may open to
// this host by the vendor's page, but SSH and what only controls it.
func sessionPorts(s *site.Site, h site.Host, m *release.Manifest) []int {
	var all []int
	for _, f := range network.Flows(s) {
		if f.Destination.Kind != network.KindHost || f.Destination.Name != h.Name || f.Protocol != network.TCP ||
			f.Port == h.SSH.Port || slices.Contains(m.Drain.ControlPorts, int(f.Port)) {
			continue
		}
		all = append(all, int(f.Port))
	}
	return slices.Compact(slices.Sorted(slices.Values(all)))
}
