package wizard

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ipivs.com/valtctl/installer/site"
)

const toReplace = annotated + `
updates:
  canary: media1 # the least busy
checks:
  - { name: booking, url: "http://10.0.4.21:9000/", host: media1 }
`

// The place goes over with all that is said of it, the old server is named, and a way back gives
// the text that was, but for what tells of it.
func TestAReplacementMovesThePlaceAndNothingElse(t *testing.T) {
	there := Replacement{Old: "media1", New: "media3", Address: "10.0.4.31", Recordings: "/mnt/big", SSH: map[string]string{"user": "ops"}, Since: "2026-11-30"}
	after, err := there.Apply([]byte(toReplace))
	if err != nil {
		t.Fatal(err)
	}
	gone, added := changed(strings.Split(toReplace, "\n"), strings.Split(string(after), "\n"))
	want := [2][]string{
		{"  canary: media1 # the least busy", // the lines of the old server are below now
			`  - { name: booking, url: "http://10.0.4.21:9000/", host: media1 }`},
		{"  - name: media3", "    ssh:", "      user: ops", "    address: 10.0.4.31", "    recordings: /mnt/big",
			"replaced:", "    by: media3", "    since: 2026-11-30", "  canary: media3 # the least busy", `  - { name: booking, url: "http://10.0.4.21:9000/", host: media3 }`},
	}
	if d := cmp.Diff(want, [2][]string{gone, added}); d != "" {
		t.Errorf("lines gone and added (-want +got):\n%s\n%s", d, after)
	}
	s, err := site.Parse("/x/site.yaml", after, "")
	if err != nil {
		t.Fatal(err)
	}
	fresh, _ := s.Host("media3")
	if old, ok := s.WasReplaced("media1"); !ok || old.By != "media3" || old.SSH.User == "ops" || len(fresh.Cameras) < 10 || fresh.SSH.User != "ops" {
		t.Errorf("%+v, %+v", s.Replaced, fresh)
	}
	if again, err := there.Apply(after); err != nil || string(again) != string(after) {
		t.Errorf("a second time it changes the file: %v\n%s", err, again)
	}
	back, err := Replacement{Old: "media3", New: "media1", Since: "2026-12-01"}.Apply(after)
	if err != nil {
		t.Fatal(err)
	}
	is, err := site.Parse("/x/site.yaml", back, "")
	if err != nil {
		t.Fatal(err)
	}
	was, err := site.Parse("/x/site.yaml", []byte(toReplace), "")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(was.Hosts, is.Hosts); d != "" || len(is.Replaced) != 1 || is.Replaced[0].Name != "media3" || is.Replaced[0].By != "media1" || is.Replaced[0].SSH.User != "ops" {
		t.Errorf("after the way back: %s\n%+v", d, is.Replaced)
	}
}

func TestAReplacementOfNoHostIsRefused(t *testing.T) {
	if _, err := (Replacement{Old: "media9", New: "media3", Address: "10.0.4.31"}).Apply([]byte(toReplace)); err == nil {
		t.Error("a host that the file has not was replaced")
	}
}
