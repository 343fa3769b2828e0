package publish_test

import (
	"bytes"
	"strings"
	"testing"

	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/publish"
	"ipivs.com/valtctl/repos/publish/publishtest"
)

// withDatabase is a release whose database is of the image web; each edit is an old and a new text of its manifest.
func withDatabase(t *testing.T, version, more string, edits ...string) publish.Release {
	t.Helper()
	rel := publishtest.Release(version)
	for i := 0; i < len(edits); i += 2 {
		if !bytes.Contains(rel.Manifest, []byte(edits[i])) {
			t.Fatal("no ", edits[i])
		}
		rel.Manifest = bytes.Replace(rel.Manifest, []byte(edits[i]), []byte(edits[i+1]), 1)
	}
	rel.Manifest = bytes.Replace(rel.Manifest, []byte(`"drain": {`), []byte(`"database": {"image": "web", "user": "root", "password": "db"`+more+`}, "drain": {`), 1)
	return rel
}

// What would slip into sites' databases unsaid is not signed.
func TestADatabaseThatChangesUnsaidIsNotPublished(t *testing.T) {
	t.Parallel()
	repo := publishtest.New(t)
	add := func(rel publish.Release) error {
		_, err := open(t, repo, repo.Keys).AddRelease(rel)
		return err
	}
	other := []string{"sha256:" + strings.Repeat("2", 64), "sha256:" + strings.Repeat("5", 64)}
	const migrates = `, "migrate": {"service": "migrate", "within": "5m"}`
	if err := add(withDatabase(t, "6.4.2", "")); err != nil {
		t.Fatal(err)
	}
	stamp := repo.Read(t, "metadata/timestamp.json")
	wantProblem(t, add(withDatabase(t, "6.4.3", "", other...)), problem.Check, "does not say that it changes the database")
	if !bytes.Equal(stamp, repo.Read(t, "metadata/timestamp.json")) {
		t.Error("it was signed")
	}
	if err := add(withDatabase(t, "6.5.0", migrates, other...)); err != nil {
		t.Errorf("one that says so: %v", err)
	}
	wantProblem(t, add(withDatabase(t, "6.5.1", migrates+`, "from": ">= 6.5"`, other...)), problem.Check, ">= 6.5")
	wantProblem(t, add(withDatabase(t, "6.6.0", "")), problem.Input, "past release 6.5.0, which changes the database")
	if err := add(withDatabase(t, "6.6.1", "", append(other, `">= 6.2"`, `">= 6.5"`)...)); err != nil {
		t.Errorf("one that sites come to from there on: %v", err)
	}
}
