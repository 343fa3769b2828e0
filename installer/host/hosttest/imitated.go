package hosttest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/firewall"
	"ipivs.com/valtctl/installer/step/kinds"
	"ipivs.com/valtctl/installer/step/nft"
)

// systemd runs a transaction's unit as a goroutine, which outlives connections.
type systemd struct{ h *Host }

func (s systemd) Run(ctx context.Context, c step.Command) (step.Output, error) {
	h := s.h
	if h.Programs != nil {
		return h.Programs.Run(ctx, c)
	}
	if c.Argv[0] == nft.Program { // whatever was loaded is in force
		if slices.Contains(c.Argv, "tables") {
			return step.Output{Stdout: []byte("table inet valtctl\n")}, nil
		}
		return step.Output{Stdout: []byte("table inet valtctl {\n}\n")}, nil
	}
	if c.Argv[0] != "systemd-run" || !slices.Contains(c.Argv, "txn-run") || h.Crash {
		return step.Output{}, nil
	}
	id := c.Argv[len(c.Argv)-1]
	ctx = context.WithoutCancel(ctx)
	h.running.Go(func() {
		m := &step.Machine{Root: h.Root, Run: s, Now: h.now, BootID: "boot"}
		if _, err := h.side.Launcher.Execute(ctx, id, m, h.side.Kinds); err != nil {
			h.t.Errorf("running transaction %s: %v", id, err)
		}
	})
	return step.Output{}, nil
}

// kinds has every kind, without effect. A firewall is the real one over
// the imitated nft, since it speaks with the controller.
func (h *Host) kinds() step.Registry {
	var all []step.Kind
	for _, k := range kinds.All() {
		all = append(all, h.imitation(k))
	}
	return step.NewRegistry(all)
}

func (h *Host) imitation(k step.Kind) step.Kind {
	return step.Kind{Name: k.Name, New: func(raw json.RawMessage) (step.Step, error) {
		var params bytes.Buffer // without the indentation that a request's file has
		err := json.Compact(&params, raw)
		if k.Name == firewall.KindFirewall && params.String() != "{}" {
			return k.New(raw)
		}
		return imitated{h, k.Name, params.String()}, err
	}}
}

// imitated is a step that remembers that it was applied.
type imitated struct {
	h      *Host
	kind   step.KindName
	params string
}

func (s imitated) Inspect(context.Context, *step.Machine) (step.Finding, error) {
	if err := s.h.Broken[s.kind]; err != nil {
		return step.Finding{}, err
	}
	if look := s.h.Looks[s.kind]; look != nil {
		if amiss := look(s.params); amiss != "" {
			return step.Finding{Change: true, Diff: "- " + amiss + "\n", Disrupts: step.Nothing}, nil
		}
		return step.Finding{}, nil
	}
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	if s.h.applied[string(s.kind)+s.params] {
		return step.Finding{}, nil
	}
	disrupts := s.h.Disrupts[s.kind]
	if disrupts == "" {
		disrupts = step.Nothing
	}
	return step.Finding{Change: true, Diff: "+ " + string(s.kind) + "\n", Fetch: s.h.Fetches[s.kind], Disrupts: disrupts, Admits: s.h.Admits[s.kind]}, nil
}

func (s imitated) Apply(ctx context.Context, m *step.Machine) error {
	if q := s.h.Asks[s.kind]; q != "" && strings.Contains(s.params, `"ask_`) {
		if refused, err := step.Ask(ctx, m, q, "asking", time.Minute); err != nil || refused != "" {
			return errors.Join(err, fmt.Errorf("%w: %s", step.ErrNotDrained, refused))
		}
	}
	if s.h.Hold != nil {
		select {
		case <-s.h.Hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err := s.h.Fails[s.kind]; err != nil {
		return err
	}
	s.h.mu.Lock()
	defer s.h.mu.Unlock()
	s.h.applied[string(s.kind)+s.params] = true
	s.h.order = append(s.h.order, s.kind)
	return nil
}
