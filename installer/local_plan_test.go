package installer_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/inputs"
	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/restrict"
	"ipivs.com/valtctl/repos/problem"
)

// keep puts the copy for a host into a folder, as schedule enable does on the host.
func (p *practice) keep(host string) (folder string, c *inputs.Seed) {
	p.t.Helper()
	folder = p.t.TempDir()
	var err error
	if host == "" {
		c, err = inputs.SeedOf(p.options().Site, folder, map[string]inputs.Login{"app1": {User: "valt", Port: 22}, "media1": {User: "valt", Port: 22}}, []byte("known\n"))
	} else {
		c, err = inputs.SeedFor(p.options().Site, folder, host, []string{plan.SecretCertificateKey, plan.SecretRegistryPassword, plan.SecretLicence})
	}
	if err != nil {
		p.t.Fatal(err)
	}
	files := map[string][]byte{filepath.Join(folder, "site.yaml"): c.Site}
	for name, content := range c.Files {
		files[name] = content
	}
	for name, content := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			p.t.Fatal(err)
		}
		if err := os.WriteFile(name, content, 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	return folder, c
}

// ofMedia is what media1 says of itself once it has a release.
func ofMedia(release string) facts.Facts {
	return facts.Facts{OS: facts.OS{ID: "ubuntu", VersionID: "24.04", Codename: "noble"}, Arch: "amd64",
		Installed: &facts.Installed{Site: "st-marys", Host: "media1", Roles: []string{"media"}, Release: release}}
}

func TestAHostPlansFromItsCopyWhatItsControllerPlans(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.install()
	folder, c := p.keep("media1")
	for name, content := range c.Files {
		if strings.Contains(name, "known_hosts") || strings.Contains(string(content), "known") {
			t.Errorf("a host to be reached is given a way to reach others: %s", name)
		}
	}
	own, err := restrict.OpenLocalPlan(folder, p.repo.Now, ofMedia("6.4.1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := own.Plan(t.Context(), "6.4.2")
	if err != nil {
		t.Fatal(err)
	}
	work, err := installer.Begin(t.Context(), p.options().Options)
	if err != nil {
		t.Fatal(err)
	}
	defer work.Close()
	if _, err := work.Releases(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	ours, err := work.Plan(t.Context(), "6.4.2", false)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := theirs.Plan.Host("media1")
	b, _ := ours.Plan.Host("media1")
	left, err1 := json.Marshal(a)
	right, err2 := json.Marshal(b)
	if err1 != nil || err2 != nil || string(left) != string(right) || len(a.Steps) == 0 {
		t.Errorf("the host would do\n%s\nand its controller\n%s", left, right)
	}
	if got := own.Secrets(); string(got["registry-password"]) != "registry-secret" || !strings.HasPrefix(string(got["licence"]), "EDEV4-") {
		t.Errorf("the host has %d secrets of its own", len(got))
	}
}

func TestAHostTakesOnlyWhatItHasVerified(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	folder, _ := p.keep("media1")
	open := func(is facts.Facts) (*restrict.LocalPlan, error) {
		return restrict.OpenLocalPlan(folder, p.repo.Now, is, nil)
	}
	own, err := open(ofMedia("6.4.2"))
	if err != nil {
		t.Fatal(err)
	}
	for release, why := range map[string]string{"6.4.1": "only goes forward", "6.9.9": "does not have it", "": "only goes forward"} {
		if _, err := own.Plan(t.Context(), release); problem.KindOf(err) != problem.Trust || !strings.Contains(err.Error(), why) {
			t.Errorf("release %q: %v, want …%s…", release, err, why)
		}
	}
	if own.State().Refreshed.IsZero() {
		t.Error("it has not looked at the repository itself")
	}
	other := ofMedia("6.4.2")
	other.Installed.Site = "elsewhere"
	stranger := ofMedia("6.4.2")
	stranger.Installed.Host = "media7"
	for name, is := range map[string]facts.Facts{"another site's host": other, "a host that the copy does not have": stranger, "a bare host": {}} {
		if _, err := open(is); problem.KindOf(err) != problem.Trust {
			t.Errorf("%s may judge by it: %v", name, err)
		}
	}
}

func TestTheCopyOfTheHostThatRunsItReachesTheOthers(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	folder, c := p.keep("")
	for _, want := range []string{"identity: " + facts.ScheduleKey, "user: valt", "known_hosts: " + folder + "/known_hosts"} {
		if !strings.Contains(string(c.Site), want) {
			t.Errorf("the copy lacks %q:\n%s", want, c.Site)
		}
	}
	steps, secrets, err := c.Steps()
	if err != nil || len(steps) != len(c.Files)+1 || len(secrets) != len(c.Files) {
		t.Errorf("%d steps and %d secrets for %d files, %v", len(steps), len(secrets), len(c.Files), err)
	}
	raw, err := json.Marshal(steps)
	if err != nil || slices.ContainsFunc([]string{"registry-secret", "EDEV4-"}, func(s string) bool { return strings.Contains(string(raw), s) }) {
		t.Errorf("a secret stands in the steps (%v)", err)
	}
}
