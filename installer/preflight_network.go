package installer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/check"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/apt"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/step/files"
)

// concern is what the changes of a host need of the network.
type concern struct {
	step step.KindName
	row  string // what the row's id starts with
	must bool
}

// concerns says which rows of the vendor's page the changes of one host need, by what
// the rows' ids start with. What is only needed once the host serves is told and holds
// nothing up.
func concerns() []concern {
	var all []concern
	for _, of := range []step.KindName{apt.KindSource, apt.KindPackages} {
		for _, row := range []string{"updates.ubuntu-archive", "updates.ubuntu-security", "updates.ivs-apt", "updates.docker-apt"} {
			all = append(all, concern{of, row, true})
		}
		all = append(all, concern{of, "updates.ubuntu-changelogs", false}) // read by people, later
	}
	return append(all,
		concern{docker.KindRegistryLogin, "updates.docker-registry", true},
		concern{docker.KindImage, "updates.docker-registry", true},
		concern{files.KindLicence, "wowza.", false},
	)
}

// reach tries the flows that the changes need, before anything is changed: an
// installation that stops in its middle at a firewall helps nobody.
func (in *installation) reach(ctx context.Context, p check.Prober) error {
	must := map[string]bool{} // flow ids
	var flows []network.Flow
	for _, f := range network.Flows(in.site) {
		needed, needs := in.needs(f)
		if !needs {
			continue
		}
		must[f.ID] = needed
		flows = append(flows, f)
	}
	if len(flows) == 0 {
		return nil
	}
	in.observer.Observe(event.Event{Kind: event.Note, Text: fmt.Sprintf("trying %d flows that the changes need", len(flows))})
	results, err := p.Try(ctx, flows, nil)
	if err != nil {
		return err
	}
	var errs []error
	for _, res := range results {
		switch {
		case res.Status != check.Fail:
		case must[res.ID]:
			errs = append(errs, flowProblem(res))
		default:
			in.observer.Observe(event.Event{Kind: event.Note, Host: res.Host, Text: fmt.Sprintf("%s does not work: %s", res.Subject, res.Cause)})
		}
	}
	return errors.Join(errs...)
}

// needs says whether the changes of the flow's source need it, and must have it.
func (in *installation) needs(f network.Flow) (must, needs bool) {
	for _, h := range in.result.Hosts {
		if f.Source.Kind != network.KindHost || f.Source.Name != h.Host {
			continue
		}
		for _, c := range concerns() {
			row := slices.ContainsFunc(f.Rows, func(row string) bool { return strings.HasPrefix(row, c.row) })
			if row && slices.ContainsFunc(h.Changes, func(s StepChange) bool { return s.Kind == c.step }) {
				must, needs = must || c.must, true
			}
		}
	}
	return must, needs
}
