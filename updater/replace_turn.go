package updater

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/step/system"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/sleep"
	"ipivs.com/valtctl/updater/drain"
)

// moveTries is how often the move is gone through once it is decided: what went back by itself
// meanwhile, because nobody was heard, gets its turn again.
const moveTries = 3

// replace makes the new server ready, waits until nothing is recorded, and moves the place.
func (m *replacement) replace(ctx context.Context) error {
	if err := m.makeReady(ctx); err != nil {
		return err
	}
	if err := m.rest(ctx); err != nil {
		return err
	}
	for try := 1; ; try++ {
		err := m.move(ctx)
		if err == nil || !m.moved.Load() || ctx.Err() != nil || try == moveTries {
			return err
		}
		m.say(m.new.Name, "it is decided that it serves; what went back is done again: %s", oneLine(err))
	}
}

// makeReady brings to the new server all that it takes, short of what serves.
func (m *replacement) makeReady(ctx context.Context) error {
	if err := m.work.RefreshOne(ctx, m.new.Name); err != nil || m.moved.Load() {
		return err
	}
	steps := m.ready()
	findings, err := m.work.Inspect(ctx, m.new.Name, m.install, steps)
	if err != nil || !differs(findings) {
		return err
	}
	m.say(m.new.Name, "is made ready for release %s; %s serves meanwhile", m.release, m.old.Name)
	done, err := m.work.Do(ctx, m.new.Name, m.install, installer.Change{Steps: steps, Policy: txn.Allow, Partial: true})
	if err == nil && done.Result.Err() != nil {
		err = fmt.Errorf("host %s: %w", m.new.Name, done.Result.Err())
	}
	return err
}

func differs(findings []agent.StepFinding) bool {
	return slices.ContainsFunc(findings, func(f agent.StepFinding) bool { return f.Finding.Change })
}

// rest waits until nothing is recorded on the site, where a host that drives the recordings is told
// of the new address: it must not be changed while one goes on, and the old server is to be away for
// no longer than it takes.
func (m *replacement) rest(ctx context.Context) error {
	if m.moved.Load() {
		return nil
	}
	m.apart = m.new.Name
	for _, name := range m.drivers {
		if h, _ := m.Site.Host(name); !drain.DrivesOthers(m.Site, h, m.settings.Manifest) {
			continue
		}
		d := &driver{update: m.update, target: m.settings, preview: &Preview{}}
		if err := d.awaitRecordings(ctx, name); err != nil {
			if errors.Is(err, step.ErrNotDrained) {
				m.record(m.old.Name).Outcome = Skipped
			}
			return err
		}
	}
	return nil
}

// move has the old server rest, the new one serve and the others know of it. Each waits, switched,
// for the next to come to a good end; where one does not, all go back in the opposite order. What is
// never answered goes back by itself.
func (m *replacement) move(ctx context.Context) error {
	m.apart = m.old.Name // it rests, and says nothing
	return m.leave(ctx, func(ctx context.Context) error {
		if err := m.plugged(ctx); err != nil {
			return err
		}
		return m.serve(ctx, func(ctx context.Context) error { return m.tellDrivers(ctx, m.drivers) })
	})
}

// leave has the old server drained and stopped.
func (m *replacement) leave(ctx context.Context, then fleet.Approval) error {
	raw, err := mustJSON(docker.RetireParams{Site: m.Site.ID, LastLook: m.lastLook()})
	if err != nil {
		return err
	}
	retire := step.Spec{ID: "retire", Kind: docker.KindRetire, Title: "the site's containers come to rest", Half: step.Apply, Disrupts: step.Engine, Params: raw}
	params, err := drain.For(m.o.Before, m.old, m.install.Manifest, m.DrainWithin, false)
	if err != nil {
		return err
	}
	if a := string(m.new.Address); !slices.Contains(params.From, a) && isIPv4(m.new.Address) {
		params.From = append(params.From, a)
	}
	steps, err := withDrain([]step.Spec{retire}, params)
	if err != nil {
		return err
	}
	return m.take(ctx, turn{host: m.old.Name, target: m.install, look: []step.Spec{retire}, steps: steps, confirm: 2*m.confirmWithin() + m.plugTime(),
		replacedBy: m.new.Name, then: then})
}

// lastLook is how the old server is asked right before it stops.
func (m *replacement) lastLook() *docker.LastLook {
	access, err := drain.Engine(m.install.Manifest)
	if err != nil || !m.old.HasEngine() {
		return nil
	}
	quiet := time.Duration(max(1, m.install.Manifest.Drain.QuietSeconds)) * time.Second
	return &docker.LastLook{Engine: *access, Quiet: quiet.String()}
}

