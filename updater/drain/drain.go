package drain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/wowza"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/sleep"
)

// The times of a drain where its parameters say nothing.
const (
	defaultQuiet  = 5 * time.Second
	defaultWithin = 30 * time.Minute
)

// KindDrain names what DrainKind makes.
const KindDrain step.KindName = "drain"

// DrainKind closes a host's gate for new sessions and waits until nothing is recorded
// there. The gate stays closed until the transaction is confirmed or taken back; in one
// that is neither (valtctl drain), until it is opened.
func DrainKind() step.Kind {
	return step.Kind{Name: KindDrain, Way: step.Reversible, New: func(raw json.RawMessage) (step.Step, error) {
		var p Params
		if err := strictly(raw, &p); err != nil {
			return nil, fmt.Errorf("reading the parameters of a drain step: %w", err)
		}
		return newDrain(p)
	}}
}

// Kinds lists the kinds of this package, for whoever lists them all.
func Kinds() []step.Kind { return []step.Kind{DrainKind(), OpenKind()} }

// strictly decodes parameters and refuses those that this program does not know.
func strictly(raw json.RawMessage, into any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	return d.Decode(into)
}

type drain struct {
	Params
	hooks
	gate   *gate
	quiet  time.Duration
	within time.Duration
	// answered is how long an answer about the other hosts is waited for.
	answered time.Duration
}

func newDrain(p Params) (*drain, error) {
	d := &drain{Params: p, quiet: defaultQuiet, within: defaultWithin, answered: elsewhereWithin}
	if err := p.check(); err != nil {
		return nil, err
	}
	for text, into := range map[string]*time.Duration{p.Quiet: &d.quiet, p.Within: &d.within} {
		if text == "" {
			continue
		}
		var err error
		if *into, err = time.ParseDuration(text); err != nil {
			return nil, fmt.Errorf("reading the parameters of a drain step: %w", err)
		}
	}
	var err error
	if d.hooks, err = newHooks(p); err != nil {
		return nil, err
	}
	d.gate, err = newGate()
	return d, err
}

func (d *drain) Inspect(ctx context.Context, h *step.Machine) (step.Finding, error) {
	diff, err := d.gate.closedDiff(ctx, h, d.rules())
	if err != nil {
		return step.Finding{}, err
	}
	is, err := d.gate.closer(h)
	if err != nil {
		return step.Finding{}, err
	}
	diff += d.handedOver(h, is)
	busy, err := d.busy(ctx, h)
	if err != nil {
		return step.Finding{}, err
	}
	for _, r := range busy {
		diff += fmt.Sprintf("- %s: %s\n", r.Name, r.State)
	}
	return step.Finding{Change: diff != "", Diff: diff, Disrupts: step.Nothing}, nil
}

// handedOver is what changes about who opens the gate: one that a transaction has closed, and left closed, is
// a person's once that person drains the host; one of a drain that was cut off is an update's.
func (d *drain) handedOver(h *step.Machine, is closer) string {
	switch {
	case h.Keep == "" && is != nobody:
		return "- the gate is opened by the transaction that closed it, or that repairs the host\n+ the gate is closed until: valtctl undrain\n"
	case h.Keep != "" && is == cutOff:
		return "- the gate is closed by a drain that was cut off\n+ the gate is closed until this is over\n"
	}
	return ""
}

// busy are the recorders that a stop would cut now.
func (d *drain) busy(ctx context.Context, h *step.Machine) ([]wowza.Recorder, error) {
	if d.Engine == nil || d.Interrupt {
		return nil, nil
	}
	s, err := wowza.Look(ctx, *d.Engine, h.Root)
	return s.Busy(), err
}

