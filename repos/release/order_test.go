package release_test

import (
	"slices"
	"strings"
	"testing"

	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

func TestVersionsAreOrderedByTheirNumbers(t *testing.T) {
	versions := []string{"6.10.0", "6.4.2", "6.4.2-rc1", "latest", "6.4.10"}
	release.SortVersions(versions)
	if want := []string{"latest", "6.4.2-rc1", "6.4.2", "6.4.10", "6.10.0"}; !slices.Equal(versions, want) {
		t.Errorf("sorted: %v, want %v", versions, want)
	}
	if got := release.Newest([]string{"6.9", "6.10", "6.2"}); got != "6.10" {
		t.Errorf("newest is %q", got)
	}
	if got := release.Newest(nil); got != "" {
		t.Errorf("newest of none is %q", got)
	}
}

func TestAllowsFrom(t *testing.T) {
	m := &release.Manifest{Version: "6.5.0", From: ">= 6.2, < 6.5"}
	for installed, ok := range map[string]bool{
		"": true, "6.2.0": true, "6.4.9": true, "6.4.2-rc1": true, "6.1.9": false, "6.5.1": false,
	} {
		err := m.AllowsFrom(installed)
		if ok && err != nil {
			t.Errorf("from %q: %v", installed, err)
		}
		if !ok {
			wantProblem(t, err, problem.Check, installed)
		}
	}
	if m.AllowsFrom("unknown") == nil {
		t.Error("something that is not a version was compared")
	}
	if err := (&release.Manifest{}).AllowsFrom("1.0"); err != nil {
		t.Errorf("a release without a constraint: %v", err)
	}
}

func TestAllowsBeside(t *testing.T) {
	m := &release.Manifest{Version: "6.5.0", Beside: release.Beside{release.RoleApp: ">= 6.4", release.RoleMedia: ">= 6.3"}}
	if err := m.AllowsBeside(release.RoleMedia, "6.3.0"); err != nil {
		t.Error(err)
	}
	wantProblem(t, m.AllowsBeside(release.RoleApp, "6.3.0"), problem.Check, "app servers")
}

func TestWayGoesThroughAsFewReleasesAsItMust(t *testing.T) {
	shelf := []*release.Manifest{{Version: "6.5.0", From: ">= 6.4"}, {Version: "6.3.0", From: ">= 6.1"}, {Version: "6.4.0", From: ">= 6.2"}, {Version: "6.2.0"}, {Version: "6.4.1", From: ">= 6.2"}}
	for installed, want := range map[string]string{
		"6.4.0": "6.5.0", "6.2.0": "6.4.0 6.5.0", "6.1.0": "6.2.0 6.4.0 6.5.0", "5.0.0": "6.2.0 6.4.0 6.5.0", "6.5.0": "", "7.0.0": "",
	} {
		way, err := release.Way(installed, shelf)
		if err != nil {
			t.Errorf("from %s: %v", installed, err)
			continue
		}
		var versions []string
		for _, m := range way {
			versions = append(versions, m.Version)
		}
		if got := strings.Join(versions, " "); got != want {
			t.Errorf("from %s it goes through %q, want %q", installed, got, want)
		}
	}
	_, err := release.Way("5.0.0", shelf[:2])
	wantProblem(t, err, problem.Check, "6.5.0")
}
