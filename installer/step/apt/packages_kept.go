package apt

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/durable"
)

// keptPlans is how many plans' former packages are kept, newest first: those of a release's
// steps, and of the release before.
const keptPlans = 8

// clearKept removes plans beyond keptPlans, and the files that only they name.
func clearKept(h *step.Machine) error {
	entries, err := os.ReadDir(h.Path(keptDebs))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking at the packages that are kept: %w", err)
	}
	plans, err := plansOf(h, entries)
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	for _, p := range plans[:min(len(plans), keptPlans)] {
		wanted[p.name] = true
		for _, one := range p.Before {
			wanted[path.Base(keptDeb(one))] = true
		}
	}
	var errs []error
	for _, e := range entries {
		if !wanted[e.Name()] {
			errs = append(errs, durable.Remove(h.Path(path.Join(keptDebs, e.Name()))))
		}
	}
	return errors.Join(errs...)
}

// keptPlan is a plan that was noted.
type keptPlan struct {
	prepared
	name string
	made time.Time
}

// plansOf are the plans among the files, newest first. One that cannot be read keeps nothing.
func plansOf(h *step.Machine, entries []fs.DirEntry) ([]keptPlan, error) {
	var plans []keptPlan
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "prepared-") {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return nil, fmt.Errorf("looking at the packages that are kept: %w", err)
		}
		text, err := os.ReadFile(filepath.Join(h.Path(keptDebs), e.Name()))
		if err != nil {
			return nil, fmt.Errorf("looking at the packages that are kept: %w", err)
		}
		p := keptPlan{name: e.Name(), made: info.ModTime()}
		if json.Unmarshal(text, &p.prepared) == nil {
			plans = append(plans, p)
		}
	}
	slices.SortFunc(plans, func(a, b keptPlan) int { return cmp.Or(b.made.Compare(a.made), cmp.Compare(a.name, b.name)) })
	return plans, nil
}
