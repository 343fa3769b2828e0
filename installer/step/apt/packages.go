// Package apt holds the steps about packages: their sources, their download and their exact
// installation, judged before anything is changed. What the files of a repository say is read
// and verified by repos/apt; which packages a host is to have is the plan's.
package apt

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

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/repos/apt"
	"ipivs.com/valtctl/repos/problem"
)

// PackageWanted is one package. With a version it must be exactly that one; without,
// whatever version is installed will do and the newest is installed where none is.
type PackageWanted struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

// PackagesParams is what one apt transaction brings about.
type PackagesParams struct {
	Packages []PackageWanted `json:"packages"`
	// Engine says that the packages are the Docker engine's. A step without it
	// refuses to change them while the engine runs, since that stops what serves.
	Engine bool `json:"engine,omitempty"`
	// AllowRemoval lists packages that may be removed on the way. Every other
	// removal is refused.
	AllowRemoval []string `json:"allow_removal,omitempty"`
	// Downgrade lets packages that are wanted in an exact version go back to it.
	Downgrade bool `json:"downgrade,omitempty"`
	// Bundle names the secret that tells where the run's bundle answers (Carried); empty:
	// apt reads the host's own sources.
	Bundle string `json:"bundle,omitempty"`
	// LastLook is at the recorders, right before the engine's packages are changed.
	LastLook *docker.LastLook `json:"last_look,omitempty"`
}

// KindPackages names what PackagesKind makes.
const KindPackages step.KindName = "packages"

// PackagesKind installs packages with apt. One step is one transaction: what is wrong
// with dpkg is mended, the lists are refreshed, a plan is made and judged, downloaded
// and checked, and only then anything is installed. It can be killed at any moment;
// the next Apply finds what was left and goes on from there.
func PackagesKind() step.Kind {
	return step.KindOf(KindPackages, step.Reversible, func(p PackagesParams) (step.Step, error) { return newPackages(p, waiting{}) })
}

// waiting is how patient a step is; zero values are the ordinary ones.
type waiting struct {
	locks time.Duration // at most, for other package managers, in one Apply
	poll  time.Duration // between two looks at the locks
}

type packages struct {
	PackagesParams
	wait  waiting
	notes []string      // what the last Apply has to say to a person
	quiet time.Duration // of LastLook
}

func newPackages(p PackagesParams, w waiting) (*packages, error) {
	if len(p.Packages) == 0 {
		return nil, errors.New("reading the packages: none is given")
	}
	for _, one := range p.Packages {
		if err := CheckPackageWord(one.Name); err != nil {
			return nil, fmt.Errorf("reading the packages: the name %w", err)
		}
		if one.Version == "" {
			continue
		}
		if _, err := apt.CompareVersions(one.Version, one.Version); err != nil {
			return nil, fmt.Errorf("reading the packages: %s: %w", one.Name, err)
		}
	}
	if w.locks == 0 {
		w.locks = 30 * time.Minute // an unattended upgrade may take that long
	}
	if w.poll == 0 {
		w.poll = time.Second
	}
	quiet, err := p.LastLook.Between()
	return &packages{PackagesParams: p, wait: w, quiet: quiet}, err
}

func (p *packages) Inspect(_ context.Context, h *step.Machine) (step.Finding, error) {
	state, err := readDpkg(h)
	if err != nil {
		return step.Finding{}, err
	}
	diff := p.diff(state) + state.damageDiff()
	if left, err := stoppedTimers(h); err != nil {
		return step.Finding{}, err
	} else if len(left) > 0 {
		diff += "- " + strings.Join(left, " ") + " stopped by a run that did not end\n+ " + strings.Join(left, " ") + " started\n"
	}
	found := step.Finding{Change: diff != "", Diff: diff, Disrupts: step.Nothing, Notes: p.inspectNotes(h)}
	if ready, err := p.prepared(h); err != nil {
		return step.Finding{}, err
	} else if ready != nil && len(ready.OneWay) > 0 {
		found.Way = step.OneWay
	}
	if found.Change && engineRuns(h) && (p.Engine || state.engineDamaged()) {
		found.Disrupts = step.Engine
	}
	return found, nil
}

