package database

import (
	"context"
	"errors"
	"fmt"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// RestoreParams ask that a backup takes the place of the database.
type RestoreParams struct {
	Params
	Backup string `json:"backup"`
}

// KindRestore names what RestoreKind makes.
const KindRestore step.KindName = "database-restore"

// RestoreKind makes the database what a backup holds. It stops everything, makes and proves a backup of what is there,
// restores the other one into a throwaway container, compares, and puts what that filled in the place of the data.
func RestoreKind() step.Kind {
	return step.KindOf(KindRestore, step.Reversible, func(p RestoreParams) (step.Step, error) { return restore{p}, p.check() })
}

type restore struct{ RestoreParams }

const restoredFile = "restored"

func (r restore) Inspect(_ context.Context, h *step.Machine) (step.Finding, error) {
	b, err := r.Store.known(h, r.Backup)
	if err != nil {
		return step.Finding{}, err
	}
	if err := r.fits(h, b); err != nil {
		return step.Finding{}, err
	}
	done, err := has(h, restoredFile)
	if err != nil || h.Keep != "" && done {
		return step.Finding{Disrupts: step.Nothing}, err
	}
	return step.Finding{Change: true, Disrupts: step.Container, Diff: "- the database as it is\n+ the database as it was at " + b.Made.Format("2006-01-02 15:04:05") + " UTC\n"}, nil
}

// fits refuses what cannot be what this site's database was under the release that serves.
func (r restore) fits(h *step.Machine, b *Record) error {
	serves, err := installedRelease(h)
	if err != nil {
		return err
	}
	refuse := func(fix, format string, args ...any) error {
		return &problem.Error{Kind: problem.Input, Doing: "restoring backup", Object: b.ID, Err: fmt.Errorf(format, args...), Fix: fix}
	}
	switch {
	case b.Site != r.Site:
		return refuse("take a backup of this site: valtctl backup list", "it is of the site %s, and this one is %s", b.Site, r.Site)
	case b.Release != serves && release.Newest([]string{b.Release, serves}) == b.Release:
		return refuse("update the site first: valtctl update --to "+b.Release, "it was made of release %s, which is newer than %s, which serves", b.Release, serves)
	case b.Release != serves:
		return refuse("go back to that release first: valtctl rollback --to "+b.Release, "it was made of release %s, and %s serves, which would not know it", b.Release, serves)
	}
	return nil
}

func (r restore) Apply(ctx context.Context, h *step.Machine) error {
	if h.Keep == "" {
		return errors.New("restoring a backup: this transaction has no way back, and restoring needs one")
	}
	if proved, err := has(h, provedFile); err != nil || proved { // cut off after that: what is in place may be the restored
		s, again := readStillness(h)
		if err := errors.Join(err, again); err != nil {
			return err
		}
		return r.bring(ctx, h, s)
	}
	b, m, err := r.fitting(ctx, h)
	if err != nil {
		return err
	}
	s, err := r.stop(ctx, h)
	if err != nil {
		return err
	}
	own, err := r.dumpStill(ctx, h, m, NewID(h.Now(), "before-restore"), "before the restoring of "+b.ID)
	if err != nil {
		return err
	}
	mine, err := identities(h)
	if err != nil {
		return err
	}
	if err := r.prove(ctx, h, m, own, mine, ""); err != nil {
		return err
	}
	all, err := identities(h)
	if err != nil {
		return err
	}
	if err := r.prove(ctx, h, m, b, all, ""); err != nil {
		return err
	}
	if err := mark(h, provedFile, own.ID); err != nil {
		return err
	}
	return r.bring(ctx, h, s)
}

// fitting is the backup and the container to restore it for, once nothing speaks against it.
func (r restore) fitting(ctx context.Context, h *step.Machine) (*Record, *model, error) {
	b, err := r.Store.known(h, r.Backup)
	if err != nil {
		return nil, nil, err
	}
	m, err := modelOf(ctx, h, r.Container)
	if err != nil {
		return nil, nil, err
	}
	if err := errors.Join(r.fits(h, b), sameEngine(b, m), m.place().movable(h), r.roomFor(h, m.place())); err != nil {
		return nil, nil, err
	}
	all, err := identities(h)
	if err != nil {
		return nil, nil, err
	}
	return b, m, r.Store.unpack(h, b, all, readable) // before anything is stopped
}

// bring puts what was restored in its place and has everything serve.
func (r restore) bring(ctx context.Context, h *step.Machine, s *stillness) error {
	if err := s.Data.swap(h); err != nil {
		return err
	}
	if err := s.revive(ctx, h); err != nil {
		return err
	}
	return mark(h, restoredFile, r.Backup)
}

// Undo has everything serve over what the database was before.
func (r restore) Undo(ctx context.Context, h *step.Machine) error {
	s, err := readStillness(h)
	if s == nil || err != nil {
		return err
	}
	if err := s.stop(ctx, h); err != nil {
		return err
	}
	proved, err := has(h, provedFile)
	if err != nil {
		return err
	}
	if proved { // else it was not put in its place, and what lies aside is of another day
		if err := s.Data.swapBack(h); err != nil {
			return err
		}
	}
	if err := s.revive(ctx, h); err != nil {
		return err
	}
	return s.Data.tidy(h)
}

// Settle lets go of what the database was: its backup is kept and proved.
func (r restore) Settle(_ context.Context, h *step.Machine) error {
	s, err := readStillness(h)
	if s == nil || err != nil {
		return err
	}
	own, err := step.ReadIfThere(kept(h, provedFile))
	if err != nil {
		return err
	}
	return errors.Join(s.Data.tidy(h), r.prune(h, string(own)))
}
