package database

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

// StillParams ask for everything that must be before a release changes the database.
type StillParams struct {
	Params
	To string `json:"to"` // the release that changes it
}

// KindStill names what StillKind makes.
const KindStill step.KindName = "database-still"

// StillKind stops all that writes to the database and the database itself, makes a backup of what it left, and proves
// it. From then until the transaction is confirmed the proof's folder is the way back: Undo puts it in the place of
// the data, whatever was done to those, and has the former containers serve.
func StillKind() step.Kind {
	return step.KindOf(KindStill, step.Reversible, func(p StillParams) (step.Step, error) {
		if p.To == "" {
			return nil, errors.New("checking a migration: the release that it leads to is not named")
		}
		return still{p}, p.check()
	})
}

type still struct{ StillParams }

// installedRelease is the release that the host was last brought to; empty: none.
func installedRelease(h *step.Machine) (string, error) {
	text, err := step.ReadFile(h, "/var/lib/valtctl/host.json")
	if err != nil || text == nil {
		return "", err
	}
	var was facts.Installed
	if err := json.Unmarshal(text, &was); err != nil {
		return "", fmt.Errorf("reading which release this host has: %w", err)
	}
	return was.Release, nil
}

// migrates says whether this host comes from another release: only then is there anything to migrate.
func migrates(h *step.Machine, to string) (bool, error) {
	was, err := installedRelease(h)
	return was != "" && was != to, err
}

func (s still) Inspect(ctx context.Context, h *step.Machine) (step.Finding, error) {
	due, err := migrates(h, s.To)
	if err != nil || !due {
		return step.Finding{Disrupts: step.Nothing}, err
	}
	done, err := has(h, provedFile)
	if err != nil || h.Keep != "" && done {
		return step.Finding{Disrupts: step.Nothing}, err
	}
	if m, err := modelOf(ctx, h, s.Container); err == nil { // else applying says what is wrong, before it stops anything
		if err := m.place().movable(h); err != nil {
			return step.Finding{}, err
		}
	}
	return step.Finding{Change: true, Disrupts: step.Container,
		Diff:  "- the database serves\n+ it is stopped, backed up, and the backup is proved\n",
		Notes: []string{"the database is away from here on until the release's health: its backup and the proof of that count"}}, nil
}

func (s still) Apply(ctx context.Context, h *step.Machine) error {
	if h.Keep == "" {
		return errors.New("preparing a migration: this transaction has no way back, and a migration needs one")
	}
	m, err := modelOf(ctx, h, s.Container)
	if err != nil {
		return err
	}
	if err := errors.Join(m.place().movable(h), s.roomFor(h, m.place())); err != nil { // before anything is stopped
		return err
	}
	times := &phases{h: h}
	if err := times.do("stopping what writes to the database, and the database", func() error {
		_, err := s.stop(ctx, h)
		return err
	}); err != nil {
		return err
	}
	id := NewID(h.Now(), "before-"+idPart(s.To))
	r, err := s.dumpStill(ctx, h, m, id, "before the update to "+s.To)
	if err != nil {
		return err
	}
	mine, err := identities(h)
	if err != nil {
		return err
	}
	if err := s.prove(ctx, h, m, r, mine, ""); err != nil {
		return err
	}
	return mark(h, provedFile, r.ID)
}

// idPart is a release's version as part of a backup's name.
func idPart(version string) string {
	var text []rune
	for _, r := range version {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' {
			text = append(text, r)
		} else if len(text) > 0 && text[len(text)-1] != '-' {
			text = append(text, '-')
		}
		if len(text) == 30 {
			break
		}
	}
	return string(text)
}

// dumpStill makes a backup of data whose server is stopped, by a server of the same image that nobody else reaches.
func (p Params) dumpStill(ctx context.Context, h *step.Machine, m *model, id, why string) (r *Record, err error) {
	t, err := m.start(ctx, h, string(m.place()), p.Login)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, t.end(ctx)) }()
	return p.dump(ctx, h, t.server, m.found.Image, id, why, true)
}

