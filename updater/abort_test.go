package updater_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/host/hosttest"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/publish"
	"ipivs.com/valtctl/repos/publish/publishtest"
	"ipivs.com/valtctl/updater"
)

// practice is a site of one application and two media servers in this process, all of
// release 6.4.1, with 6.4.2 in the repository.
type practice struct {
	t        *testing.T
	repo     *publishtest.Repository
	stateDir string
	site     *site.Site
	hosts    map[string]*hosttest.Host

	mu   sync.Mutex
	seen func(event.Event)
	down map[string]error

	connects atomic.Int64
	ahead    atomic.Int64 // the hosts' clock, in seconds: transactions sort by the second
}

func (p *practice) hostClock() time.Time {
	return time.Now().Add(time.Duration(p.ahead.Load()) * time.Second)
}

const practiceSite = `
site: st-marys
name: valt.example
ssl: false
release: { version: 6.4.1, url: "URL", root: root.json }
registry: { username: st-marys, password_file: registry }
clients: [10.0.0.0/16]
network: { trust: [server.pem] }
hosts:
  - { name: app1, address: 10.0.4.10, roles: [app] }
  - { name: media1, address: 10.0.4.21, roles: [media], recordings: /srv/valt, wowza: { license: physical } }
  - { name: media2, address: 10.0.4.22, roles: [media], recordings: /srv/valt, wowza: { license: physical } }
`

func newPractice(t *testing.T) *practice {
	t.Helper()
	p := &practice{t: t, repo: publishedPractice(t, 2, mistakenDatabase()), stateDir: t.TempDir(), hosts: map[string]*hosttest.Host{}, down: map[string]error{}}
	p.site = siteIn(t, t.TempDir(), strings.ReplaceAll(practiceSite, "URL", p.repo.URL), p.repo.Root, certificateOf(t, p.repo.URL))
	for _, h := range p.site.Hosts {
		p.hosts[h.Name] = hosttest.New(t, p.hostClock)
	}
	if _, err := installer.Install(t.Context(), installer.Options{Options: p.options("install").Options, SkipChecks: true}); err != nil {
		t.Fatal(err)
	}
	return p
}

// publishedPractice is a repository with 6.4.1 and 6.4.2 as the practice site has them; quiet seconds
// lie between two looks at the recorders. What would be refused after them comes first.
func publishedPractice(t *testing.T, quiet int, first ...publish.Release) *publishtest.Repository {
	t.Helper()
	repo := publishtest.New(t)
	repo.Change(t, func(r *publish.Repository) error {
		for _, rel := range first {
			if _, err := r.AddRelease(rel); err != nil {
				return err
			}
		}
		for _, v := range []string{"6.4.1", "6.4.2"} {
			rel := publishtest.Release(v)
			for name, text := range rel.Files {
				rel.Files[name] = bytes.ReplaceAll(text, []byte("image: "), []byte("image: docker.ipivs.com/valt/"))
			}
			rel.Manifest = bytes.ReplaceAll(rel.Manifest, []byte(`"method": "wowza"`), []byte(`"method": "wowza-rest"`))
			rel.Manifest = bytes.ReplaceAll(rel.Manifest, []byte(`"health": [{"name": "engine"`),
				[]byte(`"passwords": [{"name": "engine", "path": "/etc/valt/secrets/engine"}], "health": [{"name": "engine"`))
			rel.Manifest = bytes.ReplaceAll(rel.Manifest, []byte("server_name ${VALT_NAME};"), []byte("server_name ${VALT_NAME}; # ${VALT_MEDIA_ADDRESSES}"))
			rel.Manifest = bytes.ReplaceAll(rel.Manifest, []byte(`"quiet_seconds": 30`), fmt.Appendf(nil, `"quiet_seconds": %d`, quiet))
			if _, err := r.AddRelease(rel); err != nil {
				return err
			}
		}
		return r.SetChannel("stable", "6.4.2")
	})
	return repo
}

// mistakenDatabase changes a database that the releases before it do not say is one.
func mistakenDatabase() publish.Release {
	rel := publishtest.Release("6.6.0")
	rel.Manifest = bytes.Replace(rel.Manifest, []byte(`"drain": {`),
		[]byte(`"database": {"image": "web", "user": "root", "password": "db", "migrate": {"within": "5m"}}, "drain": {`), 1)
	return rel
}

// siteIn writes a site file and what it names into a folder, and reads it.
func siteIn(t *testing.T, dir, text string, root, certificate []byte) *site.Site {
	t.Helper()
	for name, content := range map[string][]byte{"site.yaml": []byte(text), "root.json": root, "registry": []byte("registry-secret\n"), "server.pem": certificate} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := site.Load(filepath.Join(dir, "site.yaml"), "")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// certificateOf is what a server shows, for the site to trust.
func certificateOf(t *testing.T, url string) []byte {
	t.Helper()
	address, _, _ := strings.Cut(strings.TrimPrefix(url, "https://"), "/")
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: conn.ConnectionState().PeerCertificates[0].Raw})
}

