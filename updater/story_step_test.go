package updater_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/apt"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/step/firewall"
	"ipivs.com/valtctl/installer/step/kinds"
	"ipivs.com/valtctl/installer/step/nft"
	"ipivs.com/valtctl/installer/step/system"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/installer/wowza"
	"ipivs.com/valtctl/repos/sleep"
	"ipivs.com/valtctl/updater/drain"
)

// killed is the panic that stands for SIGKILL: what was written stays, nothing runs on.
type killed struct{}

// imitate gives the host its kinds of steps: things that it has one of, and the real gate.
func (s *server) imitate() {
	for _, k := range append(kinds.All(), drain.Kinds()...) {
		s.Side().Kinds[k.Name] = s.kind(k)
	}
}

func (s *server) kind(k step.Kind) step.Kind {
	way := k.Way
	made := k.New
	k.New = func(raw json.RawMessage) (step.Step, error) {
		switch k.Name {
		case docker.KindHealth:
			return s.healthOf(raw)
		case firewall.KindFirewall, system.KindReboot, docker.KindPrune:
			return nothing{}, nil
		case docker.KindRetire:
			return &reversible{&thing{server: s, kind: k.Name, title: atRest, value: "yes"}}, nil
		case drain.KindDrain, drain.KindOpen:
			return s.gateStep(made, raw)
		}
		t, err := s.thingOf(k.Name, raw)
		if way == step.Reversible {
			return &reversible{t}, err
		}
		return t, err
	}
	return k
}

// thing is something that the host has one of, such as a file, a package or a container.
type thing struct {
	*server
	kind         step.KindName
	title, value string
	bundle       string // the secret that tells where what it fetches comes from; empty: the vendor
}

// thingOf reads from a step's parameters what it is about, and what that is to be.
func (s *server) thingOf(kind step.KindName, raw json.RawMessage) (*thing, error) {
	var p struct {
		Name, Path, Repository, Site, Bundle string
		Packages                             []struct{ Name, Version string }
		Release                              any // of a container its release, of others whether it asked for them
	}
	var all map[string]any
	if err := errors.Join(json.Unmarshal(raw, &p), json.Unmarshal(raw, &all)); err != nil {
		return nil, err
	}
	for _, how := range []string{"last_look", "bundle", "username", "password_secret"} {
		delete(all, how) // how it is changed is nothing that it is
	}
	params, err := json.Marshal(all)
	if err != nil {
		return nil, err
	}
	t := &thing{server: s, kind: kind, title: fmt.Sprintf("%s %s%s", kind, p.Name, p.Path), value: string(params)}
	if kind == docker.KindImage || kind == apt.KindDownload {
		t.bundle = p.Bundle
	}
	switch {
	case kind == docker.KindContainer:
		t.value, _ = p.Release.(string)
	case len(p.Packages) > 0:
		t.title, t.value = fmt.Sprintf("%s %s", kind, p.Packages[0].Name), p.Packages[0].Version
	case kind == docker.KindImage:
		t.title, t.value = t.title+p.Repository+string(params), "there" // there may be several
	}
	return t, nil
}

func (t *thing) get() (string, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v, ok := t.has[t.title]
	return v, ok
}

func (t *thing) set(value string, there bool) {
	t.mu.Lock()
	if there {
		t.has[t.title] = value
	} else {
		delete(t.has, t.title)
	}
	t.mu.Unlock()
	t.showEngine()
}

func (t *thing) Inspect(_ context.Context, m *step.Machine) (step.Finding, error) {
	t.moment(m, "inspects "+t.title)
	was, there := t.get()
	asleep := t.kind == docker.KindContainer && t.retired()
	if there && was == t.value && !asleep {
		return step.Finding{}, nil
	}
	f := step.Finding{Change: true, Diff: fmt.Sprintf("- %.60s\n+ %.60s\n", was, t.value), Disrupts: step.Nothing}
	if t.kind == docker.KindContainer && there {
		f.Disrupts = step.Container
	}
	f.Admits = t.kind == docker.KindContainer && (!there || asleep)
	return f, nil
}

// Apply changes the host, not at once: it may fail, hang or be killed in its middle.
func (t *thing) Apply(ctx context.Context, m *step.Machine) error {
	t.begins(t.title)
	defer t.ends()
	t.moment(m, "changes "+t.title)
	if err := errors.Join(t.spoiled(ctx), t.fetched(ctx, m)); err != nil {
		return err
	}
	return t.put(ctx, m, t.value, true, "a transaction replaces it")
}

// put brings the thing to a value by way of neither the one nor the other.
func (t *thing) put(ctx context.Context, m *step.Machine, value string, there bool, why string) error {
	if t.kind == docker.KindContainer && value == newRelease {
		t.follows()
		t.spares()
	}
	if t.kind == docker.KindContainer && t.retired() {
		return t.wakes(ctx, m, value, there)
	}
	if _, is := t.get(); t.kind == docker.KindRetire && !is && there {
		t.stops(why)
	}
	if was, is := t.get(); t.kind == docker.KindContainer && is {
		if was == oldRelease || was == newRelease {
			t.stops(why)
		}
		t.set("half", true)
		if err := sleep.For(ctx, 2*time.Second); err != nil {
			return err
		}
	}
	t.moment(m, "is in the middle of "+t.title)
	t.set(value, there)
	return nil
}

