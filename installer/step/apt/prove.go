package apt

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/apt"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/problem"
)

// carriedKeys is where apt finds the keys of a bundle's sources before they are the host's.
const carriedKeys = carriedFolder + "/keys"

// ProveBundle has this host's own apt plan the packages of a plan, from the run's bundle and
// nothing else, and returns the files that this takes and the host has not. Specs are the
// plan's sources, which need not be there yet, and its steps of packages. Nothing is changed
// but the folder that apt reads a bundle in: what it reads there is not read again later.
// A host whose packages are damaged takes what mending it brings, which nobody can say: none
// is returned. A plan that a step would refuse is refused here.
func ProveBundle(ctx context.Context, h *step.Machine, specs []step.Spec) ([]apt.Package, error) {
	sources, steps, err := provable(specs)
	if err != nil || len(steps) == 0 {
		return nil, err
	}
	state, err := readDpkg(h)
	if err != nil || len(state.damage()) > 0 {
		return nil, err
	}
	t := newTransaction(h, waiting{})
	if err := t.proveFrom(ctx, steps[0].Bundle, sources); err != nil {
		return nil, again(err)
	}
	var taken []apt.Package
	seen := map[string]bool{}
	for _, p := range steps {
		files, err := p.takes(ctx, t, state)
		if err != nil {
			return nil, again(err)
		}
		for _, one := range files {
			if !seen[one.Key()] {
				seen[one.Key()], taken = true, append(taken, one)
			}
		}
	}
	return taken, nil
}

// provable sorts specs into sources and packages.
func provable(specs []step.Spec) (sources []*aptSource, steps []*packages, err error) {
	for _, spec := range specs {
		switch spec.Kind {
		case KindSource:
			var p SourceParams
			if err := json.Unmarshal(spec.Params, &p); err != nil {
				return nil, nil, fmt.Errorf("reading step %s: %w", spec.ID, err)
			}
			s, err := newAptSource(p)
			if err != nil {
				return nil, nil, err
			}
			sources = append(sources, s)
		case KindPackages, KindDownload:
			var p PackagesParams
			if err := json.Unmarshal(spec.Params, &p); err != nil {
				return nil, nil, fmt.Errorf("reading step %s: %w", spec.ID, err)
			}
			s, err := newPackages(p, waiting{})
			if err != nil {
				return nil, nil, err
			}
			if s.Bundle == "" {
				return nil, nil, fmt.Errorf("reading step %s: it takes nothing from a bundle", spec.ID)
			}
			steps = append(steps, s)
		}
	}
	return sources, steps, nil
}

// proveFrom has apt read the lists of the planned sources in the bundle. It waits for nobody:
// no lock of the host is taken.
func (t *transaction) proveFrom(ctx context.Context, secret string, sources []*aptSource) error {
	c, err := t.reachBundle(secret)
	if err != nil {
		return err
	}
	planned := map[string][]byte{}
	if err := durable.MkdirAll(t.h.Path(carriedKeys), 0o755); err != nil {
		return fmt.Errorf("having apt read the bundle: %w", err)
	}
	for _, s := range sources {
		content := s.content
		if s.keyring != nil {
			key := path.Join(carriedKeys, path.Base(s.signedBy))
			if err := durable.WriteFile(t.h.Path(key), s.keyring, 0o644); err != nil {
				return err
			}
			content = bytes.ReplaceAll(content, []byte("Signed-By: "+s.signedBy+"\n"), []byte("Signed-By: "+key+"\n"))
		}
		planned[path.Base(s.path)] = content
	}
	if err := t.carrySources(c, planned); err != nil {
		return err
	}
	if out, err := t.ask(ctx, aptGet("update", "--error-on=any")); err != nil {
		return aptError("reading", "the bundle's lists of packages", out, err)
	}
	return nil
}

// takes plans one step and returns the files that it would fetch.
func (p *packages) takes(ctx context.Context, t *transaction, state *dpkgState) ([]apt.Package, error) {
	if len(p.missing(state)) == 0 {
		return nil, nil
	}
	_, f, err := p.planned(ctx, t, state)
	if err != nil {
		return nil, err
	}
	var files []apt.Package
	for _, one := range f.packages {
		if here, err := t.archived(one); err != nil {
			return nil, err
		} else if !here {
			files = append(files, one)
		}
	}
	return files, nil
}

// again says what to do where no transaction has begun yet.
func again(err error) error {
	var known *problem.Error
	if !errors.As(err, &known) {
		return err
	}
	told := *known
	told.Fix = "Nothing was changed. Settle what stands in the way on the host, then run the command again."
	return &told
}
