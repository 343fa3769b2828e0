package site

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestSlipsAreFoundByPlaceAndMended(t *testing.T) {
	for name, c := range map[string]struct {
		text, mended string
		found        []string // line:column
	}{
		"nothing":                   {"site: a # – “yes”\nname: 'it–s'\n", "site: a # – “yes”\nname: 'it–s'\n", nil},
		"a text may have anything":  {"name: Lobby – East “A”\n", "name: Lobby – East “A”\n", nil},
		"a block of text":           {"settings:\n  note: |\n    ssl:true\n    – a\nssl:true\n", "settings:\n  note: |\n    ssl:true\n    – a\nssl: true\n", []string{"5:5"}},
		"several on a line":         {"- {name:a,\u00a0http:80}\n", "- {name: a, http: 80}\n", []string{"1:9", "1:11", "1:17"}},
		"a list of ports":           {"jump: [app:22, mail:25]\n- app:22\n", "jump: [app:22, mail:25]\n- app:22\n", nil},
		"a URL":                     {"- http://a\nproxy: http://a:80\n", "- http://a\nproxy: http://a:80\n", nil},
		"escapes that are right":    {`a: "C:\\Users\tb"` + "\n", `a: "C:\\Users\tb"` + "\n", nil},
		"a path in double quotes":   {`a: "C:\temp"` + "\n", `a: 'C:\temp'` + "\n", []string{"1:4"}},
		"a share in double quotes":  {`a: "\\nas\x"` + "\n", `a: '\\nas\x'` + "\n", []string{"1:4"}},
		"an item":                   {"hosts:\n  — name: a\n", "hosts:\n  - name: a\n", []string{"2:3"}},
		"invisible before a key":    {"\u200bsite: a\n", "site: a\n", []string{"1:1"}},
		"behind what was invisible": {"\u200bsite:a\n", "site: a\n", []string{"1:1", "1:7"}},
	} {
		t.Run(name, func(t *testing.T) {
			mended, found := slips(c.text)
			var places []string
			for _, s := range found {
				places = append(places, fmt.Sprintf("%d:%d", s.line, s.column))
			}
			if mended != c.mended {
				t.Errorf("mended to %q, want %q", mended, c.mended)
			}
			if diff := cmp.Diff(c.found, places); diff != "" {
				t.Errorf("wanted (-) and found (+):\n%s", diff)
			}
		})
	}
}

// A file whose slips are mended has none, and its lines are where they were.
func FuzzSlips(f *testing.F) {
	for _, file := range sampleFiles(f) {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Add("ssl:\u00a0true\n  – {name:a, x: “b”}\n\tc: \"C:\\t\"\n")
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			return
		}
		mended, found := slips(text)
		if len(found) == 0 && mended != text {
			t.Errorf("%q became %q without a word", text, mended)
		}
		if strings.Count(mended, "\n") != strings.Count(text, "\n") {
			t.Errorf("%q has other lines than %q", mended, text)
		}
		for _, s := range found {
			lines := strings.Split(text, "\n")
			if s.line < 1 || s.line > len(lines) || s.column < 1 || s.column > utf8.RuneCountInString(lines[s.line-1])+1 || s.what == "" || s.fix == "" {
				t.Errorf("%q: a slip that is nowhere: %+v", text, s)
			}
		}
	})
}