// Undo has the former containers serve over what the database was. Once the backup was proved something newer may have
// touched the data, so the proof's take their place; before, nothing has.
func (s still) Undo(ctx context.Context, h *step.Machine) error {
	was, err := readStillness(h)
	if was == nil || err != nil {
		return err
	}
	if err := was.stop(ctx, h); err != nil {
		return err
	}
	proved, err := has(h, provedFile)
	if err != nil {
		return err
	}
	if proved {
		if err := was.Data.swap(h); err != nil {
			return err
		}
	}
	if err := was.revive(ctx, h); err != nil {
		return err
	}
	return was.Data.tidy(h)
}

// Settle lets go of the way back and says what going back costs from here on.
func (s still) Settle(_ context.Context, h *step.Machine) error {
	was, err := readStillness(h)
	if was == nil || err != nil {
		return err
	}
	id, err := step.ReadIfThere(kept(h, provedFile))
	if err != nil {
		return err
	}
	h.Told(fmt.Sprintf("the database was changed by release %s; going back to what it was would lose all that is written from here on. What it was is in the proved backup %s", s.To, id))
	return errors.Join(was.Data.tidy(h), s.prune(h, string(id)))
}

// MigrateParams are how a release changes the database, once.
type MigrateParams struct {
	To string `json:"to"` // the release
	// Run is the container that does it; nil: the database's own start does.
	Run    *OneTime `json:"run,omitempty"`
	Within string   `json:"within,omitempty"` // a Go duration; empty: 1h
}

// migrateWithin is how long a migration may take where the release says nothing.
const migrateWithin = time.Hour

// KindMigrate names what MigrateKind makes.
const KindMigrate step.KindName = "database-migrate"

// MigrateKind runs a release's migration once. What was begun and not seen to its end is not begun again: it is taken
// back with the whole transaction, by the step that stopped the database (StillKind).
func MigrateKind() step.Kind {
	return step.KindOf(KindMigrate, step.Reversible, newMigrate)
}

type migrate struct {
	MigrateParams
	within time.Duration
}

func newMigrate(p MigrateParams) (step.Step, error) {
	m := &migrate{p, migrateWithin}
	if p.To == "" || p.Run == nil {
		return nil, errors.New("checking a migration: the release and the container that does it are needed")
	}
	if p.Within != "" {
		var err error
		if m.within, err = time.ParseDuration(p.Within); err != nil {
			return nil, fmt.Errorf("checking a migration: %w", err)
		}
	}
	return m, p.Run.check()
}

const (
	startedFile = "started"
	doneFile    = "done"
)

func (m *migrate) Inspect(_ context.Context, h *step.Machine) (step.Finding, error) {
	due, err := migrates(h, m.To)
	if err != nil || !due {
		return step.Finding{Disrupts: step.Nothing}, err
	}
	done, err := has(h, doneFile)
	if err != nil || h.Keep != "" && done {
		return step.Finding{Disrupts: step.Nothing}, err
	}
	return step.Finding{Change: true, Diff: "- the database as before release " + m.To + "\n+ the database as release " + m.To + " wants it\n", Disrupts: step.Nothing}, nil
}

func (m *migrate) Apply(ctx context.Context, h *step.Machine) error {
	if h.Keep == "" {
		return errors.New("migrating the database: this transaction has no way back, and a migration needs one")
	}
	begun, err := has(h, startedFile)
	if err != nil {
		return err
	}
	if begun {
		return &problem.Error{Kind: problem.Failed, Doing: "migrating the database to", Object: m.To, Err: errors.New("it was cut off in its middle, and what it left is not known"),
			Fix: "the database is put back as it was; run the command again"}
	}
	if err := mark(h, startedFile, m.To); err != nil {
		return err
	}
	h.Report(step.Progress{Text: "migrating the database"})
	if err := m.Run.run(ctx, h, m.within); err != nil {
		return fmt.Errorf("migrating the database to %s: %w", m.To, err)
	}
	return mark(h, doneFile, m.To)
}

// Undo leaves it to the step that stopped the database, which puts its data back.
func (m *migrate) Undo(context.Context, *step.Machine) error { return nil }