// inspectNotes is what the last Apply noted, and a restart that the host asks for.
func (p *packages) inspectNotes(h *step.Machine) []string {
	notes := slices.Clone(p.notes)
	if note := rebootNote(h); note != "" && !slices.Contains(notes, note) {
		notes = append(notes, note)
	}
	return notes
}

// diff shows the packages that are missing or of another version.
func (p *packages) diff(state *dpkgState) string {
	var out strings.Builder
	for _, want := range p.missing(state) {
		if have := state.version(want.Name); have != "" {
			fmt.Fprintf(&out, "- %s %s\n", want.Name, have)
		}
		fmt.Fprintf(&out, "+ %s %s\n", want.Name, orNewest(want.Version))
	}
	return out.String()
}

func orNewest(version string) string {
	if version == "" {
		return "(newest)"
	}
	return version
}

// missing is what of the wanted is not there.
func (p *packages) missing(state *dpkgState) []PackageWanted {
	var missing []PackageWanted
	for _, want := range p.Packages {
		have := state.version(want.Name)
		if have == "" || want.Version != "" && have != want.Version {
			missing = append(missing, want)
		}
	}
	return missing
}

func (p *packages) Apply(ctx context.Context, h *step.Machine) (err error) {
	p.notes = nil
	t := newTransaction(h, p.wait)
	if err := errors.Join(t.useBundle(p.Bundle), t.awaitCloudInit(ctx)); err != nil {
		return err
	}
	restart, err := pauseTimers(ctx, h)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restart()) }()
	if err := t.repair(ctx); err != nil {
		return err
	}
	state, err := readDpkg(h)
	if err != nil {
		return err
	}
	if len(p.missing(state)) > 0 {
		err = p.install(ctx, t, state)
	}
	p.notes = append(p.notes, t.rebootNotes(ctx)...)
	return err
}

// What taking packages back writes: for each of dpkg's status its copies (dpkg(1), FILES: status,
// status-old, status-new, and what lies in updates), for each package what it holds unpacked,
// which is reckoned as a few times its file; and something for what dpkg and apt note besides.
const (
	statusCopies = 4
	unpackedSize = 5
	notedRoom    = 8 << 20
)

// Room is step.Roomy's: the former packages are unpacked once more.
func (p *packages) Room(h *step.Machine) (int64, error) {
	text, err := step.ReadIfThere(h.Path(p.record()))
	var ready prepared
	if err != nil || text == nil || json.Unmarshal(text, &ready) != nil || len(ready.Before)+len(ready.Added) == 0 {
		return 0, err
	}
	room := int64(notedRoom)
	status, err := os.Stat(h.Path(dpkgStatus))
	if err != nil {
		return 0, fmt.Errorf("looking how large dpkg's status is: %w", err)
	}
	room += statusCopies * status.Size()
	for _, was := range ready.Before {
		deb, err := os.Stat(h.Path(keptDeb(was)))
		if errors.Is(err, fs.ErrNotExist) {
			continue // no source had it: there is no way back for it
		}
		if err != nil {
			return 0, fmt.Errorf("looking at the packages that are kept: %w", err)
		}
		room += unpackedSize * deb.Size()
	}
	return room, nil
}

// Undo brings exactly those versions back that were installed before.
func (p *packages) Undo(ctx context.Context, h *step.Machine) (err error) {
	text, err := os.ReadFile(filepath.Join(h.Keep, beforeFile))
	if h.Keep == "" || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading what was installed: %w", err)
	}
	var was prepared
	if err := json.Unmarshal(text, &was); err != nil {
		return fmt.Errorf("reading what was installed: %w", err)
	}
	t := newTransaction(h, p.wait)
	restart, err := pauseTimers(ctx, h)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, restart()) }()
	if err := t.repair(ctx); err != nil {
		return err
	}
	if err := p.changeBack(ctx, t, was); err != nil {
		return err
	}
	if len(was.OneWay) > 0 {
		return fmt.Errorf("taking packages back: no source had the former version of %v", was.OneWay)
	}
	return nil
}

// Settle removes the files of packages that neither this change nor one of the last ones could go
// back with.
func (p *packages) Settle(_ context.Context, h *step.Machine) error { return clearKept(h) }

