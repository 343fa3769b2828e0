package updater_test

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/sleep"
	"ipivs.com/valtctl/repos/testdraw"
	"ipivs.com/valtctl/updater"
)

// The server that takes a place, and what a host has whose containers were stopped for good.
const (
	successor = "media3"
	leaver    = "media1"
	atRest    = "its containers rest"
)

// replaces says that the story is one of a replacement.
func (s *story) replaces() bool {
	return len(s.commands) > 0 && strings.HasPrefix(s.commands[0], "replace")
}

// bringSpare puts a bare server beside the site, and makes the site file one that can change.
func (w *world) bringSpare() {
	h, _ := w.site.Host(leaver)
	h.Name, h.Address = successor, "10.0.4.31"
	w.spare = []site.Host{h}
	text, err := os.ReadFile(w.site.File())
	w.must(err)
	w.file = text
}

// written is the site as its file has it.
func (w *world) written() *site.Site {
	if len(w.spare) == 0 {
		return w.site
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s, err := site.Parse(w.site.File(), w.file, "")
	w.must(err)
	return s
}

// addressOf is where a server is, for one that the site file does not know.
func (w *world) addressOf(name string) string {
	if _, known := w.written().WasReplaced(name); known {
		return ""
	}
	for _, h := range w.everyone() {
		if h.Name == name {
			return string(h.Address)
		}
	}
	return ""
}

// replace has a server take the place of another, or goes on with it, as the command does.
func (c *controller) replace(ctx context.Context, base updater.Options, o updater.ReplaceOptions) (*updater.Report, error) {
	o.Before = c.written()
	text, err := o.What.Apply(c.file)
	if err != nil {
		return nil, err
	}
	o.Options = base
	if o.Site, err = site.Parse(c.site.File(), text, ""); err != nil {
		return nil, err
	}
	o.Write = func() error {
		c.world.mu.Lock()
		defer c.world.mu.Unlock()
		c.file = text
		return nil
	}
	result, err := updater.Replace(ctx, o)
	if result == nil {
		return nil, err
	}
	return result.Report, err
}

// retired says that the host's containers were stopped for good.
func (s *server) retired() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.has[atRest] != ""
}

// wakes starts a container again that was stopped for good, or stops it again on the way back.
func (t *thing) wakes(ctx context.Context, m *step.Machine, value string, there bool) error {
	if err := sleep.For(ctx, 2*time.Second); err != nil {
		return err
	}
	t.moment(m, "is in the middle of "+t.title)
	if m.Keep != "" {
		t.must(os.WriteFile(filepath.Join(m.Keep, "slept"), nil, 0o600))
	}
	t.mu.Lock()
	delete(t.has, atRest)
	t.mu.Unlock()
	t.set(value, there)
	return nil
}

// sleepsAgain puts to rest what the step has woken.
func (t *thing) sleepsAgain(m *step.Machine) {
	if _, err := os.Stat(filepath.Join(m.Keep, "slept")); err != nil || t.retired() {
		return
	}
	t.stops("a transaction takes it back")
	t.mu.Lock()
	t.has[atRest] = "yes"
	t.mu.Unlock()
	t.showEngine()
}

// drives says that the application has a media server among its own.
func (s *server) drives(media *server) bool {
	if len(s.spare) == 0 {
		return true
	}
	return slices.Contains(s.driven(), media.name)
}

// driven are the media servers that the application has the addresses of.
func (s *server) driven() []string {
	s.mu.Lock()
	text := s.has["file /etc/valt/nginx.conf"]
	s.mu.Unlock()
	var all []string
	for _, h := range s.everyone() {
		if strings.Contains(text, string(h.Address)) && h.HasEngine() {
			all = append(all, h.Name)
		}
	}
	return all
}

