package release_test

import (
	"strings"
	"testing"

	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// with is a release with a database of one image.
func with(version, config string, d release.Database) *release.Manifest {
	d.Image = "db"
	return &release.Manifest{Version: version, Database: d, Images: map[string]release.Image{"db": {Platforms: map[string]release.ImagePlatform{"linux/amd64": {Config: config}}}}}
}

// A release that would change a site's database without a word, or a database that it does not know, is refused.
func TestAReleaseSaysThatItChangesTheDatabase(t *testing.T) {
	says := release.Database{Migrate: release.Migrate{Within: "5m"}}
	from := release.Database{From: ">= 6.4", Migrate: release.Migrate{Service: "migrate", Within: "5m"}}
	none := &release.Manifest{Version: "6.4.1"}
	for name, c := range map[string]struct {
		former, next *release.Manifest
		refused      string
	}{
		"the same image":              {with("6.4.1", "a", release.Database{}), with("6.4.2", "a", release.Database{}), ""},
		"another image, no word":      {with("6.4.1", "a", release.Database{}), with("6.4.2", "b", release.Database{}), "b instead of a"},
		"another image, said":         {with("6.4.1", "a", release.Database{}), with("6.5.0", "b", says), ""},
		"the same image, said":        {with("6.4.1", "a", release.Database{}), with("6.5.0", "a", from), ""},
		"of a release before":         {with("6.3.0", "a", release.Database{}), with("6.5.0", "a", from), ">= 6.4"},
		"no database any more":        {with("6.4.1", "a", release.Database{}), &release.Manifest{Version: "6.4.2"}, "does not say any more"},
		"none before, changed":        {none, with("6.5.0", "a", says), "no backup of it can be made"},
		"none before, said since":     {none, with("6.4.2", "a", release.Database{}), ""},
		"none at all":                 {none, &release.Manifest{Version: "6.4.2"}, ""},
		"the older word, and not how": {none, &release.Manifest{Version: "6.4.2", Migrates: true}, "not how"},
		"the older word, and how":     {with("6.4.1", "a", release.Database{}), func() *release.Manifest { m := with("6.5.0", "b", says); m.Migrates = true; return m }(), ""},
	} {
		err := c.next.TakesOver(c.former)
		if (err == nil) != (c.refused == "") || err != nil && (problem.KindOf(err) != problem.Check || !strings.Contains(err.Error(), c.refused)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