// changeBack installs what was there. The containers have been brought back before it: where the
// engine's own packages are among them, nothing may be recorded, and all must be back afterwards.
func (p *packages) changeBack(ctx context.Context, t *transaction, was prepared) error {
	reinstall := func() error { return t.reinstall(ctx, was) }
	if !p.Engine {
		return reinstall()
	}
	if err := p.LastLook.Await(ctx, t.h, p.quiet, "the Docker engine", nil); err != nil {
		return err
	}
	return docker.KeepingContainers(ctx, t.h, docker.ComeBackWithin, reinstall)
}

// install goes from fresh lists to verified packages.
func (p *packages) install(ctx context.Context, t *transaction, state *dpkgState) error {
	ready, err := p.prepared(t.h)
	if err != nil {
		return err
	}
	var f frozen
	if ready != nil { // fetched ahead of time: no network is needed now
		f = frozen{packages: ready.Frozen, remove: ready.Remove}
		err = p.keepPrepared(t.h, ready)
	} else if _, f, err = p.solve(ctx, t, state); err == nil {
		err = t.download(ctx, f, p.downgrade()...)
	}
	if err != nil {
		return err
	}
	before := t.conffiles()
	if err := p.change(ctx, t, f); err != nil {
		return err
	}
	for _, path := range t.conffiles() {
		if !slices.Contains(before, path) {
			p.notes = append(p.notes, fmt.Sprintf("%s: the package's own version of a file that was changed here and is kept; compare them", path))
		}
	}
	return p.verify(ctx, t, f)
}

// change installs. The engine's own packages are changed only while nothing is recorded,
// and every container must be back afterwards.
func (p *packages) change(ctx context.Context, t *transaction, f frozen) error {
	install := func() error { return t.install(ctx, f, p.downgrade()...) }
	if !p.Engine {
		return install()
	}
	if err := p.LastLook.Refuse(ctx, t.h, p.quiet, "the Docker engine"); err != nil {
		return err
	}
	return docker.KeepingContainers(ctx, t.h, docker.ComeBackWithin, install)
}

// asked is what apt is asked for: exact versions always, so that the solver keeps
// them, and the newest of what is missing. What is there in any version is left alone.
func (p *packages) asked(state *dpkgState) []string {
	var asked []string
	for _, want := range p.Packages {
		switch {
		case want.Version != "":
			asked = append(asked, want.Name+"="+want.Version)
		case state.version(want.Name) == "":
			asked = append(asked, want.Name)
		}
	}
	return asked
}

// verify looks at what dpkg has now: exactly the frozen versions, everything wanted,
// and no package in a bad state.
func (p *packages) verify(ctx context.Context, t *transaction, f frozen) error {
	state, err := readDpkg(t.h)
	if err != nil {
		return err
	}
	var wrong []error
	for _, one := range f.packages {
		if have := state.exact(one.Name, one.Architecture); have != one.Version {
			wrong = append(wrong, fmt.Errorf("%s is %q, not %s", one.Name, have, one.Version))
		}
	}
	for _, want := range p.missing(state) {
		wrong = append(wrong, fmt.Errorf("%s %s is not there", want.Name, orNewest(want.Version)))
	}
	damage, err := t.damage(ctx)
	if err != nil {
		return err
	}
	for _, d := range damage {
		wrong = append(wrong, errors.New(d))
	}
	if len(wrong) == 0 {
		return nil
	}
	return &problem.Error{Doing: "checking", Object: "what apt installed", Err: errors.Join(wrong...),
		Fix: "Another package manager may have run at the same time. Run valtctl resume."}
}

// CheckPackageWord keeps anything but a package's name out of apt's argv, where "x-"
// would remove and "-o" would configure. The rule is deb-control(5)'s.
func CheckPackageWord(name string) error {
	bad := strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("+-.", r))
	})
	if bad || len(name) < 2 || strings.ContainsRune("+-.", rune(name[0])) || strings.ContainsAny(name[len(name)-1:], "+-") && !strings.HasSuffix(name, "++") {
		return fmt.Errorf("%q is not a package's", name)
	}
	return nil
}
