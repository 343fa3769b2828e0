package installer_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/inputs"
	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/restrict"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/publish"
	"ipivs.com/valtctl/repos/publish/publishtest"
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
	own, err := p.judge(folder, ofMedia("6.4.1"))
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
		return p.judge(folder, is)
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

// follows has the site follow a channel.
func (p *practice) follows(channel string) {
	p.t.Helper()
	text, err := os.ReadFile(filepath.Join(p.dir, "site.yaml"))
	if err != nil {
		p.t.Fatal(err)
	}
	p.write("site.yaml", bytes.Replace(text, []byte("version: 6.4.2"), []byte("channel: "+channel), 1))
}

// judge is the view of a host whose site is among the first half of all.
func (p *practice) judge(folder string, is facts.Facts) (*restrict.LocalPlan, error) {
	return restrict.OpenLocalPlan(restrict.LocalOptions{Folder: folder, Now: p.repo.Now, Facts: is,
		Phased: func(_, _ string, percent int) bool { return percent >= 50 }})
}

// The host itself reads what the channel of its site offers that site now.
func TestAHostTakesOnlyWhatItsSiteIsOffered(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.follows("stable")
	p.repo.Change(t, func(r *publish.Repository) error {
		for v, from := range map[string]string{"6.5.0": ">= 6.4.2", "6.6.0": ">= 6.5.0", "6.7.0": ">= 6.0.0"} {
			rel := publishtest.Release(v)
			rel.Manifest = bytes.Replace(rel.Manifest, []byte(`">= 6.2"`), []byte(strconv.Quote(from)), 1)
			if _, err := r.AddRelease(rel); err != nil {
				return err
			}
		}
		return errors.Join(r.SetChannel("canary", "6.7.0"), r.SetChannelFor("stable", "6.6.0", 50))
	})
	for name, c := range map[string]struct {
		percent      int
		has, version string
		ahead, ok    bool
	}{
		"the next on the way":                     {50, "6.4.2", "6.5.0", false, true},
		"the one on offer, past one in between":   {50, "6.4.2", "6.6.0", false, false},
		"fetching it while it is two updates off": {50, "6.4.2", "6.6.0", true, true},
		"the one on offer":                        {50, "6.5.0", "6.6.0", false, true},
		"the one that it has, to put it right":    {50, "6.6.0", "6.6.0", false, true},
		"the one that it has, behind the offer":   {50, "6.5.0", "6.5.0", false, false},
		"one that is for the canary":              {50, "6.5.0", "6.7.0", false, false},
		"fetching one that is for the canary":     {50, "6.5.0", "6.7.0", true, false},
		"one that this site is not to have yet":   {10, "6.5.0", "6.6.0", false, false},
		"the next on the way to that":             {10, "6.4.2", "6.5.0", false, false},
		"one that nobody is to have yet":          {0, "6.5.0", "6.6.0", true, false},
		"one that the channel went back from":     {50, "6.7.0", "6.7.0", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			p.repo.Change(t, func(r *publish.Repository) error { return r.SetChannelFor("stable", "6.6.0", c.percent) })
			folder, _ := p.keep("media1")
			own, err := p.judge(folder, ofMedia(c.has))
			if err != nil {
				t.Fatal(err)
			}
			if err := own.Offered(t.Context(), c.has, c.version, c.ahead); (err == nil) != c.ok || err != nil && problem.KindOf(err) != problem.Trust {
				t.Errorf("%s on a host with %s: %v", c.version, c.has, err)
			}
		})
	}
}

// What was offered holds for a day where the repository is out of reach, and no longer: the vendor
// may have called it back.
func TestAnOfferIsBelievedForADay(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.follows("stable")
	folder, _ := p.keep("media1")
	ask := func() error {
		own, err := p.judge(folder, ofMedia("6.4.1"))
		if err != nil {
			t.Fatal(err)
		}
		return own.Offered(t.Context(), "6.4.1", "6.4.2", false)
	}
	if err := ask(); err != nil {
		t.Fatal(err)
	}
	p.repo.Rewire(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusBadGateway); return true })
	p.repo.Pass(23 * time.Hour)
	if err := ask(); err != nil {
		t.Errorf("a repository that is away for a moment: %v", err)
	}
	p.repo.Pass(2 * time.Hour)
	if err := ask(); err == nil || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("what was on offer a day ago: %v", err)
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
