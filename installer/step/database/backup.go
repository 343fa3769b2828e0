package database

import (
	"context"
	"errors"
	"fmt"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

// BackupParams ask for a backup of a database that serves.
type BackupParams struct {
	Params
	ID  string `json:"id"`
	Why string `json:"why"`
}

// KindBackup names what BackupKind makes.
const KindBackup step.KindName = "database-backup"

// BackupKind makes a backup while the database serves, and proves it. Tables that are written to meanwhile are compared
// by their form alone, and the backup says so.
func BackupKind() step.Kind {
	return step.KindOf(KindBackup, step.Reversible, func(p BackupParams) (step.Step, error) {
		if !goodID.MatchString(p.ID) {
			return nil, fmt.Errorf("checking the name of a backup: %q is none", p.ID)
		}
		return backup{p}, p.check()
	})
}

type backup struct{ BackupParams }

func (b backup) Inspect(_ context.Context, h *step.Machine) (step.Finding, error) {
	r, err := b.Store.read(h, b.ID)
	if err != nil || r != nil && !r.Proved().IsZero() {
		return step.Finding{Disrupts: step.Nothing}, err
	}
	return step.Finding{Change: true, Diff: "+ backup " + b.ID + "\n", Disrupts: step.Nothing}, nil
}

func (b backup) Apply(ctx context.Context, h *step.Machine) error {
	m, err := modelOf(ctx, h, b.Container)
	if err != nil {
		return err
	}
	if !m.found.State.Running {
		return &problem.Error{Kind: problem.Check, Doing: "backing up container", Object: b.Container, Err: errors.New("it does not run"), Fix: "valtctl status tells why; valtctl repair"}
	}
	if err := b.roomFor(h, m.place()); err != nil {
		return err
	}
	s, err := enter(ctx, h, b.Container, b.Login)
	if err != nil {
		return err
	}
	r, err := b.dump(ctx, h, s, m.found.Image, b.ID, b.Why, false)
	if err := errors.Join(err, s.leave(ctx)); err != nil {
		return err
	}
	mine, err := identities(h)
	if err != nil {
		return err
	}
	err = b.prove(ctx, h, m, r, mine, "")
	return errors.Join(err, m.place().tidy(h), b.prune(h, b.ID))
}

// Undo leaves the backup: it harms nobody.
func (b backup) Undo(context.Context, *step.Machine) error { return nil }

// VerifyParams ask that a backup is proved once more.
type VerifyParams struct {
	Params
	Backup string `json:"backup"`
	Run    string `json:"run"` // who asks, so that it is done once
}

// KindVerify names what VerifyKind makes.
const KindVerify step.KindName = "database-verify"

// VerifyKind restores a backup into a throwaway container and compares it with what it says it holds.
func VerifyKind() step.Kind {
	return step.KindOf(KindVerify, step.Reversible, func(p VerifyParams) (step.Step, error) {
		if p.Run == "" {
			return nil, errors.New("checking a proof: nobody asks for it")
		}
		return verify{p}, p.check()
	})
}

type verify struct{ VerifyParams }

func (v verify) Inspect(_ context.Context, h *step.Machine) (step.Finding, error) {
	r, err := v.Store.known(h, v.Backup)
	if err != nil {
		return step.Finding{}, err
	}
	if n := len(r.Proofs); n > 0 && r.Proofs[n-1].By == v.Run {
		return step.Finding{Disrupts: step.Nothing}, nil
	}
	return step.Finding{Change: true, Diff: "+ proof of backup " + v.Backup + "\n", Disrupts: step.Nothing}, nil
}

func (v verify) Apply(ctx context.Context, h *step.Machine) error {
	r, err := v.Store.known(h, v.Backup)
	if err != nil {
		return err
	}
	m, err := modelOf(ctx, h, v.Container)
	if err != nil {
		return err
	}
	if err := sameEngine(r, m); err != nil {
		return err
	}
	if err := v.roomFor(h, m.place()); err != nil {
		return err
	}
	all, err := identities(h)
	if err != nil {
		return err
	}
	return errors.Join(v.prove(ctx, h, m, r, all, v.Run), m.place().tidy(h))
}

// Undo has nothing to take back: it only looks.
func (v verify) Undo(context.Context, *step.Machine) error { return nil }

// known is the record of a backup that is to be there.
func (s Store) known(h *step.Machine, id string) (*Record, error) {
	r, err := s.read(h, id)
	if err == nil && r == nil {
		err = &problem.Error{Kind: problem.Input, Doing: "looking for backup", Object: id, Err: fmt.Errorf("there is none of this name in %s", s.Dir), Fix: "valtctl backup list names those that there are"}
	}
	return r, err
}

// sameEngine refuses to prove a backup with another image than it was made with: what is compared then is not the
// backup alone.
func sameEngine(r *Record, m *model) error {
	if r.Image == m.found.Image {
		return nil
	}
	return &problem.Error{Kind: problem.Check, Doing: "restoring backup", Object: r.ID,
		Err: fmt.Errorf("it was made of release %s with the database's image %s, and %s serves now", r.Release, r.Image, m.found.Image),
		Fix: "bring the site to release " + r.Release + " first: valtctl rollback --to " + r.Release}
}
