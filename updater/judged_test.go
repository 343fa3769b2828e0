package updater_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/host/hosttest"
	"ipivs.com/valtctl/installer/inputs"
	"ipivs.com/valtctl/installer/keyuse"
	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/restrict"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/publish"
	"ipivs.com/valtctl/repos/publish/publishtest"
	"ipivs.com/valtctl/updater"
	"ipivs.com/valtctl/updater/schedule"
)

// judgedPractice is the practice site that updates itself: its media servers know its controller
// by the schedule's key alone, and it is some minutes after their maintenance window has opened.
type judgedPractice struct {
	*practice
	ahead time.Duration // how far the windows' clock is ahead of the hosts'
}

// ownSite reads the site file once more, with some of it changed.
func (p *practice) ownSite(change ...string) {
	p.t.Helper()
	text, err := os.ReadFile(p.site.File())
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(p.site.File(), []byte(strings.NewReplacer(change...).Replace(string(text))), 0o600); err != nil {
		p.t.Fatal(err)
	}
	if p.site, err = site.Load(p.site.File(), ""); err != nil {
		p.t.Fatal(err)
	}
}

func newJudged(t *testing.T) *judgedPractice {
	t.Helper()
	p, _ := rollingPractice(t)
	p.ownSite("version: 6.4.1", "channel: stable", "clients:", "updates: { timezone: UTC, windows: [\"Sun 02:00-05:00\"] }\nclients:")
	j := &judgedPractice{practice: p}
	now := p.hostClock().UTC()
	opens := time.Date(now.Year(), now.Month(), now.Day(), 2, 0, 0, 0, time.UTC).AddDate(0, 0, 7-int(now.Weekday()))
	j.ahead = opens.Add(10 * time.Minute).Sub(now)
	for name, h := range p.hosts {
		if name != "app1" {
			j.judges(name, h)
		}
	}
	return j
}

// judges has a host take nothing but what its judge lets through.
func (j *judgedPractice) judges(name string, h *hosttest.Host) {
	folder := filepath.Join(h.Root, facts.Restricted)
	seed, err := inputs.SeedFor(j.site, folder, name, []string{plan.SecretCertificateKey, plan.SecretRegistryPassword, plan.SecretLicence})
	if err != nil {
		j.t.Fatal(err)
	}
	seed.Files[filepath.Join(folder, "site.yaml")] = seed.Site
	for path, content := range seed.Files {
		h.Write(strings.TrimPrefix(path, h.Root), string(content))
	}
	h.Before = func(own agent.Handlers) (agent.Handlers, error) {
		is, err := own.Facts(j.t.Context(), agent.FactsRequest{})
		if err != nil {
			return own, err
		}
		judge, err := schedule.Judge(schedule.JudgeOptions{Folder: folder, Uses: filepath.Join(h.Root, facts.KeyUses), Now: j.repo.Now, Is: is, Fence: h.Side().Highest,
			Clock:        restrict.Clock{Now: j.hostClock, Ahead: j.ahead, Given: true},
			Transactions: func() ([]txn.Summary, error) { return h.Side().Launcher.Store.List(0) }})
		if err != nil {
			return own, err
		}
		return judge.Handlers(own), nil
	}
}

// asSchedule are the options of a rollout that the schedule begins.
func (j *judgedPractice) asSchedule(run string) updater.Options {
	o := j.rolling(run)
	o.Who = "the schedule on root@app1"
	return o
}

// uses are what a media server has written down of the key, newest first.
func (j *judgedPractice) uses(name string) (all []string) {
	if r := keyuse.Read(filepath.Join(j.hosts[name].Root, facts.KeyUses), keyuse.Kept); r != nil {
		for _, u := range r.Uses {
			all = append(all, strings.TrimSpace(string(u.Call)+" "+string(u.Refused)))
		}
	}
	return all
}

