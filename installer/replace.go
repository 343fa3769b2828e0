package installer

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"ipivs.com/valtctl/installer/check"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/inputs"
	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// PlanNew plans a release for hosts that do not serve yet, as an installation does.
func (r *Run) PlanNew(ctx context.Context, version string) (*Target, error) {
	rel, err := inputs.ReadRelease(ctx, r.repo, r.Options.Site, version)
	if err != nil {
		return nil, err
	}
	return r.target(ctx, rel, plan.Input{})
}

// RefuseSuccessor refuses a server that must not take the place of another: for what installing
// refuses, and where it is the same machine, or a clone of it. That the other has once taken its
// place is no reason.
func (r *Run) RefuseSuccessor(t *Target, name, of string) error {
	h, err := r.Host(name)
	if err != nil {
		return err
	}
	known := h.Facts()
	f := known.Facts
	if f.Installed != nil {
		was := *f.Installed
		was.ReplacedBy = ""
		f.Installed = &was
	}
	errs := []error{refuse(r.Options.Site, t.Manifest, name, &f, anyRelease), refuseUnfinished(h, false), sameMachine(name, of, f.MachineID, r.Facts(of).MachineID)}
	if seen := known.TrustedState; seen != nil {
		errs = append(errs, release.NotOlder(t.release.State, *seen, name))
	}
	return errors.Join(errs...)
}

// sameMachine refuses two servers that say they are one: the old one itself under another address,
// or a copy of its disk.
func sameMachine(name, of, id, other string) error {
	if id == "" || id != other {
		return nil
	}
	return &problem.Error{Kind: problem.Check, Doing: "checking host", Object: name,
		Err: fmt.Errorf("it has the machine-id of %s, so it is the same server or was cloned from it", of),
		Fix: "name a freshly installed server; of a clone empty /etc/machine-id, remove /etc/ssh/ssh_host_*, and reboot it"}
}

// anyRelease is for a host that is brought to a release whatever it had.
func anyRelease(*release.Manifest, *facts.Facts, refusal) error { return nil }

// RefuseLeaving refuses to take a host out of the site that cannot be drained, or is at something
// else.
func (r *Run) RefuseLeaving(name string) error {
	h, err := r.Host(name)
	if err != nil {
		return err
	}
	no := func(fix, format string, args ...any) error {
		return &problem.Error{Kind: problem.Check, Doing: "checking host", Object: name, Err: fmt.Errorf(format, args...), Fix: fix}
	}
	if r.Facts(name).Installed == nil {
		return no("write the other server's address into the site file instead, then: valtctl install", "VALT is not installed there, so there is nothing to move")
	}
	if id := Quarantined(h); id != "" {
		return no("valtctl repair --host "+name, "it is in quarantine since transaction %s", id)
	}
	return refuseUnfinished(h, false)
}

// TryNew tries those flows of the site that pick chooses from their true sources, while hosts listen
// where nothing does yet.
func (r *Run) TryNew(ctx context.Context, t *Target, pick func(network.Flow) bool) ([]check.Result, error) {
	flows := slices.DeleteFunc(network.Flows(r.Options.Site), func(f network.Flow) bool {
		return f.Source.Kind != network.KindHost || !pick(f)
	})
	p := r.prober(t.Manifest)
	p.NoListen = false
	listening, ports := check.NewListening(), p.Ports(flows)
	_ = fleet.Each(r.Whole(), func(h *fleet.Host) error { // who cannot listen is known by its ports
		if on := ports[h.Name]; h.Connected() && len(on) > 0 {
			r.Options.Observer.Observe(event.Event{Kind: event.Note, Host: h.Name, Text: "listens where nothing does yet while the network is tried, of: " + check.PortList(on)})
			listening.Start(ctx, h.Name, h, on)
		}
		return nil
	})
	return p.Try(ctx, flows, listening)
}

// FlowProblems are those of the results that are why a host cannot serve from where it is.
func FlowProblems(results []check.Result) error {
	var errs []error
	for _, res := range results {
		if res.Status == check.Fail {
			errs = append(errs, flowProblem(res))
		}
	}
	return errors.Join(errs...)
}

// Reached is why a host that was just named cannot be asked, with what to do about it.
func Reached(name string, address site.Address, err error) error {
	if err == nil || problem.KindOf(err) == problem.Trust {
		return err
	}
	return &problem.Error{Kind: problem.Check, Doing: "reaching the new server", Object: fmt.Sprintf("%s (%s)", name, address), Err: fleet.Bare(err),
		Fix: "switch it on, and see that the login of the site file's ssh block is there and port 22 is open from here: valtctl trust " + string(address)}
}
