package updater

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"ipivs.com/valtctl/installer/journal"
)

// Intent is what a rollout is about. It is kept beside the lease, so that any controller
// with the site file can go on with it.
type Intent struct {
	Kind      Kind                  `json:"kind"`
	To        string                `json:"to"`    // of this leg
	Final     string                `json:"final"` // of all legs
	From      string                `json:"from"`
	Run       string                `json:"run"`
	Who       string                `json:"who"`
	Hosts     []string              `json:"hosts,omitempty"` // as --host named them
	Interrupt bool                  `json:"interrupt,omitempty"`
	Soak      time.Duration         `json:"soak_ns"`
	Drain     time.Duration         `json:"drain_ns"`
	Until     time.Time             `json:"until,omitzero"` // when the window closes
	Done      map[string]HostRecord `json:"done,omitempty"`
	// Before is what hosts served that are being changed or watched: they are over once they
	// are Done.
	Before map[string]Begun `json:"before,omitempty"`
	// Replace is what a replacement is about.
	Replace *Replacing `json:"replace,omitempty"`
}

// Begun is a host whose change was about to begin.
type Begun struct {
	Run    string `json:"run"` // whose transaction it is
	Served State  `json:"served"`
}

// run does the rollout while the site's lease is held.
func (u *update) run(ctx context.Context, r *Rollout) (*Report, error) {
	intent := &Intent{Kind: u.kind, To: r.About.To, Final: u.final, From: u.from, Run: u.Run, Who: u.Who, Hosts: u.Hosts,
		Interrupt: u.Interrupt, Soak: u.Soak, Drain: u.DrainWithin, Until: u.Until, Done: maps.Clone(u.done), Before: maps.Clone(u.before)}
	note, err := json.Marshal(intent)
	if err != nil {
		return nil, fmt.Errorf("writing down what the rollout is about: %w", err)
	}
	if u.StageOnly {
		note = nil
	}
	held, holding, err := u.work.Hold(ctx, note)
	if err != nil {
		return nil, err
	}
	if err := u.takeOverDrains(holding); err != nil {
		return nil, errors.Join(err, held.Release(ctx))
	}
	end, err := u.comeBack(ctx)
	if err != nil {
		return nil, errors.Join(err, held.Release(ctx))
	}
	report, err := u.recorded(holding, r, &intentKeeper{intent: intent,
		note: func(note json.RawMessage) error { return held.Note(ctx, note) }})
	done := over(report) && ctx.Err() == nil
	if done {
		err = errors.Join(err, held.Note(ctx, json.RawMessage("null")))
	}
	return report, errors.Join(err, end(done), held.Release(ctx))
}

// comeBack prepares for a reboot of this machine, and returns what ends that.
func (u *update) comeBack(ctx context.Context) (end func(over bool) error, err error) {
	if u.Comeback == nil || u.StageOnly {
		return func(bool) error { return nil }, nil
	}
	return func(over bool) error { return u.Comeback.End(context.WithoutCancel(ctx), over) }, u.Comeback.Arm(ctx)
}

// over says whether nothing is left to go on with.
func over(r *Report) bool { return r != nil && !r.Ended.IsZero() && r.Count(Running) == 0 }

// recorded does the rollout with a journal of what it does.
func (u *update) recorded(ctx context.Context, r *Rollout, k *intentKeeper) (report *Report, err error) {
	if u.StageOnly {
		return nil, stageAll(ctx, r)
	}
	if k.Recorder, err = OpenRecorder(u.StateDir, u.Run, u.Now); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, k.Close()) }()
	r.Record = k
	if d, ok := r.Driver.(*driver); ok {
		d.note = func(host string, before State) error { return k.Record(recordBefore, host, before) }
	}
	return r.Run(ctx)
}

// intentKeeper records what a rollout does, at the controller and beside the lease.
type intentKeeper struct {
	*Recorder
	mu     sync.Mutex
	intent *Intent
	note   func(json.RawMessage) error
}

// Record also tells the lease's host of a host that is about to be changed, or has ended. Where
// that fails, a resumed rollout looks at the host again: it finds it as wanted, and compares it
// with nothing.
func (k *intentKeeper) Record(kind journal.Kind, host string, data any) error {
	if err := k.Recorder.Record(kind, host, data); err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch d := data.(type) {
	case State:
		put(&k.intent.Before, host, Begun{k.intent.Run, d})
	case HostRecord:
		if d.Outcome == Running || d.Outcome == NotStarted {
			return nil
		}
		put(&k.intent.Done, host, d)
		delete(k.intent.Before, host)
	default:
		return nil
	}
	note, err := json.Marshal(k.intent)
	if err != nil {
		return fmt.Errorf("writing down how far the rollout is: %w", err)
	}
	_ = k.note(note)
	return nil
}

// put sets a value in a map that may not be there yet.
func put[V any](all *map[string]V, name string, value V) {
	if *all == nil {
		*all = map[string]V{}
	}
	(*all)[name] = value
}

// stageAll fetches everywhere and does nothing else.
func stageAll(ctx context.Context, r *Rollout) error {
	errs := make([]error, len(r.Hosts))
	var wg sync.WaitGroup
	for i, h := range r.Hosts {
		wg.Go(func() { errs[i] = r.Driver.Stage(ctx, h.Name) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