// The whole of an unattended update is taken by hosts that judge it, and what they remember of it
// is their own.
func TestAnUnattendedUpdateIsTakenByHostsThatJudgeIt(t *testing.T) {
	t.Parallel()
	j := newJudged(t)
	o := j.asSchedule("20261129T020500Z-aaaaaa")
	o.StageOnly = true
	if _, err := updater.Update(t.Context(), o); err != nil {
		t.Fatalf("fetching ahead: %v", err)
	}
	result, err := updater.Update(t.Context(), j.asSchedule("20261129T021500Z-abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	if got := outcomes(result.Report); got != "app1=updated media1=updated media2=updated" {
		t.Fatal(got)
	}
	for _, name := range []string{"media1", "media2"} {
		last := j.hosts[name].Transactions()[0]
		if last.Who != "the schedule's key of app1" || last.PlanDigest != result.Report.PlanDigest || last.State != txn.StateDone || last.RunID != "20261129T021500Z-abcdef" {
			t.Errorf("%s remembers %+v", name, last)
		}
		if got := strings.Join(j.uses(name), ", "); got != "confirm, update, fence, stage" && got != "confirm, update, stage, fence" {
			t.Errorf("%s has written down: %s", name, got)
		}
	}
	for _, h := range j.status().Hosts {
		if (h.KeyUse == nil) != (h.Host == "app1") {
			t.Errorf("the status of %s says of the key %+v", h.Host, h.KeyUse)
		}
	}
	j.nothingLeft()
	again, err := updater.Update(t.Context(), j.asSchedule("20261129T022500Z-abcdef"))
	if err != nil || again.Preview.Differs() {
		t.Errorf("a second update: %+v, %v", again, err)
	}
}

// An intermediate release that is required is taken on the way to the one on offer.
func TestJudgedHostsTakeTheReleaseInBetween(t *testing.T) {
	t.Parallel()
	j := newJudged(t)
	j.repo.Change(t, func(r *publish.Repository) error {
		rel := publishtest.Release("6.5.0")
		for name, text := range rel.Files {
			rel.Files[name] = bytes.ReplaceAll(text, []byte("image: "), []byte("image: docker.ipivs.com/valt/"))
		}
		rel.Manifest = bytes.ReplaceAll(rel.Manifest, []byte(`"method": "wowza"`), []byte(`"method": "wowza-rest"`))
		rel.Manifest = bytes.Replace(rel.Manifest, []byte(`"from": ">= 6.2"`), []byte(`"from": ">= 6.4.2"`), 1)
		rel.Manifest = bytes.ReplaceAll(rel.Manifest, []byte(`"health": [{"name": "engine"`),
			[]byte(`"passwords": [{"name": "engine", "path": "/etc/valt/secrets/engine"}], "health": [{"name": "engine"`))
		_, err := r.AddRelease(rel)
		return errors.Join(err, r.SetChannel("stable", "6.5.0"))
	})
	o := j.asSchedule("20261129T021500Z-abcdef")
	o.To = "6.5.0"
	if _, err := updater.Update(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if got := j.releases(); got != "app1=6.5.0 media1=6.5.0 media2=6.5.0" {
		t.Error(got)
	}
}

// A host that refuses to be tried again in this window is left for the next one: the release is
// not to blame.
func TestAHostThatWasTriedInThisWindowIsLeftForTheNext(t *testing.T) {
	t.Parallel()
	j := newJudged(t)
	j.hosts["media2"].Fails["drain"] = step.ErrNotDrained
	if _, err := updater.Update(t.Context(), j.asSchedule("20261129T021500Z-abcdef")); problem.KindOf(err) != problem.Halted {
		t.Fatal(err)
	}
	delete(j.hosts["media2"].Fails, "drain")
	result, err := updater.Update(t.Context(), j.asSchedule("20261129T022500Z-abcdef"))
	if problem.KindOf(err) != problem.Halted || result.Report == nil {
		t.Fatal(err)
	}
	for _, r := range result.Report.Hosts {
		if r.Host == "media2" && (r.Outcome != updater.Skipped || !strings.Contains(r.Reason, "tried in this maintenance window already")) {
			t.Errorf("%+v", r)
		}
	}
	j.practice.ahead.Add(7 * 24 * 3600)
	if _, err := updater.Update(t.Context(), j.asSchedule("20261206T021500Z-abcdef")); err != nil || !strings.Contains(j.releases(), "media2=6.4.2") {
		t.Errorf("in the next window: %v, %s", err, j.releases())
	}
}

// At noon not even the schedule itself updates a host.
func TestAtNoonJudgedHostsAreLeftAlone(t *testing.T) {
	t.Parallel()
	j := newJudged(t)
	j.ahead += 10 * time.Hour
	result, err := updater.Update(t.Context(), j.asSchedule("20261129T120000Z-abcdef"))
	if err == nil || result == nil || result.Report == nil {
		t.Fatal(err)
	}
	for _, name := range []string{"media1", "media2"} {
		if got := j.hosts[name].Transactions(); len(got) > 1 || len(j.uses(name)) == 0 {
			t.Errorf("%s was asked %q and did %+v", name, j.uses(name), got)
		}
	}
	if got := j.releases(); strings.Contains(got, "media1=6.4.2") || strings.Contains(got, "media2=6.4.2") {
		t.Error(got)
	}
}
