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
	"ipivs.com/valtctl/installer/wowza"
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
	judgeFor   = 2 * time.Minute
	judgeEvery = time.Second
	soakEvery  = 2 * time.Second
	soakMisses = 2
)

// look is what a host serves now.
func (f *driver) look(ctx context.Context, t *installer.Target, host string) (State, error) {
	answered, err := f.work.Answered(ctx, t, f.inward(t, host))
	if err != nil {
		return State{}, err
	}
	s := State{Answered: answered, Known: true}
	if h, _ := f.Site.Host(host); h.HasEngine() {
		s.Engine, err = f.engine(ctx, t, host)
		s.Known = err == nil
	}
	return s, err
}

// inward are the flows of the vendor's page from the site's other hosts to this one, but for
// those that a drain closes and those that have nothing to do with serving.
func (f *driver) inward(t *installer.Target, host string) func(network.Flow) bool {
	return func(fl network.Flow) bool {
		return fl.Destination.Name == host && fl.Destination.Kind == network.KindHost && fl.Protocol == network.TCP &&
			!slices.Contains(t.Manifest.Drain.ControlPorts, int(fl.Port)) && int(fl.Port) != f.sshPort(host)
	}
}

// judge says whether a switched host serves: others reach it, it says so itself, and its
// streams and its licence are those of before.
func (f *driver) judge(ctx context.Context, t *installer.Target, host string, before State, r *HostResult) error {
	if err := f.until(ctx, judgeFor, func() error { return f.health(ctx, t, host) }); err != nil {
		f.gate(r, "health", err, "")
		return err
	}
	f.gate(r, "health", nil, "it answers as the release says, asked from "+strings.Join(f.askers(host), ", "))
	err := f.until(ctx, judgeFor, func() error {
		after, err := f.look(ctx, t, host)
		if err != nil || !before.Known {
			return err
		}
		return compare(before, after)
	})
	f.gate(r, "compare", err, "what answered others, streams and licence are those of before")
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
func (f *driver) until(ctx context.Context, within time.Duration, ask func() error) error {
	began := f.Now()
	for {
		err := ask()
		if err == nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if f.Now().Sub(began) > within {
			return err
		}
		if err := pause(ctx, judgeEvery); err != nil {
			return err
		}
	}
}

// health asks once whether a host serves, from the other hosts of the site that may reach
// it, and of itself.
func (f *driver) health(ctx context.Context, t *installer.Target, host string) error {
	hp, _ := t.Plan.Host(host)
	own := slices.DeleteFunc(slices.Clone(hp.Steps), func(s step.Spec) bool { return s.Kind != step.KindHealth })
	errs := []error{f.asked(ctx, t, host, own)}
	for _, other := range f.askers(host) {
		if other != host {
			errs = append(errs, f.asked(ctx, t, other, f.fromOutside(t, host)))
		}
	}
	_, err := f.work.Try(ctx, t, f.inward(t, host))
	return errors.Join(append(errs, err)...)
}

// asked has a host ask; every step that finds a difference is an error.
func (f *driver) asked(ctx context.Context, t *installer.Target, from string, steps []step.Spec) error {
	if len(steps) == 0 {
		return nil
	}
	findings, err := f.work.Inspect(ctx, from, t, steps)
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
func (f *driver) askers(host string) []string {
	var others []string
	for _, h := range f.work.Hosts {
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
func (f *driver) fromOutside(t *installer.Target, host string) []step.Spec {
	h, _ := f.Site.Host(host)
	if f.Site.Firewall == site.FirewallManaged {
		return nil
	}
	var all []step.Spec
	hp, _ := t.Plan.Host(host)
	for _, role := range site.RolesThat(func(r site.RoleSpec) bool { return r.Asked && h.Has(r.Role) }) {
		own, ok := hp.Health(role)
		if !ok {
			continue
		}
		spec, err := step.HealthFrom(own, string(h.Address))
		if err != nil {
			return nil // the host itself says what is wrong with it
		}
		all = append(all, spec)
	}
	return all
}

func (f *driver) sshPort(host string) int {
	h, _ := f.Site.Host(host)
	return int(h.SSH.Port)
}

// soak watches a host that was confirmed.
func (f *driver) soak(ctx context.Context, host string, r *HostResult) error {
	began, misses := f.Now(), 0
	for f.Now().Sub(began) < f.Soak {
		f.Observer.Observe(event.Event{Kind: event.Progress, Host: host,
			Text: fmt.Sprintf("watched for another %s", (f.Soak - f.Now().Sub(began)).Round(time.Second))})
		err := f.health(ctx, f.target, host)
		if ctx.Err() != nil {
			return nil // it is confirmed; nobody watches it any more
		}
		if misses++; err == nil {
			misses = 0
		}
		if misses > soakMisses {
			err = fmt.Errorf("watching it for %s: %w", f.Soak, err)
			f.gate(r, "soak", err, "")
			return err
		}
		if pause(ctx, min(soakEvery, max(0, f.Soak-f.Now().Sub(began)))) != nil {
			return nil
		}
	}
	f.gate(r, "soak", nil, fmt.Sprintf("it served for %s", f.Soak))
	return nil
}
