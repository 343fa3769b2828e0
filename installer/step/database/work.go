package database

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"filippo.io/age"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

// Params say which container of a host is its database, how its administrator logs in, and where backups go.
type Params struct {
	Container string `json:"container"`
	Login
	Store
	Site string `json:"site"`
	Host string `json:"host"`
	Role string `json:"role"` // whose containers write to it
}

func (p Params) check() error {
	if p.Container == "" || p.Login.User == "" || p.Role == "" {
		return errors.New("checking what is said of the database: its container and its administrator are needed")
	}
	return errors.Join(step.CleanPath(p.PasswordFile), p.Store.check())
}

// phases times parts of the work, and tells whoever follows which one it is.
type phases struct {
	h    *step.Machine
	list []Phase
}

func (p *phases) do(name string, work func() error) error {
	p.h.Report(step.Progress{Text: name})
	began := p.h.Now()
	err := work()
	p.list = append(p.list, Phase{name, p.h.Now().Sub(began).Round(time.Millisecond)})
	return err
}

// dump makes a backup of a server that runs. still says that nobody writes to it: then nothing may move meanwhile.
func (p Params) dump(ctx context.Context, h *step.Machine, s *server, image, id, why string, still bool) (*Record, error) {
	serving, err := installedRelease(h)
	if err != nil {
		return nil, err
	}
	r := &Record{Schema: Schema, ID: id, Site: p.Site, Host: p.Host, Release: serving, Made: h.Now().UTC(), Why: why, Image: image}
	if r.Server, err = s.one(ctx, "SELECT VERSION();\n"); err != nil {
		return nil, err
	}
	if r.Client, err = s.output(ctx, s.dump, "--version"); err != nil {
		return nil, err
	}
	times := &phases{h: h}
	var before, after Inventory
	look := func(into *Inventory) func() error {
		return func() (err error) { *into, err = takeInventory(ctx, s); return err }
	}
	if err := times.do("looking at the database", look(&before)); err != nil {
		return nil, err
	}
	if err := times.do("dumping the database", func() error {
		r.Dump, err = p.Store.pack(h, id, func(to io.Writer) error { return s.write(ctx, to) })
		return err
	}); err != nil {
		return nil, err
	}
	if err := times.do("looking at the database again", look(&after)); err != nil {
		return nil, err
	}
	r.Inventory, r.Phases = after, times.list
	if r.Moved, err = movedBetween(before, after); err != nil {
		return nil, fmt.Errorf("dumping the database: %w; run the command again", err)
	}
	if still && len(r.Moved) > 0 {
		return nil, fmt.Errorf("dumping the database: somebody wrote to it although everything that does was stopped: %s", strings.Join(r.Moved, ", "))
	}
	return r, p.Store.save(h, r)
}

// prove restores a backup into a throwaway server of the model's image and compares. The folder that it filled
// stays: whoever called puts it to use or removes it.
func (p Params) prove(ctx context.Context, h *step.Machine, m *model, r *Record, keys []age.Identity, by string) (err error) {
	proof := Proof{Time: h.Now().UTC(), Image: m.found.Image, By: by, Compared: r.Inventory.Count(), Moved: len(r.Moved)}
	times := &phases{h: h}
	if err := m.place().fresh(h); err != nil {
		return err
	}
	var t *throwaway
	if err := times.do("starting a throwaway database", func() error {
		t, err = m.start(ctx, h, m.place().proof(), p.Login)
		return err
	}); err != nil {
		return err
	}
	err = errors.Join(p.restoreInto(ctx, t, h, r, keys, times, &proof), t.end(ctx))
	if err != nil {
		return &problem.Error{Kind: problem.KindOf(err), Doing: "proving backup", Object: r.ID, Err: err, Fix: "nothing that serves was changed"}
	}
	proof.Phases = times.list
	r.Proofs = append(r.Proofs, proof)
	return p.Store.save(h, r)
}

// restoreInto loads a backup into a throwaway and compares what is there then with what was dumped.
func (p Params) restoreInto(ctx context.Context, t *throwaway, h *step.Machine, r *Record, keys []age.Identity, times *phases, proof *Proof) error {
	var err error
	if proof.Server, err = t.one(ctx, "SELECT VERSION();\n"); err != nil {
		return err
	}
	if proof.Client, err = t.output(ctx, t.client, "--version"); err != nil {
		return err
	}
	if err := times.do("restoring the backup", func() error {
		return p.Store.unpack(h, r, keys, func(from io.Reader) error { return t.load(ctx, from) })
	}); err != nil {
		return err
	}
	return times.do("comparing", func() error {
		now, err := takeInventory(ctx, t.server)
		if err != nil {
			return err
		}
		if diff := compare(r.Inventory, now, r.Moved); len(diff) > 0 {
			return fmt.Errorf("what it restores is not what was dumped: %s", shorten(diff))
		}
		return nil
	})
}

// mostTold is how many differences an error names.
const mostTold = 10

func shorten(lines []string) string {
	more := ""
	if n := len(lines) - mostTold; n > 0 {
		lines, more = lines[:mostTold], fmt.Sprintf("; and %d more", n)
	}
	return strings.Join(lines, "; ") + more
}
