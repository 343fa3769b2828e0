package inputs

import (
	"bytes"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/publish"
	"ipivs.com/valtctl/repos/publish/publishtest"
)

// A program knows roles that came after a release was signed. Sites in which no host has
// such a role go on with that release.
func TestAReleaseThatDoesNotKnowARoleServesSitesWithoutIt(t *testing.T) {
	repo := publishtest.New(t)
	rel := publishtest.Release("6.4.2")
	from, to := bytes.Index(rel.Manifest, []byte(`,
    "media": {`)), bytes.Index(rel.Manifest, []byte("\n  },\n  \"settings\""))
	rel.Manifest = append(bytes.Clone(rel.Manifest[:from]), rel.Manifest[to:]...)
	delete(rel.Files, "compose.media.yaml")
	repo.Change(t, func(r *publish.Repository) error { _, err := r.AddRelease(rel); return err })
	reader := repo.Reader(t, t.TempDir())
	if err := reader.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}

	s := &site.Site{Hosts: []site.Host{{Name: "app1", Roles: []site.Role{site.App}}}}
	got, err := ReadRelease(t.Context(), reader, s, "6.4.2")
	if err != nil || len(got.Compose) != 1 || len(got.Compose[site.App]) == 0 {
		t.Errorf("without a media host: %v", err)
	}
	s.Hosts[0].Roles = append(s.Hosts[0].Roles, site.Media)
	if _, err := ReadRelease(t.Context(), reader, s, "6.4.2"); err == nil || !strings.Contains(err.Error(), `release 6.4.2 has no role "media"`) {
		t.Errorf("with one: %v", err)
	}
}
