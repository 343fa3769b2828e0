package apt

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/apt"
	"ipivs.com/valtctl/repos/durable"
)

// keptDebs is where the packages that are installed now are kept for the way back: apt's
// own folder may be cleaned by anybody.
const keptDebs = "/var/lib/valtctl/rollback/debs"

// prepared is a packages step's plan with everything at hand that it and its way back
// need, so that it can be carried out without a network.
type prepared struct {
	Frozen []apt.Package `json:"frozen"`
	Remove []string      `json:"remove,omitempty"`
	// Before are the packages that will be replaced, as they are installed now; OneWay
	// names those whose files cannot be had any more.
	Before []apt.Package `json:"before,omitempty"`
	Added  []string      `json:"added,omitempty"` // that were not there
	OneWay []string      `json:"one_way,omitempty"`
}

// KindDownload names what DownloadKind makes.
const KindDownload step.KindName = "download"

// DownloadKind is the fetch half of a packages step in an update: it has the same
// parameters, brings every file that will be needed, and changes no package.
func DownloadKind() step.Kind {
	return step.KindOf(KindDownload, step.Reversible, func(p PackagesParams) (step.Step, error) {
		made, err := newPackages(p, waiting{})
		return &download{made}, err
	})
}

type download struct{ *packages }

func (d *download) Inspect(_ context.Context, h *step.Machine) (step.Finding, error) {
	state, err := readDpkg(h)
	if err != nil {
		return step.Finding{}, err
	}
	if len(d.missing(state)) == 0 {
		return step.Finding{Disrupts: step.Nothing}, nil
	}
	ready, err := d.prepared(h)
	if err != nil || ready != nil {
		return step.Finding{Disrupts: step.Nothing, Notes: ready.notes()}, err
	}
	return step.Finding{Change: true, Diff: d.diff(state), Disrupts: step.Nothing}, nil
}

// Apply plans as the packages step would, and fetches.
func (d *download) Apply(ctx context.Context, h *step.Machine) (err error) {
	t := newTransaction(h, d.wait)
	if err := errors.Join(t.useBundle(d.Bundle), t.awaitCloudInit(ctx)); err != nil {
		return err
	}
	restart, err := pauseTimers(ctx, h)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restart()) }()
	state, err := readDpkg(h)
	if err != nil || len(d.missing(state)) == 0 {
		return err
	}
	changes, frozen, err := d.solve(ctx, t, state)
	if err != nil {
		return err
	}
	if err := t.download(ctx, frozen, d.downgrade()...); err != nil {
		return err
	}
	p := &prepared{Frozen: frozen.packages, Remove: frozen.remove}
	if err := t.keepBefore(ctx, changes, p); err != nil {
		return err
	}
	text, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("noting what was downloaded: %w", err)
	}
	if err := durable.MkdirAll(h.Path(keptDebs), 0o700); err != nil {
		return fmt.Errorf("noting what was downloaded: %w", err)
	}
	return durable.WriteFile(h.Path(d.record()), text, 0o600)
}

// Undo leaves what was downloaded: it harms nobody.
func (d *download) Undo(context.Context, *step.Machine) error { return nil }

// solve goes from fresh lists to a judged plan with every package pinned to one file.
func (p *packages) solve(ctx context.Context, t *transaction, state *dpkgState) ([]change, frozen, error) {
	if err := t.update(ctx); err != nil {
		return nil, frozen{}, err
	}
	return p.planned(ctx, t, state)
}

// planned goes from the lists that are there to a judged plan.
func (p *packages) planned(ctx context.Context, t *transaction, state *dpkgState) ([]change, frozen, error) {
	changes, err := t.simulate(ctx, append(append([]string{"install"}, p.downgrade()...), p.asked(state)...))
	if err != nil {
		return nil, frozen{}, err
	}
	if err := p.judge(ctx, t, state, changes); err != nil {
		return nil, frozen{}, err
	}
	f, err := t.freeze(ctx, changes)
	return changes, f, err
}

// downgrade is what apt must be told before it goes back to an older version.
func (p *packages) downgrade() []string {
	if p.Downgrade {
		return []string{"--allow-downgrades"}
	}
	return nil
}

// record is where the plan for these parameters is noted.
func (p *packages) record() string {
	raw, err := json.Marshal(p.PackagesParams)
	if err != nil {
		raw = nil // it came from JSON
	}
	sum := sha256.Sum256(raw)
	return path.Join(keptDebs, "prepared-"+hex.EncodeToString(sum[:8])+".json")
}

// prepared is the plan that was noted, if every file of it is still at hand; else nil.
func (p *packages) prepared(h *step.Machine) (*prepared, error) {
	text, err := step.ReadIfThere(h.Path(p.record()))
	if text == nil || err != nil {
		return nil, err
	}
	var ready prepared
	if json.Unmarshal(text, &ready) != nil {
		return nil, nil // it is made anew
	}
	if fits, err := ready.fits(h); err != nil || !fits {
		return nil, err
	}
	t := newTransaction(h, p.wait)
	for _, one := range ready.Frozen {
		if good, err := t.archived(one); err != nil || !good {
			return nil, err
		}
	}
	for _, one := range ready.Before {
		if good, err := hashed(h.Path(keptDeb(one)), one.Hash.SHA256); err != nil || !good {
			return nil, err
		}
	}
	return &ready, nil
}

