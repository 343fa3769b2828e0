package updater

import (
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/site"
)

// Only servers with an engine have streams, and only those that are drained lose them.
func TestPreviewNamesWhoseStreamsVALTWillMiss(t *testing.T) {
	s := &site.Site{Hosts: []site.Host{{Name: "app1", Roles: []site.Role{site.App}}, {Name: "media1", Roles: []site.Role{site.Media}},
		{Name: "media2", Roles: []site.Role{site.Media}}, {Name: "media3", Roles: []site.Role{site.App, site.Media}}}}
	p := &Preview{Hosts: []HostPreview{{Host: "media1", Wave: 1, Drained: true, Expected: 4 * time.Minute}, {Host: "media2", Wave: 2},
		{Host: "media3", Wave: 2, Drained: true, Expected: 5 * time.Minute}, {Host: "app1", Wave: 3, Drained: true}}}
	got := OfflineMails(p.streams(s), "then")
	want := `VALT itself may mail "stream offline" about the cameras of media1 (wave 1, for about 4m0s), media3 (wave 2, for about 5m0s) then.`
	if !strings.HasPrefix(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := OfflineMails((&Preview{Hosts: []HostPreview{{Host: "app1", Drained: true}}}).streams(s), "then"); got != "" {
		t.Errorf("an update of the application alone: %s", got)
	}
	if got := OfflineMails(MediaServers(s), "then"); !strings.Contains(got, "of media1, media2, media3 then") {
		t.Errorf("where it is not known: %s", got)
	}
}
