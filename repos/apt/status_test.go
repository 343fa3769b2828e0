package apt_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ipivs.com/valtctl/repos/apt"
)

const statusSample = `Package: adduser
Status: install ok installed
Priority: important
Architecture: all
Multi-Arch: foreign
Version: 3.137ubuntu1
Conffiles:
 /etc/adduser.conf 1a8e0a0b
Description: add and remove users and groups
 This package includes the 'adduser' command.
 .
 Status: this is prose, not a field

Package: docker-ce
Status: hold ok installed
Architecture: amd64
Version: 5:27.3.1-1~ubuntu.24.04~noble

Package: linux-image-6.8.0-31-generic
Status: deinstall ok config-files
Architecture: amd64
Version: 6.8.0-31.31

Package: broken
Status: install reinstreq half-installed
Architecture: amd64
Version: 1.0
`

func TestReadStatusTakesNameArchitectureVersionAndState(t *testing.T) {
	got, err := apt.ReadStatus(strings.NewReader(statusSample))
	if err != nil {
		t.Fatal(err)
	}
	want := []apt.Installed{
		{Name: "adduser", Arch: "all", Version: "3.137ubuntu1", Abbrev: "ii"},
		{Name: "docker-ce", Arch: "amd64", Version: "5:27.3.1-1~ubuntu.24.04~noble", Abbrev: "hi"},
		{Name: "linux-image-6.8.0-31-generic", Arch: "amd64", Version: "6.8.0-31.31", Abbrev: "rc"},
		{Name: "broken", Arch: "amd64", Version: "1.0", Abbrev: "iHR"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestUnpackedIsFilesOnTheDisk(t *testing.T) {
	for abbrev, want := range map[string]bool{
		"ii": true, "hi": true, "iU": true, "iF": true, "iW": true, "it": true,
		"rc": false, "un": false, "pn": false, "iHR": false, "": false,
	} {
		if got := (apt.Installed{Abbrev: abbrev}).Unpacked(); got != want {
			t.Errorf("%q: %v, want %v", abbrev, got, want)
		}
	}
}

func TestReadStatusKnowsEveryState(t *testing.T) {
	for status, want := range map[string]string{
		"install ok unpacked":          "iU",
		"install ok half-configured":   "iF",
		"install ok triggers-awaited":  "iW",
		"install ok triggers-pending":  "it",
		"purge ok not-installed":       "pn",
		"unknown ok not-installed":     "un",
		"install reinstreq half-blown": "i?R",
		"borrow ok installed":          "?i",
	} {
		got, err := apt.ReadStatus(strings.NewReader("Package: x\nStatus: " + status + "\n"))
		if err != nil || len(got) != 1 || got[0].Abbrev != want {
			t.Errorf("%s: %v, %v; want %q", status, got, err, want)
		}
	}
}

func TestReadStatusNamesTheLineThatIsWrong(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"no colon":        {"Package: a\nrubbish\n", "line 2"},
		"two word status": {"Package: a\n\nPackage: b\nStatus: install ok\n", "line 4"},
		"nameless stanza": {"Version: 1\n\nPackage: b\n", "line 2"},
		"nameless at end": {"Package: b\n\nVersion: 1\n", "line 3"},
	} {
		_, err := apt.ReadStatus(strings.NewReader(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q in it", name, err, c.want)
		}
	}
}

func TestReadStatusSkipsLinesLongerThanItsBuffer(t *testing.T) {
	text := "Package: a\nDepends: " + strings.Repeat("x, ", 100_000) + "\nVersion: 2\n"
	got, err := apt.ReadStatus(strings.NewReader(text))
	if err != nil || len(got) != 1 || got[0].Version != "2" {
		t.Errorf("%v, %v", got, err)
	}
}

func FuzzReadStatus(f *testing.F) {
	f.Add([]byte(statusSample))
	f.Add([]byte("Package:\n\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := apt.ReadStatus(strings.NewReader(string(data)))
		if err != nil {
			return
		}
		for _, p := range got {
			if p.Name == "" || strings.ContainsAny(p.Name+p.Arch+p.Version, "\n") {
				t.Errorf("a package that cannot be: %+v", p)
			}
		}
	})
}

func BenchmarkReadStatus600Packages(b *testing.B) {
	var text strings.Builder
	for i := range 600 {
		fmt.Fprintf(&text, "Package: package-%d\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.%d\nDepends: %s\nDescription: words\n %s\n\n",
			i, i, strings.Repeat("libc6 (>= 2.38), ", 20), strings.Repeat("many words ", 60))
	}
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		if _, err := apt.ReadStatus(strings.NewReader(text.String())); err != nil {
			b.Fatal(err)
		}
	}
}
