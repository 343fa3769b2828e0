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
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/wowza"
	"ipivs.com/valtctl/repos/sleep"
)

// State is what a host served at one moment, to compare it with another.
type State struct {
	Engine   wowza.State `json:"engine,omitzero"`    // of a media host
	Answered []string    `json:"answered,omitempty"` // flows of other hosts to it that work
	Unknown  []string    `json:"unknown,omitempty"`  // flows of which that could not be found out
	Known    bool        `json:"known"`
}

// How long a switched host may take until it answers others as it should, and how often it
// is asked; how many answers in a row a soak forgives, and for how long it waits in all for a
// host that cannot be asked.
const (
	healthWithin = 2 * time.Minute
	healthEvery  = time.Second
	soakEvery    = 2 * time.Second
	soakMisses   = 2
	silenceFor   = 5 * time.Minute
)

// look is what a host serves now.
func (d *driver) look(ctx context.Context, t *installer.Target, host string) (State, error) {
	answered, unknown, err := d.work.Answered(ctx, t, d.inward(t, host))
	if err != nil && !fleet.Unheard(err) { // of others, who cannot be heard
		return State{}, err
	}
	s := State{Answered: answered, Unknown: unknown, Known: err == nil}
	if h, _ := d.Site.Host(host); h.HasEngine() {
		s.Engine, err = d.engine(ctx, t, host)
		if err != nil {
			s.Known = false
			return s, err
		}
	}
	return s, nil
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
// streams and its licence are those of before. An error that is fleet.Unheard says that nobody
// knows.
func (d *driver) proveHealth(ctx context.Context, t *installer.Target, host string, before State, r *HostRecord) error {
	var silent []string
	if err := d.until(ctx, healthWithin, func() error {
		h := d.health(ctx, t, host)
		silent = h.silent
		return h.err()
	}); err != nil {
		d.gate(r, "health", err, "")
		return err
	}
	d.gate(r, "health", nil, "it answers as the release says"+askedFrom(d.askers(host), silent))
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

// askedFrom says who was asked, and who could not be.
func askedFrom(askers, silent []string) string {
	heard := slices.DeleteFunc(slices.Clone(askers), func(name string) bool { return slices.Contains(silent, name) })
	var text string
	if len(heard) > 0 {
		text = ", asked from " + strings.Join(heard, ", ")
	}
	if len(silent) > 0 {
		text += "; not heard: " + strings.Join(silent, ", ")
	}
	return text
}

// compare says what a host does not do any more that it did before.
func compare(before, after State) error {
	var lost []string
	for _, flow := range before.Answered {
		if !slices.Contains(after.Answered, flow) && !slices.Contains(after.Unknown, flow) {
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

// healthSeen is what one round of asking came to.
type healthSeen struct {
	own    error    // the host's own word, or that it could not be asked (fleet.Unheard)
	others []error  // what other hosts that were heard find wrong with it
	silent []string // other hosts that could not be heard: what they would say is not known
}

// err is what is wrong, or that nobody knows; nil: the host serves, as far as it is known.
func (h healthSeen) err() error { return errors.Join(append([]error{h.own}, h.others...)...) }

// health asks once whether a host serves, from the other hosts of the site that may reach
// it, and of itself.
func (d *driver) health(ctx context.Context, t *installer.Target, host string) healthSeen {
	hp, _ := t.Plan.Host(host)
	own := slices.DeleteFunc(slices.Clone(hp.Steps), func(s step.Spec) bool { return s.Kind != docker.KindHealth })
	seen := healthSeen{own: d.inspectFrom(ctx, t, host, own)}
	for _, other := range d.askers(host) {
		if other == host {
			continue
		}
		switch err := d.inspectFrom(ctx, t, other, d.fromOutside(t, host)); {
		case fleet.Unheard(err):
			seen.silent = append(seen.silent, other)
		case err != nil:
			seen.others = append(seen.others, err)
		}
	}
	if _, err := d.work.Try(ctx, t, d.inward(t, host)); err != nil && !fleet.Unheard(err) {
		seen.others = append(seen.others, err)
	}
	return seen
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
// site that is connected and not kept out by a managed firewall; without any, the host itself.
func (d *driver) askers(host string) []string {
	var others []string
	for _, h := range d.work.Whole() {
		if h.Name != host && h.Name != d.apart && h.Connected() {
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

// errUnwatched says that a host that was confirmed was not seen to serve for the whole soak, and
// was not seen to be ill either.
var errUnwatched = errors.New("it was confirmed, and could not be watched to the end of its soak")

// soak watches a host that was confirmed until it was seen to serve for long enough. Time in
// which it could not be asked does not count. An error that is errUnwatched is for whoever goes
// on later; any other says that the host is ill by its own word, or, as an *unreached, that it
// is not while others do not reach it.
func (d *driver) soak(ctx context.Context, host string, r *HostRecord) error {
	w := soaking{last: d.Now()}
	began := w.last
	for {
		d.Observer.Observe(event.Event{Kind: event.Progress, Host: host,
			Text: fmt.Sprintf("watched for another %s", max(0, d.Soak-w.served).Round(time.Second))})
		seen := d.health(ctx, d.target, host)
		if ctx.Err() != nil {
			return errUnwatched
		}
		if err := w.add(d.Now(), seen); err != nil {
			err = fmt.Errorf("watching it for %s: %w", d.Soak, err)
			d.gate(r, "soak", err, "")
			return err
		}
		if w.served >= d.Soak {
			d.gate(r, "soak", nil, fmt.Sprintf("it served for %s", d.Soak))
			return nil
		}
		if why := seen.err(); why != nil && d.Now().Sub(began) > d.Soak+silenceFor { // a look that took long is no silence
			err := fmt.Errorf("%w: %w", errUnwatched, why)
			d.gate(r, "soak", err, "")
			return err
		}
		if sleep.For(ctx, min(soakEvery, d.Soak-w.served)) != nil {
			return errUnwatched
		}
	}
}

// soaking is how a soak goes.
type soaking struct {
	last      time.Time     // of the look before
	well      bool          // it served then
	served    time.Duration // for how long in all it was seen to serve
	misses    int           // looks in a row that found it ill by its own word
	unreached int           // and that only others found fault with it
}

// add takes one look into account, and returns why it is over.
func (s *soaking) add(now time.Time, seen healthSeen) error {
	well := seen.err() == nil
	if well && s.well {
		s.served += now.Sub(s.last)
	}
	s.last, s.well = now, well
	switch {
	case seen.own != nil && !fleet.Unheard(seen.own):
		s.misses++
	case seen.own == nil && len(seen.others) > 0:
		s.misses, s.unreached = 0, s.unreached+1
	case seen.own == nil:
		s.misses, s.unreached = 0, 0
	}
	switch {
	case s.misses > soakMisses:
		return seen.own
	case s.unreached > soakMisses:
		return &unreached{errors.Join(seen.others...)}
	}
	return nil
}

// unreached is that a host serves by its own word, and others do not reach it. That may be the
// network's doing and is none of what it runs, so the host is not taken back for it.
type unreached struct{ err error }

func (e *unreached) Error() string {
	return "it serves by its own word and keeps the new release, but others do not reach it: " + e.err.Error()
}
func (e *unreached) Unwrap() error { return e.err }