// reversible is a thing that can be what it was.
type reversible struct{ *thing }

// was is what a thing was before, as its step keeps it.
type was struct {
	Value string
	There bool
}

func (r *reversible) Apply(ctx context.Context, m *step.Machine) error {
	if m.Keep != "" {
		file := filepath.Join(m.Keep, "was")
		if _, err := os.Stat(file); err != nil {
			var w was
			w.Value, w.There = r.get()
			text, err := json.Marshal(w)
			if err := errors.Join(err, os.MkdirAll(m.Keep, 0o700), os.WriteFile(file+".new", text, 0o600), os.Rename(file+".new", file)); err != nil {
				return err
			}
		}
	}
	return r.thing.Apply(ctx, m)
}

func (r *reversible) Undo(ctx context.Context, m *step.Machine) error {
	r.begins(r.title)
	defer r.ends()
	r.moment(m, "takes back "+r.title)
	text, err := os.ReadFile(filepath.Join(m.Keep, "was"))
	if err != nil {
		return nil // it had not begun
	}
	if r.isStuck() {
		return errors.New("it is stuck")
	}
	var w was
	r.must(json.Unmarshal(text, &w))
	if now, there := r.get(); now == w.Value && there == w.There {
		r.sleepsAgain(m)
		return nil
	}
	return r.put(ctx, m, w.Value, w.There, "a transaction takes it back")
}

// spoiled is what was drawn to befall the next change of the host.
func (s *server) spoiled(ctx context.Context) error {
	s.mu.Lock()
	fails, hangs := s.failing, s.hanging
	s.failing, s.hanging = false, false
	s.mu.Unlock()
	switch {
	case fails:
		return errors.New("apt: something went wrong")
	case hangs:
		return errors.Join(sleep.For(ctx, hangsFor), fmt.Errorf("docker: it did not answer within %s", hangsFor))
	}
	return nil
}

// hangsFor is how long a call to a program takes that hangs: every one has a deadline.
const hangsFor = 90 * time.Second

func (s *server) isStuck() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stuck
}

// begins sees to it that one step at a time changes the host.
func (s *server) begins(what string) {
	s.mu.Lock()
	s.changing++
	n := s.changing
	s.mu.Unlock()
	if n > 1 {
		s.fail("%s: %s is changed while something else is", s.name, what)
	}
}

func (s *server) ends() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changing--
}

// health is a step that only looks, at this host or at another.
type health struct {
	*server
	of *server
}

func (s *server) healthOf(raw json.RawMessage) (step.Step, error) {
	h := &health{s, s}
	var p struct{ At string }
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, err
	}
	for _, other := range s.everyone() {
		if p.At != "" && string(other.Address) == p.At {
			h.of = s.hosts[other.Name]
		}
	}
	return h, nil
}

func (h *health) Inspect(_ context.Context, m *step.Machine) (step.Finding, error) {
	h.moment(m, "looks whether "+h.of.name+" serves")
	if h.of.serving() && !h.of.isIll() && (h.of == h.server || !h.of.isAway()) {
		return step.Finding{}, nil
	}
	return step.Finding{Change: true, Diff: "- it does not serve\n", Disrupts: step.Nothing}, nil
}

func (h *health) Apply(ctx context.Context, m *step.Machine) error {
	for range 30 {
		if h.of.serving() { // what is ill shows only later
			return nil
		}
		if err := sleep.For(ctx, 3*time.Second); err != nil {
			return err
		}
	}
	return errors.New("it does not serve")
}

func (h *health) Undo(context.Context, *step.Machine) error { return nil }

// gateStep is the real step of the gate, which asks this host's engine.
type gateStep struct {
	*server
	inner step.Step
}

// drainStep is one that can be taken back and admits.
type drainStep struct{ *gateStep }

func (s *server) gateStep(made func(json.RawMessage) (step.Step, error), raw json.RawMessage) (step.Step, error) {
	var p drain.Params
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, err
	}
	if p.Engine != nil {
		p.Engine.URL = s.rest.Access.URL
	}
	raw, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	g := &gateStep{server: s}
	if g.inner, err = made(raw); err != nil {
		return nil, err
	}
	if _, ok := g.inner.(step.Admitter); ok {
		return &drainStep{g}, nil
	}
	return g, nil
}

func (g *gateStep) Inspect(ctx context.Context, m *step.Machine) (step.Finding, error) {
	g.moment(m, "looks at the gate")
	return g.inner.Inspect(ctx, m)
}

func (g *gateStep) Apply(ctx context.Context, m *step.Machine) error {
	g.moment(m, "is at the gate")
	if err := g.spoiled(ctx); err != nil {
		return err
	}
	return g.inner.Apply(ctx, m)
}

