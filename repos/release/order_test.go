package release_test

import (
	"slices"
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
	m := &release.Manifest{Version: "6.5.0", Beside: release.Beside{App: ">= 6.4", Media: ">= 6.3"}}
	if err := m.AllowsBeside(release.RoleMedia, "6.3.0"); err != nil {
		t.Error(err)
	}
	wantProblem(t, m.AllowsBeside(release.RoleApp, "6.3.0"), problem.Check, "app servers")
}
