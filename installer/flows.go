package installer

import (
	"context"
	"errors"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/check"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/inputs"
	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// prober asks the network from those hosts that are connected, and listens nowhere.
func prober(s *site.Site, m *release.Manifest, trust inputs.Trust, hosts []*fleet.Host) check.Prober {
	p := check.Prober{Site: s, Manifest: m, Hosts: map[string]check.Machine{}, Codenames: map[string]string{},
		Trust: trust.PEM(), Login: registryLogin(s), NoListen: true}
	for _, h := range hosts {
		if h.Connected() {
			p.Hosts[h.Name], p.Codenames[h.Name] = h, h.Facts().Facts.OS.Codename
		}
	}
	return p
}

// registryLogin is how the site logs in to the registry; nil where it has no login, or one that cannot be read, which
// whoever needs it says.
func registryLogin(s *site.Site) *probe.Login {
	_, password, err := inputs.Outward(s)
	if err != nil || password == nil {
		return nil
	}
	return &probe.Login{Username: s.Registry.Username, Password: string(password)}
}

// prober asks the network from this run's hosts.
func (r *Run) prober(m *release.Manifest) check.Prober {
	return prober(r.Options.Site, m, r.material.Trust, r.Whole())
}

// Try tries those flows of the site that pick chooses, from their true sources, and
// returns why some do not work. What could not be tried is neither.
func (r *Run) Try(ctx context.Context, t *Target, pick func(network.Flow) bool) (tried int, err error) {
	tried, results, err := r.tryFlows(ctx, t, pick)
	if err != nil {
		return tried, err
	}
	var errs []error
	for _, res := range results {
		if res.Status == check.Fail {
			errs = append(errs, flowProblem(res))
		}
	}
	return tried, errors.Join(errs...)
}

// Answered names those flows that pick chooses and that work now, from their true sources, and
// those of which that could not be found out. Unlike Try it says nothing of the others: a port
// that nothing listens on may be one that nothing ever does.
func (r *Run) Answered(ctx context.Context, t *Target, pick func(network.Flow) bool) (working, unknown []string, err error) {
	_, results, err := r.tryFlows(ctx, t, pick)
	if err != nil {
		return nil, nil, err
	}
	for _, res := range results {
		switch {
		case res.Status == check.Pass:
			working = append(working, res.Subject)
		case res.Untried:
			unknown = append(unknown, res.Subject)
		}
	}
	return working, unknown, nil
}

// tryFlows tries those flows that pick chooses and that can be tried now: from hosts that are
// connected.
func (r *Run) tryFlows(ctx context.Context, t *Target, pick func(network.Flow) bool) (int, []check.Result, error) {
	flows := slices.DeleteFunc(network.Flows(r.Options.Site), func(f network.Flow) bool {
		return f.Source.Kind != network.KindHost || !pick(f) || !r.connected(f.Source.Name)
	})
	if len(flows) == 0 {
		return 0, nil, nil
	}
	results, err := r.prober(t.Manifest).Try(ctx, flows, nil)
	return len(flows), results, err
}

func (r *Run) connected(host string) bool {
	h, err := r.Anywhere(host)
	return err == nil && h.Connected()
}

// flowProblem is a flow that does not work.
func flowProblem(res check.Result) error {
	return &problem.Error{Kind: problem.Check, Doing: "trying", Object: res.Subject, Err: errors.New(res.Cause), Fix: res.Fix}
}

// LicenceFlows are those of a host to the vendor's licence servers.
func LicenceFlows(host string) func(network.Flow) bool {
	return func(f network.Flow) bool {
		return f.Source.Name == host && slices.ContainsFunc(f.Rows, func(row string) bool { return strings.HasPrefix(row, "wowza.") })
	}
}