func (p *practice) options(run string) updater.Options {
	return updater.Options{Options: fleet.Options{Site: p.site, Dial: p.connect, StateDir: p.stateDir, Run: run, Who: "pat@laptop",
		Now: p.repo.Now, Observer: p}}
}

func (p *practice) connect(ctx context.Context, h site.Host, _ func(done, total int64)) (io.ReadWriteCloser, error) {
	p.mu.Lock()
	err := p.down[h.Name]
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return p.hosts[h.Name].Connect(ctx)
}

func (p *practice) setDown(host string, why error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down[host] = why
}

func (p *practice) Observe(e event.Event) {
	p.mu.Lock()
	seen := p.seen
	p.mu.Unlock()
	if seen != nil {
		seen(e)
	}
}

// lost begins a rollout to 6.4.2 whose controller is lost at a moment that the host has
// been heard to say; what it was about stays beside the lease.
func (p *practice) lost(host string, change installer.Change, until string, done ...string) {
	p.t.Helper()
	p.ahead.Add(10)
	ctx, cancel := context.WithCancel(p.t.Context())
	defer cancel()
	intent := updater.Intent{Kind: updater.KindUpdate, From: "6.4.1", To: "6.4.2", Final: "6.4.2", Run: "lost", Who: "kim@desk", Done: map[string]updater.HostRecord{},
		Before: map[string]updater.Begun{host: {Run: "lost"}}}
	for _, h := range done {
		intent.Done[h] = updater.HostRecord{Host: h, Outcome: updater.Updated, From: "6.4.1", To: "6.4.2", Wave: 1}
	}
	note, err := json.Marshal(intent)
	if err != nil {
		p.t.Fatal(err)
	}
	work, err := installer.Begin(ctx, p.options("lost").Options)
	if err != nil {
		p.t.Fatal(err)
	}
	defer work.Close()
	if _, err := work.Releases(ctx, false); err != nil {
		p.t.Fatal(err)
	}
	target, err := work.Plan(ctx, "6.4.2", false)
	if err != nil {
		p.t.Fatal(err)
	}
	held, holding, err := work.Hold(ctx, note)
	if err != nil {
		p.t.Fatal(err)
	}
	p.seen = func(e event.Event) {
		if strings.Contains(e.Text, until) {
			cancel()
		}
	}
	hp, _ := target.Plan.Host(host)
	change.Steps = hp.Steps
	if done, err := work.Do(holding, host, target, change); err == nil || ctx.Err() == nil {
		p.t.Fatalf("the controller was not lost: %+v, %v", done, err)
	}
	p.mu.Lock()
	p.seen = nil
	p.mu.Unlock()
	if err := held.Release(context.WithoutCancel(ctx)); err != nil {
		p.t.Fatal(err)
	}
}

// switching is a change that waits for its confirmation.
func switching() installer.Change {
	return installer.Change{Policy: txn.Allow, Confirm: "10m", Approve: func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }}
}

// now is a host's newest transaction.
func (p *practice) now(host string) txn.Summary { return p.hosts[host].Transactions()[0] }

func (p *practice) status() *updater.SiteStatus {
	p.t.Helper()
	st, err := updater.Status(p.t.Context(), p.options("status"), false)
	if err != nil {
		p.t.Fatal(err)
	}
	return st
}

// nothingLeft checks that a rollout is closed, and that resume has nothing to go on with.
func (p *practice) nothingLeft() {
	p.t.Helper()
	if st := p.status(); st.Intent != nil {
		p.t.Errorf("the rollout is still there: %+v", st.Intent)
	}
	if _, err := updater.Resume(p.t.Context(), p.options("again")); !errors.Is(err, updater.ErrNoRollout) {
		p.t.Error("resuming it:", err)
	}
	if result, err := installer.Resume(p.t.Context(), installer.Options{Options: p.options("again").Options, SkipChecks: true}); result != nil || !errors.Is(err, installer.ErrNothingToResume) {
		p.t.Errorf("resuming an installation: %+v, %v", result, err)
	}
}

