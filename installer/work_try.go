package installer

import (
	"context"
	"errors"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/check"
	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/repos/problem"
)

// Try tries those flows of the site that pick chooses, from their true sources, and
// returns why some do not work. It is about a host that is to be changed or has been:
// hosts of other runs are not asked.
func (w *Work) Try(ctx context.Context, t *Target, pick func(network.Flow) bool) (tried int, err error) {
	flows := w.ours(pick)
	if len(flows) == 0 {
		return 0, nil
	}
	results, err := w.proberOf(t).Try(ctx, flows, nil)
	if err != nil {
		return len(flows), err
	}
	var errs []error
	for _, res := range results {
		if res.Status == check.Fail {
			errs = append(errs, &problem.Error{Kind: problem.Check, Doing: "trying", Object: res.Subject, Err: errors.New(res.Cause), Fix: res.Fix})
		}
	}
	return len(flows), errors.Join(errs...)
}

// Answered names those flows that pick chooses and that work now, from their true sources.
// Unlike Try it says nothing of the others: a port that nothing listens on may be one that
// nothing ever does.
func (w *Work) Answered(ctx context.Context, t *Target, pick func(network.Flow) bool) ([]string, error) {
	flows := w.ours(pick)
	if len(flows) == 0 {
		return nil, nil
	}
	results, err := w.proberOf(t).Try(ctx, flows, nil)
	if err != nil {
		return nil, err
	}
	var working []string
	for _, res := range results {
		if res.Status == check.Pass {
			working = append(working, res.Subject)
		}
	}
	return working, nil
}

// ours are the flows that can be tried now: from hosts of this run.
func (w *Work) ours(pick func(network.Flow) bool) []network.Flow {
	return slices.DeleteFunc(network.Flows(w.Site), func(f network.Flow) bool {
		return f.Source.Kind != network.KindHost || !pick(f) || !w.connected(f.Source.Name)
	})
}

// LicenceFlows are those of a host to the vendor's licence servers.
func LicenceFlows(host string) func(network.Flow) bool {
	return func(f network.Flow) bool {
		return f.Source.Name == host && slices.ContainsFunc(f.Rows, func(row string) bool { return strings.HasPrefix(row, "wowza.") })
	}
}

// connected says whether a host can be asked now.
func (w *Work) connected(host string) bool {
	i, err := w.index(host)
	return err == nil && w.session(i) != nil
}

// proberOf asks the network from those hosts that are connected now.
func (w *Work) proberOf(t *Target) check.Prober {
	p := check.Prober{Site: w.Site, Manifest: t.Manifest, Hosts: map[string]check.Machine{}, Codenames: map[string]string{},
		Trust: pemOf(w.material.public.Trust), NoListen: true}
	for i, h := range w.hosts {
		if s := w.session(i); s != nil {
			p.Hosts[h.Name], p.Codenames[h.Name] = s.client, w.facts[i].Facts.OS.Codename
		}
	}
	return p
}
