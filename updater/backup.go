package updater

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/database"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater/drain"
)

// Backups are what a site has of its database.
type Backups struct {
	Host    string            `json:"host"`
	Dir     string            `json:"dir"`
	Backups []database.Record `json:"backups"`
	Unread  string            `json:"unread,omitempty"` // why some could not be read
}

// Newest is the newest of them.
func (b *Backups) Newest() (database.Record, bool) {
	if len(b.Backups) == 0 {
		return database.Record{}, false
	}
	return b.Backups[len(b.Backups)-1], true
}

// Named is one of them.
func (b *Backups) Named(id string) (database.Record, bool) {
	at := slices.IndexFunc(b.Backups, func(r database.Record) bool { return r.ID == id })
	if at < 0 {
		return database.Record{}, false
	}
	return b.Backups[at], true
}

// keeper is the host that keeps the site's database, as far as its roles say.
func keeper(s *site.Site) (site.Host, error) {
	for _, h := range s.Hosts {
		if site.Is(h.Roles, func(r site.RoleSpec) bool { return r.OwnTurn }) {
			return h, nil
		}
	}
	return site.Host{}, &problem.Error{Kind: problem.Input, Doing: "looking for the database of", Object: s.ID,
		Err: errors.New("the site has no application server of its own"), Fix: "its database is where its application is, in VALT's cloud"}
}

// backing is one piece of work on a site's database.
type backing struct {
	*update
	host   site.Host
	target *installer.Target
	params database.Params
}

// ListBackups lists what the site has.
func ListBackups(ctx context.Context, o Options) (*Backups, error) {
	return o.onDatabase(ctx, func(ctx context.Context, b *backing) error { return nil })
}

// CreateBackup makes a backup and proves it; it is the newest of those that come back.
func CreateBackup(ctx context.Context, o Options) (*Backups, error) {
	return o.onDatabase(ctx, func(ctx context.Context, b *backing) error {
		id := database.NewID(b.Now(), "")
		spec, err := b.spec(database.KindBackup, "a backup of the database, and its proof", step.Nothing,
			database.BackupParams{Params: b.params, ID: id, Why: "by hand"})
		if err != nil {
			return err
		}
		return b.single(ctx, b.target, b.host.Name, []step.Spec{spec})
	})
}

// VerifyBackup restores a backup into a throwaway container and compares it with what was dumped.
func VerifyBackup(ctx context.Context, o Options, id string) (*Backups, error) {
	return o.onDatabase(ctx, func(ctx context.Context, b *backing) error {
		spec, err := b.spec(database.KindVerify, "the proof of backup "+id, step.Nothing, database.VerifyParams{Params: b.params, Backup: id, Run: b.Run})
		if err != nil {
			return err
		}
		return b.single(ctx, b.target, b.host.Name, []step.Spec{spec})
	})
}

// RestoreBackup makes the database what a backup holds: drained, with a backup of what is there, and with a way back
// until the application's health.
func RestoreBackup(ctx context.Context, o Options, id string) (*Backups, error) {
	return o.onDatabase(ctx, func(ctx context.Context, b *backing) error {
		spec, err := b.spec(database.KindRestore, "the database of backup "+id, step.Container, database.RestoreParams{Params: b.params, Backup: id})
		if err != nil {
			return err
		}
		found, err := b.work.Inspect(ctx, b.host.Name, b.target, []step.Spec{spec})
		if err != nil || b.DryRun {
			return err
		}
		if len(found) != 1 || !found[0].Finding.Change {
			return fmt.Errorf("restoring backup %s: the host says that there is nothing to do", id)
		}
		return b.restore(ctx, spec)
	})
}

