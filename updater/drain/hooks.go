package drain

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/durable"
)

// hooks are the site's own programs around a drain. They are told what happens, and decide
// nothing: one that fails, or is not over in time, is told and stops nothing.
type hooks struct{ beforeDrain, afterAdmit step.OwnProgram }

func newHooks(p Params) (hooks, error) {
	if p.Before == "" && p.After == "" {
		return hooks{}, nil
	}
	within, err := time.ParseDuration(p.HookWithin)
	if err != nil {
		return hooks{}, fmt.Errorf("reading how long a hook may take: %w", err)
	}
	for _, path := range []string{p.Before, p.After} {
		if path == "" {
			continue
		}
		if err := step.CleanPath(path); err != nil {
			return hooks{}, err
		}
	}
	return hooks{step.OwnProgram{Path: p.Before, Within: within}, step.OwnProgram{Path: p.After, Within: within}}, nil
}

// run runs one of them, if there is one.
func (k hooks) run(ctx context.Context, h *step.Machine, program step.OwnProgram) {
	if program.Path == "" {
		return
	}
	h.Report(step.Progress{Text: "running the site's own " + program.Path})
	if err := program.Run(ctx, h); err != nil {
		h.Told(fmt.Sprintf("the site's own hook failed: %v", err))
	}
}

// hooked is in the step's own folder once the program before the drain was begun: then the one
// after it is due.
const hooked = "hooked"

// before tells the site of the drain, once in a transaction.
func (d *drain) before(ctx context.Context, h *step.Machine) error {
	if d.Before == "" && d.After == "" {
		return nil
	}
	if h.Keep != "" {
		mark := filepath.Join(h.Keep, hooked)
		if _, err := os.Stat(mark); err == nil {
			return nil
		} else if !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("looking whether the site was told of the drain: %w", err)
		}
		if err := durable.MkdirAll(h.Keep, 0o700); err != nil {
			return fmt.Errorf("telling the site of the drain: %w", err)
		}
		if err := durable.WriteFile(mark, nil, 0o600); err != nil {
			return fmt.Errorf("telling the site of the drain: %w", err)
		}
	}
	d.run(ctx, h, d.beforeDrain)
	return nil
}

// after tells the site that it is over, if it was told of its beginning.
func (d *drain) after(ctx context.Context, h *step.Machine) error {
	mark := filepath.Join(h.Keep, hooked)
	if _, err := os.Stat(mark); h.Keep == "" || errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("looking whether the site was told of the drain: %w", err)
	}
	d.run(ctx, h, d.afterAdmit)
	return durable.Remove(mark)
}
