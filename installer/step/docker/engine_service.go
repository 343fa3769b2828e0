package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"ipivs.com/valtctl/installer/step"
)

// Where systemd keeps that Docker starts at boot (systemctl(1), enable).
const (
	dockerUnit    = "docker.service"
	dockerEnabled = "/etc/systemd/system/multi-user.target.wants/docker.service"
)

// EngineServiceParams is empty: there is one engine.
type EngineServiceParams struct{}

// KindEngineService names what EngineServiceKind makes.
const KindEngineService step.KindName = "engine-service"

// EngineServiceKind sees that the Docker engine answers and starts at boot, also where
// somebody stopped or disabled it. It never restarts one that answers.
func EngineServiceKind() step.Kind {
	return step.KindOf(KindEngineService, step.Reversible, func(EngineServiceParams) (step.Step, error) { return engineService{}, nil })
}

type engineService struct{}

func (engineService) Inspect(ctx context.Context, h *step.Machine) (step.Finding, error) {
	var diff string
	if _, err := os.Lstat(h.Path(dockerEnabled)); errors.Is(err, fs.ErrNotExist) {
		diff += "- " + dockerUnit + " does not start at boot\n+ " + dockerUnit + " starts at boot\n"
	} else if err != nil {
		return step.Finding{}, fmt.Errorf("looking whether %s starts at boot: %w", dockerUnit, err)
	}
	engine, err := h.Docker()
	if err != nil {
		return step.Finding{}, fmt.Errorf("asking the Docker engine: %w", err)
	}
	if _, err := engine.Ping(ctx); noEngine(err) {
		diff += "- the Docker engine does not answer\n+ the Docker engine answers\n"
	} else if err != nil {
		return step.Finding{}, fmt.Errorf("asking the Docker engine: %w", err)
	}
	return step.Finding{Change: diff != "", Diff: diff, Disrupts: step.Nothing}, nil
}

func (engineService) Apply(ctx context.Context, h *step.Machine) error {
	if _, err := h.Run.Run(ctx, step.Command{Argv: []string{"systemctl", "enable", "--now", dockerUnit}}); err != nil {
		return fmt.Errorf("starting the Docker engine (systemctl status docker says more): %w", err)
	}
	return nil
}

// Undo leaves the engine running.
func (engineService) Undo(context.Context, *step.Machine) error { return nil }