// restore is RestoreBackup's transaction.
func (b *backing) restore(ctx context.Context, spec step.Spec) error {
	params, err := drain.For(b.Site, b.host, b.target.Manifest, b.DrainWithin, b.Interrupt)
	if err != nil {
		return err
	}
	steps := []step.Spec{spec}
	hp, _ := b.target.Plan.Host(b.host.Name)
	for _, r := range b.host.Roles {
		if health, ok := hp.Health(r); ok {
			steps = append(steps, health)
		}
	}
	if steps, err = withDrain(steps, params); err != nil {
		return err
	}
	held, holding, err := b.work.Hold(ctx, nil)
	if err != nil {
		return err
	}
	d := &driver{update: b.update, target: b.target}
	done, err := b.work.Do(holding, b.host.Name, b.target, installer.Change{Steps: steps, Policy: txn.Allow, Partial: true,
		Confirm: time.Duration(b.Site.Updates.ConfirmWithin).String(), Within: d.applyWithin(b.host.Name), Quiet: d.nothingElsewhere(b.host.Name),
		Approve: func(context.Context) error { return nil }}) // its health steps were the question
	if err == nil && done.Result.Err() != nil {
		err = fmt.Errorf("host %s: %w", b.host.Name, done.Result.Err())
	}
	return errors.Join(err, held.Release(ctx))
}

// spec is one step about the database, in the apply half.
func (b *backing) spec(kind step.KindName, title string, disrupts step.Disruption, params any) (step.Spec, error) {
	raw, err := mustJSON(params)
	return step.Spec{ID: string(kind), Kind: kind, Title: title, Half: step.Apply, Disrupts: disrupts, Params: raw}, err
}

// onDatabase does one piece of work on the host that keeps the site's database, and lists the backups after it.
func (o Options) onDatabase(ctx context.Context, do func(context.Context, *backing) error) (*Backups, error) {
	host, err := keeper(o.Site)
	if err != nil {
		return nil, err
	}
	o.Hosts = []string{host.Name}
	var all *Backups
	_, err = o.roll(ctx, func(ctx context.Context, u *update) (*UpdateResult, error) {
		b, err := u.backing(ctx, host)
		if err != nil {
			return nil, err
		}
		if err := do(ctx, b); err != nil {
			return nil, err
		}
		all, err = b.list(ctx)
		return nil, err
	})
	return all, err
}

// backing looks at what serves and how its release reaches the database.
func (u *update) backing(ctx context.Context, host site.Host) (*backing, error) {
	refuse := func(fix, format string, args ...any) error {
		return &problem.Error{Kind: problem.Check, Doing: "looking for the database of host", Object: host.Name, Err: fmt.Errorf(format, args...), Fix: fix}
	}
	was := u.work.Facts(host.Name).Installed
	if was == nil {
		return nil, refuse("valtctl install", "VALT is not installed there")
	}
	if _, err := u.work.Releases(ctx, true); err != nil {
		return nil, err
	}
	t, err := u.work.Plan(ctx, was.Release, false)
	if err != nil {
		return nil, err
	}
	params, ok := plan.Database(u.Site, t.Manifest, host)
	if !ok {
		return nil, refuse("valtctl update, to a release that does", "release %s does not say which of its containers is the database, nor how its administrator logs in", was.Release)
	}
	hp, _ := t.Plan.Host(host.Name)
	if params.Container, err = databaseContainer(hp, t); err != nil {
		return nil, err
	}
	return &backing{update: u, host: host, target: t, params: params}, nil
}

// databaseContainer is the name of the planned container that runs the database's image.
func databaseContainer(hp plan.HostPlan, t *installer.Target) (string, error) {
	image := t.Manifest.Images[t.Manifest.Database.Image]
	for _, s := range hp.Steps {
		if s.Kind != docker.KindContainer {
			continue
		}
		var c docker.ContainerParams
		if err := json.Unmarshal(s.Params, &c); err != nil {
			return "", fmt.Errorf("reading the plan of container %s: %w", s.ID, err)
		}
		for _, p := range image.Platforms {
			if c.Image.Config == p.Config {
				return c.Name, nil
			}
		}
	}
	return "", fmt.Errorf("looking for the database: no container of release %s runs its image %s", t.Manifest.Version, t.Manifest.Database.Image)
}

// list asks the host for its backups.
func (b *backing) list(ctx context.Context) (*Backups, error) {
	h, err := b.work.Host(b.host.Name)
	if err != nil {
		return nil, err
	}
	return listOf(ctx, h, b.params.Dir)
}

func listOf(ctx context.Context, h *fleet.Host, dir string) (*Backups, error) {
	reply, err := h.Backups(ctx, dir)
	if err != nil {
		return nil, err
	}
	return &Backups{Host: h.Name, Dir: dir, Backups: reply.Backups, Unread: reply.Unread}, nil
}