// Apply closes the gate and waits until nothing is recorded, here and, where this host drives
// the recordings of others, there. Where that fails and nothing takes it back, a gate that was
// open is open again. Otherwise the gate is a person's from then on, whoever had closed it.
func (d *drain) Apply(ctx context.Context, h *step.Machine) error {
	if err := d.before(ctx, h); err != nil {
		return err
	}
	err := d.untilQuiet(ctx, h)
	if h.Keep != "" {
		return err
	}
	if err == nil {
		return d.gate.keep(h)
	}
	opening, cancel := context.WithTimeout(context.WithoutCancel(ctx), openWithin) // also where its time is over
	defer cancel()
	return errors.Join(err, d.Leave(opening, h))
}

// Leave opens a gate that a drain by hand has closed and that was not drained to its end, by this execution
// or one that was cut off: nobody would know of it.
func (d *drain) Leave(ctx context.Context, h *step.Machine) error {
	is, err := d.gate.closer(h)
	if err != nil || is != cutOff || h.Keep != "" {
		return err
	}
	err = d.gate.open(ctx, h)
	d.run(ctx, h, d.afterAdmit)
	return err
}

// openWithin is how long nft and systemd may take to open a gate in all.
const openWithin = time.Minute

// untilQuiet closes the gate and waits.
func (d *drain) untilQuiet(ctx context.Context, h *step.Machine) error {
	if d.Interrupt || d.Engine == nil && !d.AskElsewhere {
		return d.shut(ctx, h, d.rules())
	}
	began := h.Now()
	for {
		busy, err := d.closeWhenQuiet(ctx, h)
		if err != nil {
			return err
		}
		if busy == "" {
			return nil
		}
		left := d.within - h.Now().Sub(began)
		if left <= 0 {
			return &problem.Error{Kind: problem.Halted, Doing: "waiting for the end of recordings",
				Err: fmt.Errorf("%w after %s: %s", step.ErrNotDrained, d.within, busy),
				Fix: "run the command again when they have ended; to cut them: --host H --interrupt-recordings"}
		}
		h.Report(step.Progress{Text: fmt.Sprintf("waiting for %s, %s left", busy, left.Round(time.Second))})
		if err := sleep.For(ctx, min(left, time.Second)); err != nil {
			return fmt.Errorf("waiting for the end of recordings: %w", err)
		}
	}
}

// closeWhenQuiet closes the gate for new sessions, and where nothing is recorded then for
// everything else: from there on nobody can begin a recording, and two readings must find
// none. Otherwise it says what is recorded.
func (d *drain) closeWhenQuiet(ctx context.Context, h *step.Machine) (busy string, err error) {
	if d.Engine != nil {
		busy, err := d.look(ctx, h)
		if err != nil {
			return "", err
		}
		if len(busy) > 0 {
			return names(busy), d.shut(ctx, h, d.waiting())
		}
	}
	if err := d.shut(ctx, h, d.rules()); err != nil {
		return "", err
	}
	if d.Engine != nil {
		busy, err := wowza.Quiet(ctx, *d.Engine, h.Root, d.quiet)
		if err != nil {
			return "", notKnown(err)
		}
		if len(busy) > 0 {
			return names(busy), nil
		}
	}
	if !d.AskElsewhere {
		return "", nil
	}
	return d.elsewhere(ctx, h)
}

// elsewhereWithin is how long an answer about the other hosts is waited for. They are asked
// twice, with the quiet time in between.
const elsewhereWithin = 3 * time.Minute

// elsewhere asks who follows what is recorded on the site's other hosts, now that nobody can
// begin a recording by this one. While one goes on the gate is open: whoever watches it must
// be able to end it.
func (d *drain) elsewhere(ctx context.Context, h *step.Machine) (busy string, err error) {
	refused, err := step.Ask(ctx, h, step.Quiet, "asking what is recorded on the other hosts", d.answered)
	if errors.Is(err, step.ErrNoAnswer) {
		return "", &problem.Error{Kind: problem.Failed, Doing: "asking what is recorded on the other hosts", Err: err,
			Fix: "what is recorded is not known, so nothing was stopped; run the command again and let it run"}
	}
	if err != nil || refused == "" {
		return "", err
	}
	return refused, d.reopen(ctx, h)
}

