package updater

import (
	"context"
	"errors"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// refuseDatabase refuses a release that cannot take over the site's database: changed without a word, or in a way that
// this program knows no way back from. Hosts look once more, at the container that they have.
func (u *update) refuseDatabase(ctx context.Context, t *installer.Target) error {
	switch u.kind {
	case KindUpdate:
		former, err := u.former(ctx, t.Manifest)
		if err != nil {
			return err
		}
		return t.Manifest.TakesOver(former)
	case KindRollback:
		return u.refuseLosing(ctx, t.Manifest.Version)
	}
	return nil
}

// former is the release that the site has. A bundle may not bring it: then what it had of a database is taken for what
// the new one says, and the hosts' own look decides.
func (u *update) former(ctx context.Context, m *release.Manifest) (*release.Manifest, error) {
	former, err := u.work.Manifest(ctx, u.from)
	if problem.KindOf(err) == problem.Input {
		return &release.Manifest{Version: u.from, Database: m.Database, Images: m.Images}, nil
	}
	return former, err
}

// refuseLosing refuses to go back past a release that changed the database so that those before it cannot serve over
// it: only a backup leads there, and what was written since is lost.
func (u *update) refuseLosing(ctx context.Context, to string) error {
	versions, err := u.work.Releases(ctx, true)
	if err != nil {
		return err
	}
	for _, v := range versions {
		if v == to || release.Newest([]string{v, to}) != v || release.Newest([]string{v, u.from}) != u.from {
			continue
		}
		m, err := u.work.Manifest(ctx, v)
		if err != nil {
			return err
		}
		if m.Database.Irreversible {
			return losing(m.Version, to)
		}
	}
	return nil
}

func losing(changed, to string) error {
	return &problem.Error{Kind: problem.Check, Doing: "going back to", Object: to,
		Err: errors.New("release " + changed + " changed the database, and no release before it can serve over that; going back would lose all that was written since"),
		Fix: "stay, and have the vendor mend the release; the backup from before it is in: valtctl backup list"}
}

// keepsChanged is why a host whose soak failed is not taken back: its database is changed for good; nil: it may be.
func (d *driver) keepsChanged(r *HostRecord) error {
	if m := d.target.Manifest; m.Database.Irreversible && r.From != m.Version {
		return losing(m.Version, r.From)
	}
	return nil
}