func TestAbortTakesBackWhatWaits(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.lost("media1", switching(), "waits to be confirmed", "media2")
	if s := p.now("media1").State; s != txn.StateUnconfirmed {
		t.Fatal(s)
	}
	st := p.status()
	needs := problem.All(errors.Join(asErrors(st.Needs())...))
	if len(needs) < 2 || !strings.Contains(needs[0].Error(), "a rollout is unfinished, and nobody is at work on it: the update to 6.4.2 that kim@desk began") || !strings.Contains(needs[0].Fix, "valtctl abort") {
		t.Errorf("%v", needs)
	}
	dry := p.options("dry")
	dry.DryRun = true
	looked, err := updater.Abort(t.Context(), dry, nil)
	if err != nil || looked.Report != nil || looked.Preview.Hosts[1].Does != "goes back from 6.4.2" || looked.Preview.Hosts[2].Does != "keeps 6.4.2" {
		t.Fatalf("%+v, %v", looked, err)
	}
	if s := p.now("media1").State; s != txn.StateUnconfirmed {
		t.Fatal("a dry run changed it:", s)
	}
	result, err := updater.Abort(t.Context(), p.options("abort"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := outcomes(result.Report); got != "app1=not-started media1=rolled-back media2=updated" || result.Report.Halted != "aborted by pat@laptop" {
		t.Errorf("%s, %s", got, result.Report.Halted)
	}
	if s := p.now("media1"); s.State != txn.StateRolledBack || !strings.Contains(s.Words(), "aborted by pat@laptop") {
		t.Error(s.Words())
	}
	p.nothingLeft()
	read, err := updater.ReadReport(p.stateDir, "abort")
	if err != nil || read.Halted != "aborted by pat@laptop" || outcomes(read) != outcomes(result.Report) {
		t.Errorf("%+v, %v", read, err)
	}
	if again, err := updater.Abort(t.Context(), p.options("again"), nil); err != nil || !again.Preview.Nothing() || again.Report != nil {
		t.Errorf("a second abort: %+v, %v", again, err)
	}
}

// A host that nobody confirmed has gone back by the time that somebody comes: the report says that
// it had its turn, and how that ended.
func TestAbortTellsOfAHostThatWentBackByItself(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	change := switching()
	change.Confirm = "10s"
	p.lost("media1", change, "waits to be confirmed", "media2")
	p.uptimeOf("media1", 200) // it began at 100
	for deadline := time.Now().Add(time.Minute); p.now("media1").State != txn.StateRolledBack; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it did not go back: %s", p.now("media1").Words())
		}
	}
	result, err := updater.Abort(t.Context(), p.options("abort"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := outcomes(result.Report); got != "app1=not-started media1=rolled-back media2=updated" {
		t.Error(got)
	}
	if r := result.Report.Hosts[1]; r.Transaction != p.now("media1").ID || r.To != "6.4.2" || !strings.Contains(r.Reason, "confirmed") {
		t.Errorf("%+v", r)
	}
	p.nothingLeft()
}

func TestAbortFollowsARunningChangeToItsEndFirst(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	hold := make(chan struct{})
	p.hosts["media1"].Hold = hold
	p.lost("media1", switching(), "…")
	if s := p.now("media1").State; s != txn.StateRunning {
		t.Fatal(s)
	}
	p.seen = func(e event.Event) {
		if e.Kind == event.Connect && p.connects.Add(1) == 2*int64(len(p.hosts)) { // looked at, and connected to for the abort
			close(hold)
		}
	}
	result, err := updater.Abort(t.Context(), p.options("abort"), nil)
	if err != nil || outcomes(result.Report) != "app1=not-started media1=rolled-back media2=not-started" {
		t.Fatalf("%+v, %v", result.Report, err)
	}
	p.nothingLeft()
}

func TestAbortLeavesARunThatIsAtWorkAlone(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.lost("media1", switching(), "waits to be confirmed")
	work, err := installer.Begin(t.Context(), p.options("other").Options)
	if err != nil {
		t.Fatal(err)
	}
	defer work.Close()
	held, _, err := work.Hold(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := updater.Abort(t.Context(), p.options("abort"), nil); problem.KindOf(err) != problem.Locked {
		t.Error(err)
	}
	if st := p.status(); !st.Attended() || len(st.Needs()) > 0 && strings.Contains(st.Needs()[0].Error(), "unfinished") {
		t.Errorf("%v", st.Needs())
	}
	if s := p.now("media1").State; s != txn.StateUnconfirmed {
		t.Error(s)
	}
	if err := held.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := updater.Abort(t.Context(), p.options("abort"), nil); err != nil {
		t.Error("once that run has ended:", err)
	}
}

func TestAbortNamesAHostThatIsAway(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	p.lost("media1", switching(), "waits to be confirmed")
	p.down["media2"] = &problem.Error{Doing: "connecting to", Object: "media2", Err: errors.New("no route")}
	result, err := updater.Abort(t.Context(), p.options("abort"), nil)
	if err == nil || !strings.Contains(err.Error(), "no route") || outcomes(result.Report) != "app1=not-started media1=rolled-back media2=not-started" {
		t.Fatalf("%+v, %v", result, err)
	}
	if why := result.Report.Hosts[2].Reason; !strings.Contains(why, "goes back by itself") {
		t.Error(why)
	}
}

func TestDriftIsCountedAgainstTheHostsOwnRelease(t *testing.T) {
	t.Parallel()
	p := newPractice(t)
	st, err := updater.Status(t.Context(), p.options("drift"), true)
	if err != nil || len(st.Drift) != 3 {
		t.Fatalf("%+v, %v", st, err)
	}
	for _, d := range st.Drift {
		if d.Release != "6.4.1" || d.Steps == 0 {
			t.Errorf("%+v", d)
		}
	}
}

func asErrors(all []*problem.Error) []error {
	var errs []error
	for _, p := range all {
		errs = append(errs, p)
	}
	return errs
}

func outcomes(r *updater.Report) string {
	var all []string
	for _, h := range r.Hosts {
		all = append(all, h.Host+"="+string(h.Outcome))
	}
	return strings.Join(all, " ")
}
