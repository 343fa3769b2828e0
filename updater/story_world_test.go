package updater_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/host/hosttest"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/installer/wowza/wowzatest"
	"ipivs.com/valtctl/repos/bundle"
	"ipivs.com/valtctl/repos/publish/publishtest"
	"ipivs.com/valtctl/repos/sleep"
	"ipivs.com/valtctl/updater"
)

// The site of the stories: one application, two media servers, and short times.
const storySite = practiceSite + `
updates: { canary: media1, wave: 1, confirm_within: 40s, host_within: 4m, min_media_serving: 1 }
`

const (
	oldRelease = "6.4.1"
	newRelease = "6.4.2"
	canary     = "media1"
	storySoak  = 10 * time.Second
	storyDrain = 30 * time.Second
)

// vendor is what all stories share: the repository, read over plain HTTP since what it says is
// signed, and the site file.
type vendor struct {
	repo *publishtest.Repository
	site *site.Site
	// installed is the site as installed with the old release: each host's files and what it has,
	// and the controller's folder. Empty until installed once.
	files string
	has   map[string]map[string]string
	// engines are what the media servers' own programs ask. They answer over the network, whose
	// goroutines must not be a story's: its clock stood still.
	engines map[string]*wowzatest.Engine
	bundle  *bundle.Reader
}

// newVendor publishes. Its server closes every connection, since one that is kept open holds up
// the clock of a story.
func newVendor(t *testing.T) *vendor {
	t.Helper()
	v := &vendor{repo: publishedPractice(t, 4), has: map[string]map[string]string{}, engines: map[string]*wowzatest.Engine{}, files: memoryDir(t)}
	for _, name := range append(storyHosts()[1:], successor) {
		v.engines[name] = wowzatest.New(t, t.TempDir())
	}
	v.bundle = bundled(t, v.repo)
	web := httptest.NewUnstartedServer(http.StripPrefix("/valt/", http.FileServer(http.Dir(v.repo.Dir))))
	web.Config.SetKeepAlivesEnabled(false)
	web.Start()
	t.Cleanup(web.Close)
	v.site = siteIn(t, t.TempDir(), strings.ReplaceAll(storySite, "URL", web.URL+"/valt/"), v.repo.Root, certificateOf(t, v.repo.URL))
	return v
}

// memoryDir is a temporary folder in memory where there is one: it is not the disk that is tested.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "valtctl-story-*")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// lifetime is a test that is over when its story is.
type lifetime struct {
	testing.TB
	ctx     context.Context
	cancel  context.CancelFunc
	cleanup []func()
}

func (l *lifetime) Cleanup(f func())         { l.cleanup = append(l.cleanup, f) }
func (l *lifetime) Context() context.Context { return l.ctx }

// world is the site of one story while it is lived.
type world struct {
	*lifetime
	*vendor
	story *story
	dir   string
	began time.Time
	epoch time.Time // what every clock showed then
	hosts map[string]*server
	runs  int
	spare []site.Host // that are not the site's
	file  []byte      // the site file, where it changes

	mu       sync.Mutex
	skew     time.Duration // of the controllers' clock
	wrong    []string
	trace    []string
	drained  map[string]gateWord // what a person last had done with a host's gate
	happened map[int]bool        // which of the story's events
	calm     bool                // nothing happens any more
	named    bool                // people have named hosts, of which the canary is none
	moments  map[string]int      // of each host, until the first command had ended
	at       *controller         // whose command is under way
	beside   sync.WaitGroup      // other controllers at work
}

func newWorld(t testing.TB, v *vendor, s *story) *world {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	l := &lifetime{TB: t, ctx: ctx, cancel: cancel}
	w := &world{lifetime: l, vendor: v, story: s, dir: memoryDir(l), began: time.Now(), hosts: map[string]*server{},
		drained: map[string]gateWord{}, happened: map[int]bool{}, moments: map[string]int{}}
	if w.epoch = v.repo.Now(); len(v.has) > 0 {
		w.epoch = w.epoch.Add(time.Hour) // after it was installed
		w.must(os.CopyFS(w.dir, os.DirFS(v.files)))
	}
	if s.replaces() {
		w.bringSpare()
	}
	for _, h := range w.everyone() {
		w.hosts[h.Name] = newServer(w, h, v.has[h.Name])
	}
	return w
}

