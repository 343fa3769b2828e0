package release_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"ipivs.com/valtctl/repos/publish"
	"ipivs.com/valtctl/repos/publish/publishtest"
	"ipivs.com/valtctl/repos/release"
)

func refresh(t testing.TB, r *release.Repository) {
	t.Helper()
	if err := r.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestReadingAPublishedRelease(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	reader := repo.Reader(t, t.TempDir())
	refresh(t, reader)
	ctx := context.Background()

	version, err := reader.Channel(ctx, "stable")
	if err != nil || version != "6.4.2" {
		t.Fatalf("channel stable is %q, %v", version, err)
	}
	if got := reader.Versions(); !slices.Equal(got, []string{"6.4.1", "6.4.2"}) {
		t.Errorf("versions are %v", got)
	}
	m, err := reader.Manifest(ctx, version)
	if err != nil || m.Version != "6.4.2" || m.Roles["app"].Health[0].Name != "application" {
		t.Fatalf("manifest is %+v, %v", m, err)
	}
	compose, err := reader.Compose(ctx, m, release.RoleMedia)
	if err != nil || !strings.Contains(string(compose), "engine # 6.4.2") {
		t.Errorf("compose file is %q, %v", compose, err)
	}
	if dropped := reader.Dropped(); len(dropped) != 0 {
		t.Errorf("dropped %v", dropped)
	}
}

// A second run that finds nothing new asks twice and reads everything else from its
// folder: installs that change nothing stay fast.
func TestUnchangedRepositoryCostsTwoRequests(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	dir := t.TempDir()
	readAll := func() {
		reader := repo.Reader(t, dir)
		refresh(t, reader)
		version, err := reader.Channel(context.Background(), "stable")
		if err != nil {
			t.Fatal(err)
		}
		m, err := reader.Manifest(context.Background(), version)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := reader.Compose(context.Background(), m, release.RoleApp); err != nil {
			t.Fatal(err)
		}
	}
	readAll()
	repo.Asked()
	readAll()
	if got, want := repo.Asked(), []string{"metadata/2.root.json", "metadata/timestamp.json"}; !slices.Equal(got, want) {
		t.Errorf("asked for %v, want %v", got, want)
	}
}

func TestNewReleaseIsSeenByTheNextRefresh(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	dir := t.TempDir()
	refresh(t, repo.Reader(t, dir))
	repo.Change(t, func(p *publish.Repository) error {
		if _, err := p.AddRelease(publishtest.Release("6.5.0")); err != nil {
			return err
		}
		return p.SetChannel("stable", "6.5.0")
	})
	reader := repo.Reader(t, dir)
	refresh(t, reader)
	if got, err := reader.Channel(context.Background(), "stable"); err != nil || got != "6.5.0" {
		t.Errorf("channel stable is %q, %v", got, err)
	}
}

func BenchmarkUnchangedRefresh(b *testing.B) {
	repo := publishtest.Published(b)
	dir := b.TempDir()
	refresh(b, repo.Reader(b, dir))
	for b.Loop() {
		refresh(b, repo.Reader(b, dir))
	}
}
