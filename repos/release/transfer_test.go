package release_test

import (
	"context"
	"encoding/json"
	"testing"

	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/publish"
	"ipivs.com/valtctl/repos/publish/publishtest"
	"ipivs.com/valtctl/repos/release"
)

// export is what one host sends another, through JSON as the RPC does.
func export(t *testing.T, r *release.Repository) release.Trusted {
	t.Helper()
	sent, err := r.Export()
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(sent)
	if err != nil {
		t.Fatal(err)
	}
	var got release.Trusted
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// What one host has seen protects the next: with it taken over, a controller that was
// never here refuses the old repository that it would else have believed.
func TestNewestTrustedStateWins(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	behind, ahead := t.TempDir(), t.TempDir()
	refresh(t, repo.Reader(t, behind))
	repo.Change(t, func(p *publish.Repository) error { return p.Rotate("timestamp", "") })
	addRelease(t, repo, "6.5.0")
	refresh(t, repo.Reader(t, ahead))
	sent := export(t, repo.Reader(t, ahead))

	reader := repo.Reader(t, behind)
	if err := reader.Import(sent); err != nil {
		t.Fatal(err)
	}
	if got := reader.State(); got.Compare(sent.State) != 0 || got.Roles["root"].Version != 2 {
		t.Errorf("the state is %+v, want %+v", got, sent.State)
	}
	if err := reader.LoadLast(); err != nil {
		t.Fatal(err)
	}
	if got := release.Newest(reader.Versions()); got != "6.5.0" {
		t.Errorf("the newest known release is %s", got)
	}
	if err := release.NotOlder(repo.Reader(t, behind).State(), sent.State, "app1"); err != nil {
		t.Error(err)
	}
}

func TestImportOfSomethingOlderChangesNothing(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	dir := t.TempDir()
	refresh(t, repo.Reader(t, dir))
	old := export(t, repo.Reader(t, dir))
	addRelease(t, repo, "6.5.0")
	reader := repo.Reader(t, dir)
	refresh(t, reader)
	before := reader.State()
	if err := reader.Import(old); err != nil {
		t.Fatal(err)
	}
	if got := repo.Reader(t, dir).State(); got.Compare(before) != 0 {
		t.Errorf("the state went from %+v to %+v", before, got)
	}
	if err := reader.Import(release.Trusted{}); err != nil {
		t.Errorf("a host that has seen nothing is refused: %v", err)
	}
}

// The sender is not believed, its signatures are.
func TestImportOfForgedState(t *testing.T) {
	t.Parallel()
	repo, other := publishtest.Published(t), publishtest.Published(t)
	other.Change(t, (*publish.Repository).Renew)
	addRelease(t, other, "9.0.0")
	foreign := t.TempDir()
	refresh(t, other.Reader(t, foreign))
	own := t.TempDir()
	refresh(t, repo.Reader(t, own))

	forged := map[string]release.Trusted{"another vendor's": export(t, other.Reader(t, foreign))}
	claims := export(t, repo.Reader(t, own))
	claims.State.Roles = map[string]release.RoleState{"root": {Version: 99}}
	claims.Metadata["../../escaped"] = []byte("x")
	claims.Metadata["timestamp"] = []byte("{}")
	forged["claims without signatures"] = claims
	for name, sent := range forged {
		t.Run(name, func(t *testing.T) {
			reader := repo.Reader(t, own)
			before := reader.State()
			wantProblem(t, reader.Import(sent), problem.Trust, "")
			if got := repo.Reader(t, own).State(); got.Compare(before) != 0 {
				t.Errorf("the state went from %+v to %+v", before, got)
			}
			if err := repo.Reader(t, own).Refresh(context.Background()); err != nil {
				t.Errorf("after the refusal the refresh fails: %v", err)
			}
		})
	}
}