// end takes the world away.
func (w *world) end() {
	w.beside.Wait()
	w.cancel()
	w.each(func(s *server) {
		s.off()
		s.Cut()
		s.units.Wait()
	})
	for _, f := range slices.Backward(w.cleanup) {
		f()
	}
}

func (w *world) must(err error) {
	if err != nil {
		panic(err)
	}
}

// each does something for every host, in the site's order.
func (w *world) each(do func(*server)) {
	for _, h := range w.everyone() {
		do(w.hosts[h.Name])
	}
}

// everyone are all servers there are: the site's, and others.
func (w *world) everyone() []site.Host { return slices.Concat(w.site.Hosts, w.spare) }

func (w *world) stateDir() string { return filepath.Join(w.dir, "controller") }

// fail notes what must not be.
func (w *world) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrong = append(w.wrong, fmt.Sprintf(format, args...))
	w.tellLocked("WRONG: "+format, args...)
}

// tell notes what happens, for whoever reads a story.
func (w *world) tell(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tellLocked(format, args...)
}

func (w *world) tellLocked(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%8.1fs ", time.Since(w.began).Seconds())+fmt.Sprintf(format, args...))
}

// now is the controllers' clock.
func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.epoch.Add(time.Since(w.began) + w.skew)
}

// controller is one run of the program on somebody's machine.
type controller struct {
	*world
	who    string
	cancel context.CancelFunc

	mu    sync.Mutex
	dead  bool
	links []io.Closer
}

// by is a controller of somebody's, and the context that it works in.
func (w *world) by(who string) (*controller, context.Context) {
	ctx, cancel := context.WithCancel(context.Background())
	return &controller{world: w, who: who, cancel: cancel}, ctx
}

// options are those of its next command.
func (c *controller) options() updater.Options {
	c.world.mu.Lock()
	c.runs++
	run := fmt.Sprintf("run-%02d", c.runs)
	if len(c.has) == 0 {
		run = "installing"
	}
	c.world.mu.Unlock()
	return updater.Options{Options: fleet.Options{Site: c.written(), Dial: c.dial, StateDir: c.stateDir(), Run: run, Who: c.who, Now: c.now, Observer: c},
		To: newRelease, Soak: storySoak, DrainWithin: storyDrain}
}

// Observe is event.Observer's.
func (c *controller) Observe(e event.Event) {
	if e.Kind != event.Progress && e.Text != "" {
		c.tell("%s: %s %s %s: %s", c.who, e.Kind, e.Host, e.Step, strings.ReplaceAll(e.Text, "\n", " "))
	}
}

var errNoRoute = errors.New("no route to host")

// dial is fleet.Dialer's: it takes a moment, and a killed program dials nobody.
func (c *controller) dial(ctx context.Context, h site.Host, _ func(done, total int64)) (io.ReadWriteCloser, error) {
	if err := sleep.For(ctx, 300*time.Millisecond); err != nil {
		return nil, err
	}
	s := c.hosts[h.Name]
	if s.isAway() {
		return nil, errNoRoute
	}
	link, err := s.Connect(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return nil, errors.Join(errNoRoute, link.Close())
	}
	c.links = append(c.links, link)
	return link, err
}

// kill ends the program at once: it says no word more to any host.
func (c *controller) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead = true
	for _, l := range c.links {
		_ = l.Close()
	}
	c.cancel()
}

