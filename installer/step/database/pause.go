package database

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

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/repos/durable"
)

// stillness is a database's container and all that writes to it, stopped, as they were before. It is kept on the disk
// from before the first stop until everything serves again.
type stillness struct {
	Database docker.Paused   `json:"database"`
	Writers  []docker.Paused `json:"writers"`
	Data     place           `json:"data"`
}

const (
	stillFile  = "still.json"
	provedFile = "proved" // the proof's folder holds what the way back needs
)

// kept is a file of the step's own folder.
func kept(h *step.Machine, name string) string { return filepath.Join(h.Keep, name) }

// mark writes a file of the step's own folder; has looks for it.
func mark(h *step.Machine, name, text string) error {
	if err := durable.MkdirAll(h.Keep, 0o700); err != nil {
		return fmt.Errorf("noting how far this is: %w", err)
	}
	return durable.WriteFile(kept(h, name), []byte(text), 0o600)
}

func has(h *step.Machine, name string) (bool, error) { return durable.IsThere(kept(h, name)) }

// readStillness is what was noted; nil: nothing was stopped.
func readStillness(h *step.Machine) (*stillness, error) {
	text, err := os.ReadFile(kept(h, stillFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var s stillness
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return nil, fmt.Errorf("reading what was stopped: %w", err)
	}
	return &s, nil
}

// stop notes how everything serves, if that is not noted yet, and stops it: what writes first, the database last and
// in its own time. A database that was killed is started again and stopped in order (docker.Paused.Stop).
func (p Params) stop(ctx context.Context, h *step.Machine) (*stillness, error) {
	s, err := readStillness(h)
	if err != nil {
		return nil, err
	}
	if s == nil {
		if s, err = p.look(ctx, h); err != nil {
			return nil, err
		}
		text, err := json.Marshal(s)
		if err != nil {
			return nil, fmt.Errorf("noting what is stopped: %w", err)
		}
		if err := mark(h, stillFile, string(text)); err != nil {
			return nil, err
		}
	}
	return s, s.stop(ctx, h)
}

// look is how everything serves now.
func (p Params) look(ctx context.Context, h *step.Machine) (*stillness, error) {
	m, err := modelOf(ctx, h, p.Container)
	if err != nil {
		return nil, err
	}
	engine, err := h.Docker()
	if err != nil {
		return nil, fmt.Errorf("looking who writes to the database: %w", err)
	}
	all, err := engine.ContainerList(ctx, container.ListOptions{All: true,
		Filters: filters.NewArgs(filters.Arg("label", docker.LabelSite), filters.Arg("label", docker.LabelRole+"="+p.Role))})
	if err != nil {
		return nil, fmt.Errorf("looking who writes to the database: %w", err)
	}
	s := &stillness{Data: m.place()}
	for _, c := range all {
		name := strings.TrimPrefix(slices.Min(c.Names), "/")
		found, err := docker.LookAt(ctx, h, name)
		if err != nil {
			return nil, err
		}
		switch {
		case found == nil, name == throwawayName(p.Container):
		case name == p.Container:
			s.Database = *found
		default:
			s.Writers = append(s.Writers, *found)
		}
	}
	slices.SortFunc(s.Writers, func(a, b docker.Paused) int { return strings.Compare(a.Name, b.Name) })
	return s, nil
}

// stop stops what runs now under the names, whichever release it is of.
func (s *stillness) stop(ctx context.Context, h *step.Machine) error {
	for _, w := range s.Writers {
		if err := w.Stop(ctx, h); err != nil {
			return err
		}
	}
	if err := s.dropThrowaway(ctx, h); err != nil {
		return err
	}
	return s.Database.Stop(ctx, h)
}

// dropThrowaway ends a throwaway that an execution which was cut off left, in its own time: it may be over the data.
func (s *stillness) dropThrowaway(ctx context.Context, h *step.Machine) error {
	left, err := docker.LookAt(ctx, h, throwawayName(s.Database.Name))
	if err != nil || left == nil {
		return err
	}
	if err := left.Stop(ctx, h); err != nil {
		return err
	}
	engine, err := h.Docker()
	if err != nil {
		return fmt.Errorf("removing a throwaway database: %w", err)
	}
	return remove(ctx, engine, left.Name)
}

// revive has everything serve as it did: the database first.
func (s *stillness) revive(ctx context.Context, h *step.Machine) error {
	if err := s.Database.Revive(ctx, h); err != nil {
		return err
	}
	for _, w := range s.Writers {
		if err := w.Revive(ctx, h); err != nil {
			return err
		}
	}
	return nil
}
