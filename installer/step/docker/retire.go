package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/durable"
)

// RetireParams say whose containers come to rest.
type RetireParams struct {
	Site string `json:"site"`
	// LastLook is how this host is asked, right before, whether it records; nil: it never does.
	LastLook *LastLook `json:"last_look,omitempty"`
}

// KindRetire names what RetireKind makes.
const KindRetire step.KindName = "retire"

// RetireKind stops the site's containers on a host whose place another one takes, and sees to it
// that no engine starts them again: the licence and the cameras are the other's from then on. They
// are kept, and so is all that they have written.
func RetireKind() step.Kind {
	return step.KindOf(KindRetire, step.Reversible, func(p RetireParams) (step.Step, error) {
		if p.Site == "" {
			return nil, errors.New("checking what retires a host: the site is not named")
		}
		quiet, err := p.LastLook.Between()
		if err != nil {
			return nil, err
		}
		return &retire{RetireParams: p, quiet: quiet}, nil
	})
}

type retire struct {
	RetireParams
	quiet time.Duration // between the two readings of the last look
}

// served is a container that rests, and what it was.
type served struct {
	Name string `json:"name"`
	former
}

const retiredFile = "retired.json"

// atWork are the site's containers that run, or would after a restart of the engine.
func (r *retire) atWork(ctx context.Context, engine *client.Client) ([]container.InspectResponse, error) {
	all, err := engine.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", LabelSite+"="+r.Site))})
	if err != nil {
		return nil, fmt.Errorf("asking the engine for the site's containers: %w", err)
	}
	var found []container.InspectResponse
	for _, c := range all {
		one, err := engine.ContainerInspect(ctx, c.ID)
		if err != nil {
			return nil, fmt.Errorf("asking the engine for container %s: %w", strings.Join(c.Names, ", "), err)
		}
		if one.State.Running || !restsForGood(one.HostConfig.RestartPolicy) {
			found = append(found, one)
		}
	}
	slices.SortFunc(found, func(a, b container.InspectResponse) int { return strings.Compare(a.Name, b.Name) })
	return found, nil
}

func restsForGood(p container.RestartPolicy) bool {
	return p.Name == "" || p.Name == container.RestartPolicyDisabled
}

func (r *retire) Inspect(ctx context.Context, h *step.Machine) (step.Finding, error) {
	engine, err := h.Docker()
	if err != nil {
		return step.Finding{}, fmt.Errorf("looking for the site's containers: %w", err)
	}
	found, err := r.atWork(ctx, engine)
	if noEngine(err) {
		return step.Finding{}, nil // nothing runs, and nothing will
	}
	if err != nil {
		return step.Finding{}, err
	}
	f := step.Finding{Change: len(found) > 0, Disrupts: step.Nothing}
	for _, c := range found {
		name := strings.TrimPrefix(c.Name, "/")
		f.Diff += fmt.Sprintf("- container %s %s, restart policy %s\n+ container %s stopped for good\n", name, c.State.Status, c.HostConfig.RestartPolicy.Name, name)
		if c.State.Running {
			f.Disrupts = step.Engine
		}
	}
	return f, nil
}

// Apply stops them, not before a last look at what is recorded.
func (r *retire) Apply(ctx context.Context, h *step.Machine) error {
	engine, err := h.Docker()
	if err != nil {
		return fmt.Errorf("stopping the site's containers: %w", err)
	}
	found, err := r.atWork(ctx, engine)
	if err != nil || len(found) == 0 {
		return err
	}
	if err := r.keep(h, found); err != nil {
		return err
	}
	if slices.ContainsFunc(found, func(c container.InspectResponse) bool { return c.State.Running }) {
		if err := r.LastLook.Refuse(ctx, h, r.quiet, "the site's containers"); err != nil {
			return err
		}
	}
	for _, c := range found {
		one, err := restingContainer(c.Name)
		if err == nil {
			err = one.stopCleanly(ctx, engine, &c)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// restingContainer is a container of which only the name and the ways to stop and start it matter.
func restingContainer(name string) (*containerStep, error) {
	name = strings.TrimPrefix(name, "/")
	return newContainer(ContainerParams{Name: name, Image: ImageDigests{Config: "any"}, Disrupts: step.Engine})
}

// keep notes what they are before the first is stopped. What an earlier, cut-off execution noted
// stays.
func (r *retire) keep(h *step.Machine, found []container.InspectResponse) error {
	if h.Keep == "" {
		return nil
	}
	file := filepath.Join(h.Keep, retiredFile)
	if noted, err := durable.IsThere(file); noted || err != nil {
		return err
	}
	var all []served
	for _, c := range found {
		all = append(all, served{strings.TrimPrefix(c.Name, "/"), former{ID: c.ID, Restart: c.HostConfig.RestartPolicy, Running: c.State.Running}})
	}
	text, err := json.Marshal(all)
	if err == nil {
		err = durable.MkdirAll(h.Keep, 0o700)
	}
	if err != nil {
		return fmt.Errorf("noting the site's containers: %w", err)
	}
	return durable.WriteFile(file, text, 0o600)
}

// Undo has them serve again.
func (r *retire) Undo(ctx context.Context, h *step.Machine) error {
	text, err := os.ReadFile(filepath.Join(h.Keep, retiredFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // nothing was stopped
	}
	if err != nil {
		return fmt.Errorf("reading which containers were stopped: %w", err)
	}
	var all []served
	if err := json.Unmarshal(text, &all); err != nil {
		return fmt.Errorf("reading which containers were stopped: %w", err)
	}
	engine, err := h.Docker()
	if err != nil {
		return fmt.Errorf("starting the site's containers again: %w", err)
	}
	var errs []error
	for _, was := range all {
		one, err := restingContainer(was.Name)
		if err == nil {
			err = one.revive(ctx, engine, &was.former)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
