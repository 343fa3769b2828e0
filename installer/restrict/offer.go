package restrict

import (
	"context"
	"fmt"
	"time"

	"ipivs.com/valtctl/installer/keyuse"
	"ipivs.com/valtctl/repos/release"
)

// offerHolds is how long what the repository offered is believed while it is out of reach. The
// host looks at it whenever an update is looked at, minutes before it begins; whoever keeps the
// host from looking gains a day, and not a release that the vendor has called back since.
const offerHolds = 24 * time.Hour

// Offered says why a release is not for this site now, by what this host has verified itself:
// the site's channel does not point there, or not yet for this site, and it is no release that
// lies on the way there from the one that the host has. Without ahead it must be the next on that
// way. Nil: it is offered.
func (l *LocalPlan) Offered(ctx context.Context, has, version string, ahead bool) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refresh(ctx); err != nil {
		return err
	}
	what := "release " + version
	if age := l.now().Sub(l.repo.State().Refreshed); age > offerHolds {
		return refuse(keyuse.NotOffered, what, "what is offered was last seen %s ago: the release repository cannot be reached from this host", age.Round(time.Minute))
	}
	offered, percent, err := l.pointer(ctx)
	if err != nil {
		return err
	}
	if !l.phased(l.site.ID, offered, percent) {
		return refuse(keyuse.NotOffered, what, "the vendor lets %d%% of the sites have %s by now, and this one is not among them", percent, offered)
	}
	way, err := l.way(ctx, has, offered)
	if err != nil {
		return err
	}
	for i, next := range way {
		if next == version && (i == 0 || ahead) {
			return nil
		}
	}
	return refuse(keyuse.NotOffered, what, "the site is offered %s, and the way there from %s is %v", offered, has, way)
}

// pointer is what the site's channel points to, and for how many of the sites, in percent.
func (l *LocalPlan) pointer(ctx context.Context) (version string, percent int, err error) {
	if want := l.site.Release.Version; want != "" {
		return want, 100, nil
	}
	c, err := l.repo.Pointer(ctx, l.site.Release.Channel)
	return c.Release, c.Share(), err
}

// way are the releases from the one that the host has to the one on offer. To a host that has
// it already it is that one: what else changed is put right by the same update.
func (l *LocalPlan) way(ctx context.Context, has, offered string) ([]string, error) {
	if has == offered {
		return []string{offered}, nil
	}
	var between []*release.Manifest
	for _, v := range l.repo.Versions() {
		if v == has || release.Newest([]string{v, has}) != v || release.Newest([]string{v, offered}) != offered {
			continue
		}
		m, err := l.repo.Manifest(ctx, v)
		if err != nil {
			return nil, err
		}
		between = append(between, m)
	}
	manifests, err := release.Way(has, between)
	if err != nil {
		return nil, fmt.Errorf("judging release %s: %w", offered, err)
	}
	var way []string
	for _, m := range manifests {
		way = append(way, m.Version)
	}
	return way, nil
}