func (d *drainStep) Undo(ctx context.Context, m *step.Machine) error {
	d.moment(m, "opens the gate again")
	return d.inner.(step.Undoer).Undo(ctx, m)
}

func (d *drainStep) Leave(ctx context.Context, m *step.Machine) error {
	d.moment(m, "leaves the gate")
	return d.inner.(step.Leaver).Leave(ctx, m)
}

func (d *drainStep) Admit(ctx context.Context, m *step.Machine) error {
	d.moment(m, "opens the gate")
	d.mu.Lock()
	d.admitted = time.Now()
	d.mu.Unlock()
	return d.inner.(step.Admitter).Admit(ctx, m)
}

// engine is what the media engine says that it does.
func (s *server) engine() (wowza.State, error) {
	s.mu.Lock()
	mute := time.Now().Before(s.mute)
	s.mu.Unlock()
	if mute {
		return wowza.State{}, errors.New("the media engine does not say what it does")
	}
	if s.recording() {
		return record()
	}
	return wowza.State{Running: s.serving(), Licence: "L1"}, nil
}

// reaches is what the host finds of another.
func (s *server) reaches(p probe.Spec) probe.Verdict {
	for _, other := range s.everyone() {
		if string(other.Address) == p.Host && (!s.hosts[other.Name].serving() || s.hosts[other.Name].isAway()) {
			return probe.Refused
		}
	}
	return probe.Works
}

// programs are systemd and nft of a host.
type programs struct{ *server }

// Run is step.Runner's.
func (p programs) Run(ctx context.Context, c step.Command) (step.Output, error) {
	s := p.server
	s.mu.Lock()
	fails := s.noProgram
	s.noProgram = false
	s.mu.Unlock()
	if fails {
		return step.Output{Code: 1}, fmt.Errorf("%s: it failed", c.Argv[0])
	}
	switch {
	case c.Argv[0] == nft.Program:
		return s.nft(c), nil
	case c.Argv[0] == "systemd-run" && slices.Contains(c.Argv, "txn-run"):
		id := c.Argv[len(c.Argv)-1]
		s.unit(func(ctx context.Context, l txn.Launcher) error {
			_, err := l.Execute(ctx, id, s.machine(), s.Side().Kinds)
			return err
		})
	}
	return step.Output{}, nil
}

// nft keeps the gate's table, as the kernel does.
func (s *server) nft(c step.Command) step.Output {
	s.mu.Lock()
	defer s.mu.Unlock()
	const table = "table inet valtctl_drain\n"
	switch {
	case slices.Contains(c.Argv, "tables"), slices.Contains(c.Argv, "table"):
		if s.loaded {
			return step.Output{Stdout: []byte(table)}
		}
	case len(c.Stdin) > 0:
		s.loaded = false
	default:
		s.loaded = true
	}
	return step.Output{}
}

func (s *server) machine() *step.Machine {
	return &step.Machine{Root: s.Root, Run: programs{s}, Now: s.unitNow, BootID: s.bootID()}
}

// unitNow is the clock of a program that may be killed whenever it looks at it.
func (s *server) unitNow() time.Time {
	s.dies()
	return s.now()
}

// dies ends the program that asks, if it is being killed.
func (s *server) dies() {
	s.mu.Lock()
	dying := s.dying
	s.mu.Unlock()
	if dying {
		panic(killed{})
	}
}

// unit runs what goes on with transactions in a program of its own. Where that is killed, or
// fails, the timer tries again, as long as it is there.
func (s *server) unit(do func(context.Context, txn.Launcher) error) {
	s.mu.Lock()
	power := s.power
	s.mu.Unlock()
	s.units.Go(func() {
		again := s.program(power, do)
		if !again || sleep.For(power, 5*time.Second) != nil || !s.exists("/etc/systemd/system/valtctl-resume.timer") {
			return
		}
		s.resume()
	})
}

// resume is what the boot unit and the timer run.
func (s *server) resume() {
	s.unit(func(ctx context.Context, l txn.Launcher) error {
		all, err := l.Resume(ctx, s.machine(), s.Side().Kinds)
		for _, r := range all {
			err = errors.Join(err, r.Err)
		}
		return err
	})
}

// program runs something until it ends or is killed, and says whether it did not go well.
func (s *server) program(power context.Context, do func(context.Context, txn.Launcher) error) (again bool) {
	s.mu.Lock()
	s.running++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.running--
		s.mu.Unlock()
		switch r := recover(); r.(type) {
		case nil:
		case killed:
			s.tell("%s: its program is killed", s.name)
			again = true
			s.mu.Lock()
			s.dying = power.Err() != nil // all go with the power
			s.mu.Unlock()
		default:
			panic(r)
		}
	}()
	l := s.Side().Launcher
	l.Store = txn.NewStoreBy(s.Root, txn.Clock{Now: s.unitNow, Uptime: s.uptime, Pause: s.unitPause})
	if err := do(power, l); err != nil {
		s.tell("%s: its program ends: %v", s.name, err)
		return true
	}
	return false
}

func (s *server) unitPause(ctx context.Context, d time.Duration) error {
	s.dies()
	return pause(ctx, d)
}