// fits says whether the host still is what the plan was made for, or on its way from there.
func (p *prepared) fits(h *step.Machine) (bool, error) {
	state, err := readDpkg(h)
	if err != nil {
		return false, err
	}
	for _, was := range p.Before {
		have := state.exact(was.Name, was.Architecture)
		if have != was.Version && !slices.ContainsFunc(p.Frozen, func(new apt.Package) bool {
			return new.Name == was.Name && new.Architecture == was.Architecture && new.Version == have
		}) {
			return false, nil
		}
	}
	return true, nil
}

func (p *prepared) notes() []string {
	if p == nil || len(p.OneWay) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("no source has the installed version of %v any more, so there is no way back from changing it", p.OneWay)}
}

func keptDeb(p apt.Package) string { return path.Join(keptDebs, path.Base(archive(p))) }

// keepBefore fetches the files of what is installed and will be replaced.
func (t *transaction) keepBefore(ctx context.Context, changes []change, p *prepared) error {
	for _, c := range changes {
		if c.old == "" {
			p.Added = append(p.Added, c.name)
			continue
		}
		was := change{name: c.name, new: c.old, arch: c.arch}
		if was.arch == "" { // a removal: apt does not say
			p.OneWay = append(p.OneWay, c.name)
			continue
		}
		f, err := t.freeze(ctx, []change{was})
		if err == nil {
			err = t.keepDeb(ctx, f.packages[0])
		}
		if ctx.Err() != nil {
			return fmt.Errorf("keeping the installed version of %s: %w", c.name, ctx.Err())
		}
		if err != nil {
			p.OneWay = append(p.OneWay, c.name)
			continue
		}
		p.Before = append(p.Before, f.packages[0])
	}
	slices.Sort(p.OneWay)
	return nil
}

// keepDeb brings the file of an installed package and keeps it.
func (t *transaction) keepDeb(ctx context.Context, one apt.Package) error {
	good, err := t.archived(one)
	if err != nil {
		return err
	}
	if !good {
		args := append([]string{"install", "--reinstall", "--download-only"}, installOptions()...)
		if out, err := t.run(ctx, aptGet(append(args, one.Key())...)); err != nil {
			return aptError("fetching", one.Key(), out, err)
		}
		if err := t.checkArchives(frozen{packages: []apt.Package{one}}); err != nil {
			return err
		}
	}
	file, err := os.Open(t.h.Path(archive(one)))
	if err != nil {
		return fmt.Errorf("keeping %s: %w", one.Key(), err)
	}
	defer file.Close()
	if err := durable.MkdirAll(t.h.Path(keptDebs), 0o700); err != nil {
		return fmt.Errorf("keeping %s: %w", one.Key(), err)
	}
	copied := func(w io.Writer) error { // some have hundreds of MB
		_, err := io.Copy(w, file)
		return err
	}
	return durable.WriteFrom(t.h.Path(keptDeb(one)), 0o600, copied)
}

// beforeFile is, in a step's own folder, what was installed before its first change.
const beforeFile = "before.json"

// keepPrepared notes in the step's folder what its way back is.
func (p *packages) keepPrepared(h *step.Machine, ready *prepared) error {
	full := filepath.Join(h.Keep, beforeFile)
	if h.Keep == "" {
		return nil
	}
	if noted, err := durable.IsThere(full); noted || err != nil {
		return err
	}
	text, err := json.Marshal(ready)
	if err != nil {
		return fmt.Errorf("noting what was installed: %w", err)
	}
	if err := durable.MkdirAll(h.Keep, 0o700); err != nil {
		return fmt.Errorf("noting what was installed: %w", err)
	}
	return durable.WriteFile(full, text, 0o600)
}

// reinstall installs the kept files of those packages that are of another version now.
// What was added stays: it was wanted by what is gone, and disturbs nothing.
func (t *transaction) reinstall(ctx context.Context, was prepared) error {
	state, err := readDpkg(t.h)
	if err != nil {
		return err
	}
	var files []string
	for _, one := range was.Before {
		if state.exact(one.Name, one.Architecture) == one.Version {
			continue
		}
		if good, err := hashed(t.h.Path(keptDeb(one)), one.Hash.SHA256); err != nil || !good {
			return errors.Join(err, fmt.Errorf("taking packages back: the kept file of %s is not there any more", one.Key()))
		}
		files = append(files, keptDeb(one))
	}
	if len(files) == 0 {
		return nil
	}
	args := append(append([]string{"install", "--allow-downgrades", "--no-remove", "--no-download",
		"-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="}, installOptions()...), files...) // on a full disk too
	out, err := t.runToEnd(ctx, aptGet(args...))
	if err != nil {
		err = aptError("taking back", "packages", out, err)
	}
	return errors.Join(err, durable.Remove(t.h.Path(packageCache)))
}

// packageCache is what apt remembers of the packages. It trusts it while dpkg's status has the same
// size and the same second of its last change, so what came and went within one would be
// installed still.
const packageCache = "/var/cache/apt/pkgcache.bin"
