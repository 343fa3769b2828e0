package schedule

import (
	"context"
	"fmt"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/keyuse"
	"ipivs.com/valtctl/installer/restrict"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/updater"
	"ipivs.com/valtctl/updater/drain"
	"ipivs.com/valtctl/updater/window"
)

// JudgeOptions are what a host judges the key's requests with. All but Now, Clock.Ahead and
// Clock.Given is needed.
type JudgeOptions struct {
	Folder string // of the host's copy of the site file: facts.Restricted
	Uses   string // folder of the record: facts.KeyUses
	Clock  restrict.Clock
	Now    func() time.Time // that releases are judged by; nil: Clock.Now
	Is     agent.FactsReply // what the host says of itself
	// Fence and Transactions are as restrict.Judge's.
	Fence        func() (int64, error)
	Transactions func() ([]txn.Summary, error)
}

// Judge is what a host judges the key's requests by: its own copy of the site file, with what of
// the schedule and the rollout stands above package restrict, the windows and the drain.
func Judge(o JudgeOptions) (*restrict.Judge, error) {
	if o.Now == nil {
		o.Now = o.Clock.Now
	}
	own, err := restrict.OpenLocalPlan(restrict.LocalOptions{Folder: o.Folder, Now: o.Now, Facts: o.Is.Facts, Seen: o.Is.TrustedState, Phased: Phased})
	if err != nil {
		return nil, err
	}
	s, _ := own.About()
	windows, err := window.Of(s.Updates)
	if err != nil {
		return nil, err
	}
	home := fleet.LeaseHost(s).Name
	return &restrict.Judge{Own: ownPlan{own}, Hours: hours{windows}, Clock: o.Clock, Home: home, Fence: o.Fence, Transactions: o.Transactions,
		Record: KeyRecord(o.Uses, home, o.Clock.Now)}, nil
}

// KeyRecord is the record that a host keeps of the key of a home.
func KeyRecord(folder, home string, now func() time.Time) keyuse.File {
	return keyuse.File{Dir: folder, Now: now, Who: restrict.Who(home)}
}

// hours are the site's maintenance windows as the judge asks for them.
type hours struct{ windows window.Schedule }

func (h hours) Window(now time.Time) (open, closes time.Time, ok bool) {
	span, ok := h.windows.Around(now)
	return span.Open, span.Close, ok
}

func (h hours) Ahead(now time.Time) bool { return Ahead(h.windows, now) }

func (h hours) Next(now time.Time) string {
	open, ok := h.windows.Next(now)
	if !ok {
		return "no other one follows"
	}
	return "the next one opens on " + When(h.windows, open)
}

// ownPlan is a host's own view of its site as the judge asks for it.
type ownPlan struct{ *restrict.LocalPlan }

// Plan is what the host would do for a release, with the drain that the rollout puts before it.
func (o ownPlan) Plan(ctx context.Context, version string) (*restrict.Plan, error) {
	t, err := o.LocalPlan.Plan(ctx, version)
	if err != nil {
		return nil, err
	}
	drain := func(within string) (step.Spec, error) {
		var d time.Duration
		if within != "" {
			var err error
			if d, err = time.ParseDuration(within); err != nil || d <= 0 || d > updater.DefaultDrain {
				return step.Spec{}, fmt.Errorf("sessions are kept out unattended for %s at most, and not for %.40q", updater.DefaultDrain, within)
			}
		}
		s, self := o.About()
		params, err := drain.For(s, self, t.Manifest, d, false)
		if err != nil {
			return step.Spec{}, err
		}
		return updater.DrainSpec(params)
	}
	return &restrict.Plan{Manifest: t.Manifest, Plan: t.Plan, Digest: t.Digest, Drain: drain, DrainMost: updater.DefaultDrain, State: o.State(),
		Offered: func(ctx context.Context, has string, ahead bool) error { return o.Offered(ctx, has, version, ahead) }}, nil
}