// plugged waits until the new server sees the USB licence key of a physical licence.
func (m *replacement) plugged(ctx context.Context) error {
	plan, _ := m.install.Plan.Host(m.new.Name)
	keys := slices.DeleteFunc(slices.Clone(plan.Steps), func(s step.Spec) bool { return s.Kind != system.KindDongle })
	if len(keys) == 0 {
		return nil
	}
	began, told := m.Now(), false
	for {
		_, err := m.work.Inspect(ctx, m.new.Name, m.install, keys)
		if err == nil || ctx.Err() != nil {
			return err
		}
		left := m.o.PlugWithin - m.Now().Sub(began)
		if left <= 0 {
			m.say(m.old.Name, "plug the USB licence key into %s again: it serves as before", m.old.Name)
			return fmt.Errorf("waiting for the USB licence key to be plugged over from %s to %s: %w", m.old.Name, m.new.Name, err)
		}
		if !told {
			m.say(m.new.Name, "NOW: unplug the USB licence key from %s, which is at rest, and plug it into %s, within %s", m.old.Name, m.new.Name, left.Round(time.Second))
			told = true
		}
		if err := sleep.For(ctx, min(left, 2*time.Second)); err != nil {
			return err
		}
	}
}

// plugTime is how long the old server waits longer where somebody must walk to it.
func (m *replacement) plugTime() time.Duration {
	if m.old.Wowza.License == site.Physical {
		return m.o.PlugWithin
	}
	return 0
}

func (m *replacement) confirmWithin() time.Duration {
	return time.Duration(m.Site.Updates.ConfirmWithin)
}

// serve has the new server serve, and proves it from others.
func (m *replacement) serve(ctx context.Context, then fleet.Approval) error {
	plan, _ := m.install.Plan.Host(m.new.Name)
	d := &driver{update: m.update, target: m.install, preview: &Preview{}}
	prove := func(ctx context.Context) error {
		return d.proveHealth(ctx, m.install, m.new.Name, m.served(), m.record(m.new.Name))
	}
	params, err := drain.For(m.Site, m.new, m.install.Manifest, m.DrainWithin, false)
	if err != nil {
		return err
	}
	params.Before, params.After, params.HookWithin = "", "", "" // nobody was let in there before
	steps, err := withDrain(plan.Steps, params)
	if err != nil {
		return err
	}
	return m.take(ctx, turn{host: m.new.Name, target: m.install, look: plan.Steps, steps: steps, confirm: m.confirmWithin() * 3 / 2, prove: prove, then: then})
}

// served is what the old server served before it was drained: the streams of its cameras, and its
// licence.
func (m *replacement) served() State {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.before[m.old.Name].Served
}

// tellDrivers has those that drive the new server know its address, one after the other, and decides
// when all of them do.
func (m *replacement) tellDrivers(ctx context.Context, left []string) error {
	if len(left) == 0 {
		return m.decide(ctx)
	}
	host, _ := m.Site.Host(left[0])
	plan, _ := m.settings.Plan.Host(host.Name)
	d := &driver{update: m.update, target: m.settings, preview: &Preview{}}
	before, err := d.look(ctx, m.settings, host.Name)
	if err != nil {
		return err
	}
	params, err := drain.For(m.Site, host, m.settings.Manifest, min(m.DrainWithin, m.confirmWithin()/2), false)
	if err != nil {
		return err
	}
	steps, err := withDrain(plan.Steps, params)
	if err != nil {
		return err
	}
	prove := func(ctx context.Context) error {
		return d.proveHealth(ctx, m.settings, host.Name, before, m.record(host.Name))
	}
	return m.take(ctx, turn{host: host.Name, target: m.settings, look: plan.Steps, steps: steps, confirm: m.confirmWithin(), quiet: d.nothingElsewhere(host.Name),
		prove: prove, then: func(ctx context.Context) error { return m.tellDrivers(ctx, left[1:]) }})
}

