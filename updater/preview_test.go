package updater

import (
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/updater/window"
)

// previewed is three hosts in two waves; the fourth has nothing to do.
func previewed() *Preview {
	steps := []StepPreview{{ID: "container/valt-engine"}}
	return &Preview{Hosts: []HostPreview{
		{Host: "media1", Wave: 1, Steps: steps, Expected: 4 * time.Minute},
		{Host: "media2", Wave: 2, Steps: steps, Expected: 5 * time.Minute},
		{Host: "media3", Wave: 2, Steps: steps, Expected: 7 * time.Minute},
		{Host: "app1", Wave: 3, Expected: time.Hour},
	}}
}

func TestPreviewPutsItsTimeBesideTheWindow(t *testing.T) {
	sunday := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	windows := window.Schedule{Zone: time.UTC, Windows: []site.Window{{Day: time.Sunday, From: 2 * time.Hour, To: 3 * time.Hour}}}
	for _, c := range []struct {
		name    string
		at      time.Duration
		windows window.Schedule
		says    string
	}{
		{"no windows", 12 * time.Hour, window.Schedule{}, ""},
		{"fits", 2 * time.Hour, windows, "it fits the maintenance window that is open now"},
		{"would, but not its way back", 2*time.Hour + 45*time.Minute, windows, "the maintenance window ends in 15m0s"},
		{"before it", time.Hour, windows, "outside of the maintenance windows; the next one opens on Sun 22 November 2026, 02:00"},
	} {
		p := previewed()
		p.time(sunday.Add(c.at), c.windows)
		if p.Expected != 11*time.Minute {
			t.Errorf("%s: it is expected to take %s; the waves take 4 and 7 minutes", c.name, p.Expected)
		}
		if !strings.Contains(p.Window, c.says) || c.says == "" && p.Window != "" {
			t.Errorf("%s: %q lacks %q", c.name, p.Window, c.says)
		}
	}
}
