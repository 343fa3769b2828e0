package updater

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/wowza"
	"ipivs.com/valtctl/repos/sleep"
)

// State is what a host served at one moment, to compare it with another.
type State struct {
	Engine   wowza.State // of a media host
	Answered []string    // flows of other hosts to it that work
	Known    bool
}

// How long a switched host may take until it answers others as it should, and how often it
// is asked; how many answers in a row a soak forgives.
const (
	healthWithin = 2 * time.Minute
	healthEvery  = time.Second
	soakEvery    = 2 * time.Second
	soakMisses   = 2
)

// look is what a host serves now.
func (d *driver) look(ctx context.Context, t *installer.Target, host string) (State, error) {
	answered, err := d.work.Answered(ctx, t, d.inward(t, host))
	if err != nil {
		return State{}, err
	}
	s := State{Answered: answered, Known: true}
	if h, _ := d.Site.Host(host); h.HasEngine() {
		s.Engine, err = d.engine(ctx, t, host)
		s.Known = err == nil
	}
	return s, err
}

// inward are the flows of the vendor's page from the site's other hosts to this one, but for
// those that a drain closes and those that have nothing to do with serving.
func (d *driver) inward(t *installer.Target, host string) func(network.Flow) bool {
	return func(fl network.Flow) bool {
		return fl.Destination.Name == host && fl.Destination.Kind == network.KindHost && fl.Protocol == network.TCP &&
			!slices.Contains(t.Manifest.Drain.ControlPorts, int(fl.Port)) && int(fl.Port) != d.sshPort(host)
	}
}

// proveHealth says whether a switched host serves: others reach it, it says so itself, and its
// streams and its licence are those of before.
func (d *driver) proveHealth(ctx context.Context, t *installer.Target, host string, before State, r *HostRecord) error {
	if err := d.until(ctx, healthWithin, func() error { return d.health(ctx, t, host) }); err != nil {
		d.gate(r, "health", err, "")
		return err
	}
	d.gate(r, "health", nil, "it answers as the release says, asked from "+strings.Join(d.askers(host), ", "))
	err := d.until(ctx, healthWithin, func() error {
		after, err := d.look(ctx, t, host)
		if err != nil || !before.Known {
			return err
		}
		return compare(before, after)
	})
	d.gate(r, "compare", err, "what answered others, streams and licence are those of before")
	return err
}

// compare says what a host does not do any more that it did before.
func compare(before, after State) error {
	var lost []string
	for _, flow := range before.Answered {
		if !slices.Contains(after.Answered, flow) {
			lost = append(lost, flow)
		}
	}
	for _, s := range before.Engine.Streams {
		if before.Engine.Running && s.Connected && !slices.ContainsFunc(after.Engine.Streams, func(now wowza.Stream) bool {
			return now.Connected && now.Application == s.Application && now.Name == s.Name
		}) {
			lost = append(lost, "stream "+s.Name)
		}
	}
	if before.Engine.Running && before.Engine.Licence != after.Engine.Licence {
		lost = append(lost, fmt.Sprintf("licence %q, now %q", before.Engine.Licence, after.Engine.Licence))
	}
	if len(lost) == 0 {
		return nil
	}
	return fmt.Errorf("it had before, and has no more: %s", strings.Join(lost, ", "))
}

// until asks again and again until the answer is right or its time is over.
func (d *driver) until(ctx context.Context, within time.Duration, ask func() error) error {
	began := d.Now()
	for {
		err := ask()
		if err == nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if d.Now().Sub(began) > within {
			return err
		}
		if err := sleep.For(ctx, healthEvery); err != nil {
			return err
		}
	}
}

// health asks once whether a host serves, from the other hosts of the site that may reach
// it, and of itself.
func (d *driver) health(ctx context.Context, t *installer.Target, host string) error {
	hp, _ := t.Plan.Host(host)
	own := slices.DeleteFunc(slices.Clone(hp.Steps), func(s step.Spec) bool { return s.Kind != docker.KindHealth })
	errs := []error{d.inspectFrom(ctx, t, host, own)}
	for _, other := range d.askers(host) {
		if other != host {
			errs = append(errs, d.inspectFrom(ctx, t, other, d.fromOutside(t, host)))
		}
	}
	_, err := d.work.Try(ctx, t, d.inward(t, host))
	return errors.Join(append(errs, err)...)
}

// inspectFrom has a host ask; every step that finds a difference is an error.
func (d *driver) inspectFrom(ctx context.Context, t *installer.Target, from string, steps []step.Spec) error {
	if len(steps) == 0 {
		return nil
	}
	findings, err := d.work.Inspect(ctx, from, t, steps)
	if err != nil {
		return err
	}
	var errs []error
	for _, found := range findings {
		if found.Finding.Change {
			errs = append(errs, fmt.Errorf("asked from %s: %s", from, strings.TrimSpace(removed(found.Finding.Diff))))
		}
	}
	return errors.Join(errs...)
}

// removed is what a diff says was seen instead of what is wanted.
func removed(diff string) string {
	var seen []string
	for line := range strings.Lines(diff) {
		if text, ok := strings.CutPrefix(line, "- "); ok {
			seen = append(seen, strings.TrimSpace(text))
		}
	}
	return strings.Join(seen, "; ")
}

// askers are the hosts that ask an application host for its health: every other one of the
// site that is not kept out by a managed firewall; without any, the host itself.
func (d *driver) askers(host string) []string {
	var others []string
	for _, h := range d.work.Hosts {
		if h.Name != host {
			others = append(others, h.Name)
		}
	}
	if len(others) == 0 {
		return []string{host}
	}
	return others
}

// fromOutside are the questions to a host's web server, as another host asks them. The
// vendor's page lets no media host ask the application, so a managed firewall may be in
// the way, and then only those flows are asked that the page lists.
func (d *driver) fromOutside(t *installer.Target, host string) []step.Spec {
	h, _ := d.Site.Host(host)
	if d.Site.Firewall == site.FirewallManaged {
		return nil
	}
	var all []step.Spec
	hp, _ := t.Plan.Host(host)
	for _, role := range site.RolesThat(func(r site.RoleSpec) bool { return r.Asked && h.Has(r.Role) }) {
		own, ok := hp.Health(role)
		if !ok {
			continue
		}
		spec, err := docker.HealthFrom(own, string(h.Address))
		if err != nil {
			return nil // the host itself says what is wrong with it
		}
		all = append(all, spec)
	}
	return all
}

func (d *driver) sshPort(host string) int {
	h, _ := d.Site.Host(host)
	return int(h.SSH.Port)
}

// soak watches a host that was confirmed.
func (d *driver) soak(ctx context.Context, host string, r *HostRecord) error {
	began, misses := d.Now(), 0
	for d.Now().Sub(began) < d.Soak {
		d.Observer.Observe(event.Event{Kind: event.Progress, Host: host,
			Text: fmt.Sprintf("watched for another %s", (d.Soak - d.Now().Sub(began)).Round(time.Second))})
		err := d.health(ctx, d.target, host)
		if ctx.Err() != nil {
			return nil // it is confirmed; nobody watches it any more
		}
		if misses++; err == nil {
			misses = 0
		}
		if misses > soakMisses {
			err = fmt.Errorf("watching it for %s: %w", d.Soak, err)
			d.gate(r, "soak", err, "")
			return err
		}
		if sleep.For(ctx, min(soakEvery, max(0, d.Soak-d.Now().Sub(began)))) != nil {
			return nil
		}
	}
	d.gate(r, "soak", nil, fmt.Sprintf("it served for %s", d.Soak))
	return nil
}