// judgeReplacement wants one of the two servers to have the place, wholly, once all trouble is over.
func (w *world) judgeReplacement() {
	c, ctx := w.by("judge")
	defer c.kill()
	s := w.written()
	_, moved := s.Host(successor)
	has, other := leaver, successor
	if moved {
		has, other = successor, leaver
	}
	w.tell("at the end %s has the place", has)
	st, err := updater.Status(ctx, c.options(), false)
	if err != nil {
		w.fail("what the site is cannot be told: %v", err)
		return
	}
	if st.Intent != nil || st.Lease == nil || st.Lease.Run != "" {
		w.fail("something is still there: %+v, %+v", st.Intent, st.Lease)
	}
	if w.happens(noWayBack) {
		return
	}
	for _, h := range []string{has, "media2", "app1"} {
		if one := w.hosts[h]; !one.serving() || one.gateClosed() || one.replacedBy() != "" {
			w.fail("%s does not serve: release %q, at rest %v, gate closed %v, replaced by %q", h, one.release(), one.retired(), one.gateClosed(), one.replacedBy())
		}
	}
	if w.hosts[other].serving() {
		w.fail("%s serves as well", other)
	}
	if got := w.hosts["app1"].driven(); !slices.Equal(got, slices.Sorted(slices.Values([]string{has, "media2"}))) {
		w.fail("the application drives %v, and %s has the place", got, has)
	}
	if moved && w.hosts[leaver].replacedBy() != successor {
		w.fail("%s does not say that it was replaced", leaver)
	}
	if moved && len(w.story.incidents) == 0 {
		o := c.options()
		o.Site = w.site // as the file was
		if _, err := installer.Install(ctx, installer.Options{Options: o.Options, SkipChecks: true}); err == nil || !strings.Contains(err.Error(), "has taken its place") {
			w.fail("an installation with the former site file came to: %v", err)
		}
	}
	w.each(func(s *server) {
		for _, t := range s.transactions() {
			if !t.State.Finished() || t.State == txn.StateQuarantined {
				w.fail("transaction %s of %s is %s", t.ID, s.name, t.State)
			}
		}
	})
}

// replacedBy is the server that the host says has its place.
func (s *server) replacedBy() string {
	var is facts.Installed
	text, err := os.ReadFile(filepath.Join(s.Root, "/var/lib/valtctl/host.json"))
	if err == nil {
		_ = json.Unmarshal(text, &is)
	}
	return is.ReplacedBy
}

// hasPlace says that a server has the place at the end.
func (w *world) hasPlace(name string) bool { _, has := w.written().Host(name); return has }

const replaceStory = "replace " + leaver + " " + successor

// A media server's place goes to another one and back, with nothing left of it.
func TestAPlaceMovesAndComesBack(t *testing.T) {
	forgetTimers()
	v := newVendor(t)
	v.install(t)
	synctest.Test(t, func(t *testing.T) {
		there := live(t, v, &story{title: "there", commands: []string{replaceStory}})
		back := live(t, v, &story{title: "and back", commands: []string{replaceStory, "replace " + successor + " " + leaver}})
		busy := live(t, v, &story{title: "while it records", commands: []string{replaceStory},
			incidents: []incident{{Host: leaver, At: 1, What: records, On: leaver, For: time.Hour}}})
		for w, want := range map[*world]string{there: successor, back: leaver, busy: leaver} {
			if len(w.wrong) > 0 || !w.hasPlace(want) {
				t.Errorf("%s: %s\n%s", w.story.title, strings.Join(w.wrong, "\n"), strings.Join(w.trace, "\n"))
			}
		}
	})
}

// At every call to every host of a replacement, and in every step there, each thing happens once that
// can happen to a link, and what ends programs: one server has the place at the end, and where the
// controller was killed whoever goes on ends it well.
func TestEveryMomentOfAReplacement(t *testing.T) {
	forgetTimers()
	v := newVendor(t)
	v.install(t)
	var moments map[string]int
	synctest.Test(t, func(t *testing.T) {
		w := live(t, v, &story{title: replaceStory, commands: []string{replaceStory}})
		if moments = w.moments; len(w.wrong) > 0 {
			t.Fatalf("undisturbed: %s\n%s", strings.Join(w.wrong, "\n"), strings.Join(w.trace, "\n"))
		}
	})
	forgetTimers()
	rng, tried := rand.New(rand.NewPCG(testdraw.Draw(t), 3)), 0
	tellAll(t, v, func(yield func(*story) bool) {
		for _, host := range append(storyHosts(), successor) {
			for at := range moments[host] {
				for _, what := range append(linkTroubles(), killedController, killedController, unitKilled, reboots, records) {
					if !testdraw.IsWhole() && rng.IntN(60) > 0 {
						continue
					}
					tried++
					i := incident{Host: host, At: at + 1, What: what, On: host, For: 20 * time.Second}
					if what == records {
						i.On = leaver
					}
					if !yield(&story{title: i.String(), commands: []string{replaceStory}, incidents: []incident{i}}) {
						return
					}
				}
			}
		}
	})
	testdraw.Tried(t, tried, "moments and faults")
	if tried == 0 && !t.Failed() {
		t.Error(errors.New("nothing was tried"))
	}
}
