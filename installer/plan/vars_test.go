package plan

import "testing"

func TestUnitNamesAreEscapedAsSystemdDoes(t *testing.T) {
	for path, want := range map[string]string{
		"/srv/valt": "srv-valt", "/": "-", "/srv/my-disk": `srv-my\x2ddisk`, "/.hidden": `\x2ehidden`, "/a b/ü": `a\x20b-\xc3\xbc`,
	} {
		if got := unitName(path); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}