// server is one host of the story. What it has outlives its programs and its boots.
type server struct {
	*hosttest.Host
	*world
	name  string
	media bool
	rest  *wowzatest.Engine // of a media server

	units  sync.WaitGroup // transactions that run
	mu     sync.Mutex
	has    map[string]string
	count  int // moments so far
	skew   time.Duration
	booted time.Time
	boots  int
	loaded bool // the gate's rules are in the kernel
	power  context.Context
	off    context.CancelFunc

	away, mute, records time.Time // until when
	lies                time.Time // the engine says until then that nothing runs
	dying               bool      // its unit is being killed
	failing, hanging    bool      // the next step to change something
	noProgram           bool      // the next program
	stuck               bool      // no step can be taken back
	hurt                bool      // a container was lost by none of our doing
	hurtAt              time.Time
	begun               time.Time // when it was last told to begin something
	ill                 bool      // the new release does not serve there
	fence               int64     // the highest that it has known
	changing            int       // steps that change it right now
	running             int       // programs that go on with transactions
	lastPort            int
	ports               map[int]*port // of its loopback
	admitted            time.Time     // when its gate was opened on something that was confirmed
}

func newServer(w *world, h site.Host, has map[string]string) *server {
	s := &server{world: w, name: h.Name, media: h.HasEngine(), has: map[string]string{}, ports: map[int]*port{}, booted: time.Now()}
	for k, v := range has {
		s.has[k] = v
	}
	root := filepath.Join(w.dir, h.Name)
	w.must(os.MkdirAll(root, 0o755))
	s.Host = hosttest.NewIn(w, root, s.now, txn.NewStoreBy(root, txn.Clock{Now: s.now, Uptime: s.uptime, Pause: pause}))
	s.Write("/usr/sbin/nft", "")
	if s.rest = w.engines[h.Name]; s.rest != nil {
		s.Write(s.rest.Access.PasswordFile, wowzatest.Password)
		s.rest.Record(interview, "")
		s.rest.Answer("")
	}
	s.boot()
	s.Programs, s.Link, s.Engine, s.Reaches, s.Loopback = programs{s}, s.link, s.engine, s.reaches, s.loopback
	s.imitate()
	s.showEngine()
	return s
}

// pause is coarser than asked: what looks ten times a second would look for minutes.
func pause(ctx context.Context, d time.Duration) error { return sleep.For(ctx, max(d, time.Second)) }

// boot is what the kernel says from now on.
func (s *server) boot() {
	s.mu.Lock()
	s.power, s.off = context.WithCancel(context.Background())
	s.mu.Unlock()
	s.Write("/proc/sys/kernel/random/boot_id", s.bootID()+"\n")
	s.writeUptime()
}

func (s *server) bootID() string { return fmt.Sprintf("0f0f0f0f-0000-4000-8000-%012d", s.boots) }

// writeUptime sets the boot clock's file, atomically as the kernel does.
func (s *server) writeUptime() {
	up, _ := s.uptime()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Write("/proc/uptime.next", fmt.Sprintf("%.2f 1.00\n", up.Seconds()))
	s.must(os.Rename(filepath.Join(s.Root, "/proc/uptime.next"), filepath.Join(s.Root, "/proc/uptime")))
}

func (s *server) uptime() (time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.booted) + time.Minute, nil
}

func (s *server) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.epoch.Add(time.Since(s.began) + s.skew)
}

func (s *server) isAway() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Before(s.away)
}

// container is the name of what the host serves with.
func (s *server) container() string {
	if s.media {
		return "container valt-engine"
	}
	return "container valt-web"
}

// release is the one that its container has; empty: it has none.
func (s *server) release() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.has[s.container()]
}

// serving says that its container runs.
func (s *server) serving() bool {
	r := s.release()
	return (r == oldRelease || r == newRelease) && !s.retired()
}

func (s *server) gateClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loaded
}

// showEngine has the facts tell which containers there are.
func (s *server) showEngine() {
	r := s.release()
	e := &facts.EngineFacts{Version: "20.10"}
	if r != "" {
		state := "running"
		s.mu.Lock()
		lies := time.Now().Before(s.lies)
		s.mu.Unlock()
		if !s.serving() || lies {
			state = "exited"
		}
		e.Containers = []facts.Container{{Name: strings.TrimPrefix(s.container(), "container "), State: state, Labels: map[string]string{docker.LabelSite: s.site.ID}}}
	}
	s.SetEngine(e)
}

// recording says whether the host records now.
func (s *server) recording() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Before(s.records)
}

