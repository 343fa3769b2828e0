package site

import (
	"archive/zip"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The list is that of the database that is built in.
func TestZonesAreGos(t *testing.T) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	archive, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "zoneinfo.zip"))
	if err != nil {
		t.Fatal(err)
	}
	defer archive.Close()
	var want []string
	for _, f := range archive.File {
		if !strings.HasSuffix(f.Name, "/") {
			want = append(want, f.Name)
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, contentLines(zoneLines)); diff != "" {
		t.Errorf("zones.txt is not Go's list; wanted (-) and got (+):\n%s", diff)
	}
}

func TestEveryZoneOfWindowsIsOneOfIANA(t *testing.T) {
	lines := contentLines(windowsZoneLines)
	if len(lines) < 100 {
		t.Errorf("%d zones of Windows", len(lines))
	}
	for _, line := range lines {
		name, zone, ok := strings.Cut(line, "\t")
		if _, err := time.LoadLocation(zone); !ok || name == "" || zone == "" || err != nil {
			t.Errorf("%q: %v", line, err)
		}
	}
}

func TestAZoneIsNamedFromWhatAPersonMeant(t *testing.T) {
	for typed, want := range map[string]string{
		"Chigaco": `did you mean "America/Chicago"?`, "Chicago": `"America/Chicago"`, "america/chicago": `"America/Chicago"`, "New York": `"America/New_York"`,
		"Europe/Berln": `"Europe/Berlin"`, "Central Standard Time": "write America/Chicago", "W. Europe Standard Time": "write Europe/Berlin",
		"Pacific Daylight Time": "write America/Los_Angeles", "CST": "the name of the zone's city", "": "the name of the zone's city",
	} {
		if _, err := parseTimezone(typed); err == nil || !strings.Contains(err.(*wrong).fix, want) {
			t.Errorf("%q: %+v, want %s", typed, err, want)
		}
	}
	for _, right := range []string{"America/Chicago", "UTC", "US/Central", "EST5EDT"} {
		if got, err := parseTimezone(right); err != nil || got != right {
			t.Errorf("%q: %q, %v", right, got, err)
		}
	}
}
