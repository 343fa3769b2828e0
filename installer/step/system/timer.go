package system

import (
	"context"
	"fmt"

	"ipivs.com/valtctl/installer/step"
)

// TimerParams are a service and the timer that starts it, both by one name.
type TimerParams struct {
	Name    string `json:"name"`
	Service string `json:"service"`
	Timer   string `json:"timer"`
}

// KindTimer names what TimerKind makes.
const KindTimer step.KindName = "timer"

// TimerKind writes both units, enables the timer and starts it. The service is started by
// nothing else.
func TimerKind() step.Kind {
	return step.KindOf(KindTimer, step.OneWay, func(p TimerParams) (step.Step, error) {
		service, err := NewUnit(UnitParams{Name: p.Name + ".service", Content: p.Service})
		if err != nil {
			return nil, err
		}
		clock, err := NewUnit(UnitParams{Name: p.Name + ".timer", Content: p.Timer, WantedBy: "timers.target"})
		if err != nil {
			return nil, err
		}
		return &timer{name: p.Name + ".timer", units: []*Unit{service, clock}}, nil
	})
}

type timer struct {
	name  string
	units []*Unit
}

func (t *timer) Inspect(ctx context.Context, h *step.Machine) (step.Finding, error) {
	all := step.Finding{Disrupts: step.Nothing}
	for _, u := range t.units {
		found, err := u.Inspect(ctx, h)
		if err != nil {
			return all, err
		}
		all.Change = all.Change || found.Change
		all.Diff += found.Diff
	}
	if _, err := h.Run.Run(ctx, step.Command{Argv: []string{"systemctl", "--quiet", "is-active", t.name}}); err != nil {
		all.Change = true
		all.Diff += fmt.Sprintf("- %s does not run\n+ %s runs\n", t.name, t.name)
	}
	return all, nil
}

func (t *timer) Apply(ctx context.Context, h *step.Machine) error {
	for _, u := range t.units {
		if err := u.Apply(ctx, h); err != nil {
			return err
		}
	}
	if _, err := h.Run.Run(ctx, step.Command{Argv: []string{"systemctl", "restart", t.name}}); err != nil {
		return fmt.Errorf("starting %s: %w", t.name, err)
	}
	return nil
}
