package updater

import (
	"strings"
	"testing"

	"ipivs.com/valtctl/repos/release"
)

func TestWhichRoleMayGoFirst(t *testing.T) {
	for name, c := range map[string]struct {
		app, media string
		first      string
	}{
		"nothing said":      {"", "", "media app"},
		"both work":         {">= 6.3, < 7", ">= 6.3", "media app"},
		"media servers may": {">= 6.4", ">= 6.4.2", "media"},
		"only the app may":  {">= 6.4.2", ">= 6.3", "app"},
		"neither may":       {">= 6.4.2", ">= 6.4.2", ""},
	} {
		t.Run(name, func(t *testing.T) {
			media, app, err := Order("6.4.1", &release.Manifest{Version: "6.4.2", Beside: release.Beside{release.RoleApp: c.app, release.RoleMedia: c.media}})
			var first []string
			if media {
				first = append(first, "media")
			}
			if app {
				first = append(first, "app")
			}
			if strings.Join(first, " ") != c.first || (err != nil) != (c.first == "") {
				t.Errorf("%v, %v", first, err)
			}
		})
	}
}