func (d *drain) look(ctx context.Context, h *step.Machine) ([]wowza.Recorder, error) {
	s, err := wowza.Look(ctx, *d.Engine, h.Root)
	if err != nil {
		return nil, notKnown(err)
	}
	return s.Busy(), nil
}

func notKnown(err error) error {
	return &problem.Error{Kind: problem.Failed, Doing: "looking for recordings", Err: err,
		Fix: "what is recorded is not known, so nothing was stopped; look at the media engine: valtctl logs"}
}

// shut puts the gate's rules in force, unless they are, and notes first whose doing it is.
func (d *drain) shut(ctx context.Context, h *step.Machine, rules string) error {
	diff, err := d.gate.closedDiff(ctx, h, rules)
	if err != nil {
		return err
	}
	left, err := d.gate.left(h)
	if err != nil {
		return err
	}
	is, err := d.gate.closer(h)
	if err != nil {
		return err
	}
	by := nobody
	switch {
	case len(left) == 0 && h.Keep == "":
		by = cutOff // unless it comes to its end
	case len(left) == 0, h.Keep != "" && is == cutOff:
		by = transaction
	}
	if by != nobody {
		if err := d.gate.mark(h, by); err != nil {
			return err
		}
	}
	if diff == "" {
		return nil
	}
	return d.gate.close(ctx, h, rules)
}

func names(busy []wowza.Recorder) string {
	var all []string
	for _, r := range busy {
		all = append(all, r.Name+" ("+r.State+")")
	}
	return strings.Join(all, ", ")
}

// Undo opens the gate again, if it was a transaction that closed it.
func (d *drain) Undo(ctx context.Context, h *step.Machine) error { return d.release(ctx, h) }

// Admit does the same: sessions are welcome on what was confirmed.
func (d *drain) Admit(ctx context.Context, h *step.Machine) error { return d.release(ctx, h) }

func (d *drain) release(ctx context.Context, h *step.Machine) error {
	if err := d.reopen(ctx, h); err != nil {
		return err
	}
	return d.after(ctx, h)
}

// reopen opens the gate, if it was a transaction that closed it: this one, or one before it that
// ended in quarantine and has left its gate to whoever repairs the host. A drain by hand opens its own alone.
func (d *drain) reopen(ctx context.Context, h *step.Machine) error {
	is, err := d.gate.closer(h)
	if err != nil || is == nobody {
		return err
	}
	if h.Keep == "" && is != cutOff {
		return nil
	}
	return d.gate.open(ctx, h)
}

// KindOpen names what OpenKind makes.
const KindOpen step.KindName = "open"

// OpenKind opens a host's gate (valtctl undrain). Of Params it takes After.
func OpenKind() step.Kind {
	return step.Kind{Name: KindOpen, Way: step.OneWay, New: func(raw json.RawMessage) (step.Step, error) {
		var p Params
		if err := strictly(raw, &p); err != nil {
			return nil, fmt.Errorf("reading the parameters of a step that opens the gate: %w", err)
		}
		h, err := newHooks(p)
		if err != nil {
			return nil, err
		}
		g, err := newGate()
		return &openStep{h, g}, err
	}}
}

type openStep struct {
	hooks
	gate *gate
}

func (o *openStep) Inspect(_ context.Context, h *step.Machine) (step.Finding, error) {
	left, err := o.gate.left(h)
	if err != nil || len(left) == 0 {
		return step.Finding{}, err
	}
	return step.Finding{Change: true, Diff: "- the gate is closed for new sessions\n+ the gate is open\n", Disrupts: step.Nothing}, nil
}

func (o *openStep) Apply(ctx context.Context, h *step.Machine) error {
	if err := o.gate.open(ctx, h); err != nil {
		return err
	}
	o.run(ctx, h, o.afterAdmit)
	return nil
}