// record begins a recording, if somebody can: the application tells the media server to, so both
// must serve and take sessions.
func (s *server) record(d time.Duration) {
	app := s.hosts["app1"]
	if !s.serving() || s.gateClosed() || !app.serving() || app.gateClosed() || s.isAway() || app.isAway() || !app.drives(s) {
		return
	}
	s.tell("%s records for %s", s.name, d)
	s.mu.Lock()
	s.records = time.Now().Add(d)
	s.mu.Unlock()
	s.rest.Record(interview, "Recording in Progress")
	s.beside.Go(func() {
		_ = sleep.For(s.Context(), d)
		if !s.recording() {
			s.rest.Record(interview, "")
		}
	})
}

// interview is what a media server records.
const interview = "interview-2"

// stops is asked right before what serves on the host is stopped: nothing may be recorded on it,
// nor on any media server where it is the application's.
func (s *server) stops(why string) {
	s.tell("%s: its container is stopped: %s", s.name, why)
	for _, other := range s.hosts {
		if other.recording() && (other == s || !s.media) {
			s.fail("%s was stopped (%s) while %s recorded", s.name, why, other.name)
		}
	}
	if !s.gateClosed() && s.serving() {
		s.fail("%s was stopped (%s) with its gate open", s.name, why)
	}
}

// isIll says that the host has the new release, and that it does not serve there.
func (s *server) isIll() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ill && s.has[s.container()] == newRelease
}

// spares sees to it that one media server serves while another is changed.
func (s *server) spares() {
	s.mu.Lock()
	before := s.begun.Add(-5 * time.Second)
	s.mu.Unlock()
	for _, other := range s.hosts {
		other.mu.Lock()
		dead := other.media && other.hurt && other.has[other.container()] == "" && other.hurtAt.Before(before)
		other.mu.Unlock()
		if s.media && other != s && dead && s.serving() {
			s.fail("%s was stopped, and %s had not served since before", s.name, other.name)
		}
	}
}

// follows is asked when a host gets the new release: the canary must have served with it for as
// long as it is to be watched.
func (s *server) follows() {
	first := s.hosts[canary]
	first.mu.Lock()
	admitted, hurt := first.admitted, first.hurt
	first.mu.Unlock()
	s.world.mu.Lock()
	named := s.named
	s.world.mu.Unlock()
	if s == first || named || hurt || s.bare() || s.happens(jumps) {
		return
	}
	if first.release() != newRelease || time.Since(admitted) < storySoak {
		s.fail("%s is changed, and the canary has served with %q since %s", s.name, first.release(), time.Since(admitted))
	}
}

// bare says that nothing was installed when the story began.
func (w *world) bare() bool { return len(w.has) == 0 || w.story.bare }

// happens says whether such a trouble is in the story.
func (w *world) happens(what trouble) bool {
	return slices.ContainsFunc(w.story.incidents, func(i incident) bool { return i.What == what })
}

// highest is the highest token that the host has on its disk.
func (s *server) highest() int64 {
	var f struct{ Highest int64 }
	text, err := os.ReadFile(filepath.Join(s.Root, "/var/lib/valtctl/fence.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	s.must(errors.Join(err, json.Unmarshal(text, &f)))
	return f.Highest
}

// fenced sees to it that the fence never falls.
func (s *server) fenced() {
	now := s.highest()
	s.mu.Lock()
	was := s.fence
	s.fence = max(was, now)
	s.mu.Unlock()
	if now < was {
		s.fail("the fence of %s fell from %d to %d", s.name, was, now)
	}
}

// exists says whether a file of the host is there.
func (s *server) exists(path string) bool {
	_, err := os.Lstat(filepath.Join(s.Root, path))
	return err == nil
}

// transactions lists those of the host, newest first.
func (s *server) transactions() []txn.Summary {
	all, err := s.Side().Launcher.Store.List(0)
	s.must(err)
	return all
}

// unfinished says whether a transaction is not over.
func (s *server) unfinished() bool {
	return slices.ContainsFunc(s.transactions(), func(t txn.Summary) bool { return !t.State.Finished() })
}