// decide writes down that from here on all go forward, if those that wait still do.
func (m *replacement) decide(ctx context.Context) error {
	m.mu.Lock()
	var waiting []string
	for name := range m.at {
		waiting = append(waiting, name)
	}
	m.mu.Unlock()
	slices.Sort(waiting)
	for _, name := range waiting {
		if err := m.work.RefreshOne(ctx, name); err != nil {
			return err
		}
		h, err := m.work.Host(name)
		if err != nil {
			return err
		}
		if t, is := h.Unfinished(); !is || t.State != txn.StateUnconfirmed || t.Undoing {
			return &problem.Error{Kind: problem.Failed, Doing: "deciding that it serves:", Object: m.new.Name,
				Err: fmt.Errorf("%s has gone back by itself meanwhile", name), Fix: "run the command again"}
		}
	}
	if m.moved.Swap(true) {
		return nil
	}
	note, err := m.note()
	if err == nil {
		err = m.held.Note(ctx, note)
	}
	if err != nil {
		m.moved.Store(false)
		return fmt.Errorf("writing down that %s has the place of %s: %w", m.new.Name, m.old.Name, err)
	}
	return nil
}

func isIPv4(a site.Address) bool {
	ip, is := a.IP()
	return is && ip.Is4()
}

// turn is one host's part of the move.
type turn struct {
	host        string
	target      *installer.Target
	look, steps []step.Spec // what tells whether it has its part already, and what it does
	confirm     time.Duration
	replacedBy  string
	quiet       fleet.Approval
	prove, then fleet.Approval // asked once it has switched: is it well, and all that comes after
}

// after is what is done once a host has switched: in the run's own time, whatever becomes of the
// connection over which the host asks.
type after struct {
	once sync.Once
	done chan struct{}
	err  error
}

func (a *after) begin(ctx context.Context, do fleet.Approval) {
	a.once.Do(func() {
		go func() {
			defer close(a.done)
			a.err = do(ctx)
		}()
	})
}

// take has a host do its part, and what comes after it while it waits. A host that has its part
// already does nothing.
func (m *replacement) take(ctx context.Context, t turn) error {
	if err := m.work.RefreshOne(ctx, t.host); err != nil {
		return err
	}
	h, err := m.work.Host(t.host)
	if err != nil {
		return err
	}
	r := m.record(t.host)
	then := func(ctx context.Context) error {
		if t.prove != nil {
			if err := t.prove(ctx); err != nil {
				return err
			}
		}
		return t.then(ctx)
	}
	left, unfinished := h.Unfinished()
	if !unfinished {
		findings, err := m.work.Inspect(ctx, t.host, t.target, t.look)
		if err != nil {
			return err
		}
		if !differs(findings) {
			if r.Outcome == "" {
				r.Outcome = Unchanged
			}
			return then(ctx)
		}
	}
	done, why, err := m.switched(ctx, t, left, unfinished, then)
	if err != nil {
		r.Outcome, r.Reason = Running, oneLine(err)
		return errors.Join(why, err)
	}
	err = (&driver{update: m.update, target: t.target}).conclude(done, r)
	r.Ended = m.Now()
	if why != nil && !errors.Is(why, context.Canceled) {
		return why // why it went back
	}
	if err != nil {
		err = fmt.Errorf("host %s: %w", t.host, err)
	}
	return err
}

// switched has a host switch, and what comes after it be done while it waits; why is what came of that.
func (m *replacement) switched(ctx context.Context, t turn, left txn.Summary, unfinished bool, then fleet.Approval) (done fleet.End, why, err error) {
	working, stop := context.WithCancel(ctx)
	a := &after{done: make(chan struct{})}
	done, err = m.follow(ctx, t, left, unfinished, func(asked context.Context) error {
		m.wait(t.host, true)
		a.begin(working, then)
		select {
		case <-asked.Done():
			return asked.Err()
		case <-a.done:
		}
		if m.moved.Load() {
			return nil
		}
		return a.err
	})
	stop()
	a.once.Do(func() { close(a.done) }) // it never switched
	<-a.done
	m.wait(t.host, false)
	return done, a.err, err
}

// follow has the host begin its part, or goes on with what an earlier controller had it begin.
func (m *replacement) follow(ctx context.Context, t turn, left txn.Summary, unfinished bool, approve fleet.Approval) (fleet.End, error) {
	if unfinished {
		return m.work.Adopt(ctx, installer.Unfinished{Host: t.host, Summary: left}, approve, t.quiet)
	}
	return m.work.Do(ctx, t.host, t.target, installer.Change{Steps: t.steps, Policy: txn.Allow, Partial: t.replacedBy != "", ReplacedBy: t.replacedBy,
		Confirm: t.confirm.String(), Within: m.DrainWithin + time.Duration(m.Site.Updates.HostWithin), Approve: approve, Quiet: t.quiet})
}

// wait notes that a host has switched and waits for what comes after it.
func (m *replacement) wait(host string, waits bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if waits {
		m.at[host] = true
	} else {
		delete(m.at, host)
	}
}
