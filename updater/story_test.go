package updater_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/wizard"
	"ipivs.com/valtctl/repos/sleep"
	"ipivs.com/valtctl/repos/testdraw"
	"ipivs.com/valtctl/updater"
	"ipivs.com/valtctl/updater/schedule"
)

// A story is a site with bad days: what people have it do, and what goes wrong when. It is drawn
// by a seed, and one that ends badly is told by as few of its incidents as it takes.
type story struct {
	title     string // its seed, or what it is about
	bare      bool   // nothing is installed when it begins
	commands  []string
	incidents []incident
}

func (s *story) String() string {
	text := strings.Join(s.commands, ", then ")
	if s.bare {
		text = "on bare hosts: " + text
	}
	for _, i := range s.incidents {
		text += "\n    " + i.String()
	}
	return text
}

func drawStory(seed uint64) *story {
	rng := rand.New(rand.NewPCG(seed, 1))
	s := &story{title: fmt.Sprintf("seed %d", seed), bare: rng.IntN(10) == 0}
	firsts := []string{"update", "update", "update", "stage", "update app1", "update media2", "drain media1", "drain app1", "schedule", "schedule", "update" + fromBundle, "update media1" + fromBundle}
	nexts := []string{"resume", "resume", "resume", "update", "schedule", "rollback", "abort", "undrain media1", "drain media2", "repair", "resume" + fromBundle}
	s.commands = append(s.commands, firsts[rng.IntN(len(firsts))])
	if s.bare {
		s.commands[0] = []string{"install", "install" + fromBundle}[rng.IntN(2)]
	}
	for range rng.IntN(3) {
		s.commands = append(s.commands, nexts[rng.IntN(len(nexts))])
	}
	for range 1 + rng.IntN(4) {
		s.incidents = append(s.incidents, drawIncident(rng, storyHosts()))
	}
	return s
}

// live lives a story to its end, and returns the world then.
func live(t testing.TB, v *vendor, s *story) *world {
	w := newWorld(t, v, s)
	defer w.end()
	if s.bare {
		w.strip()
	}
	for _, c := range s.commands {
		w.do(c)
	}
	w.heal()
	if s.replaces() {
		w.judgeReplacement()
	} else {
		w.judge()
	}
	return w
}

// strip takes away what was installed.
func (w *world) strip() {
	w.each(func(s *server) {
		w.must(os.RemoveAll(s.Root + "/var"))
		s.mu.Lock()
		s.has = map[string]string{}
		s.mu.Unlock()
		s.showEngine()
	})
}

// gateWord is what a person had done with a gate.
type gateWord string

// The words; none is open.
const (
	closedByHand gateWord = "closed"
	either       gateWord = "either" // whether it was done is not known
)

// do has somebody run a command to its end.
func (w *world) do(command string) {
	c, ctx := w.by("pat@laptop")
	defer c.kill()
	what, carried := strings.CutSuffix(command, fromBundle)
	words := strings.Fields(what)
	w.mu.Lock()
	w.at, w.named = c, w.named || len(words) > 1
	w.mu.Unlock()
	before := map[string]string{}
	w.each(func(s *server) { before[s.name] = s.release() })
	o := c.options()
	if carried {
		o.Carrier = fleet.NewCarrier(w.bundle)
		defer o.Carrier.Close()
	}
	w.tell("pat: %s (%s)", command, o.Run)
	report, err := c.run(ctx, &o, words)
	w.tell("pat: %s came to: %v", command, err)
	if len(w.story.incidents) == 0 && command == w.story.commands[0] && err != nil {
		w.fail("nothing went wrong, and %s came to: %v", command, err)
	}
	if len(w.moments) == 0 {
		w.each(func(s *server) { w.moments[s.name] = s.counted() })
	}
	if carried && err == nil && len(w.story.incidents) == 0 && len(o.Carrier.Sent()) == 0 {
		w.fail("%s took nothing from the bundle", command)
	}
	if !w.story.replaces() {
		w.judgeReport(what, o, before, report, err)
	}
}

// run does one command.
func (c *controller) run(ctx context.Context, o *updater.Options, words []string) (*updater.Report, error) {
	var result *updater.UpdateResult
	var err error
	switch words[0] {
	case "update":
		o.Hosts = words[1:]
		result, err = updater.Update(ctx, *o)
	case "stage":
		o.StageOnly = true
		result, err = updater.Update(ctx, *o)
	case "rollback":
		o.To = ""
		result, err = updater.Rollback(ctx, *o)
	case "repair":
		o.Hosts = words[1:]
		result, err = updater.Repair(ctx, *o)
	case "replace":
		return c.replace(ctx, *o, updater.ReplaceOptions{What: wizard.Replacement{Old: words[1], New: words[2], Address: c.addressOf(words[2]), Since: "2026-11-30"}})
	case "resume":
		if result, err = updater.Resume(ctx, *o); errors.Is(err, updater.ErrNoRollout) {
			_, err = installer.Resume(ctx, installer.Options{Options: o.Options, SkipChecks: true})
		}
		var replacement *updater.UnfinishedReplacement
		if errors.As(err, &replacement) {
			return c.replace(ctx, *o, updater.ReplaceOptions{What: replacement.What, Begun: &replacement.Replacing})
		}
	case "abort":
		aborted, err := updater.Abort(ctx, *o, nil)
		if aborted != nil {
			return aborted.Report, err
		}
		return nil, err
	case "schedule":
		return c.byClock(ctx, *o)
	case "install":
		_, err = installer.Install(ctx, installer.Options{Options: o.Options, SkipChecks: true})
	default:
		err = c.gate(ctx, *o, words[0], words[1])
	}
	if result == nil {
		return nil, err
	}
	return result.Report, err
}

// byClock is the unattended run, of a site that follows the vendor's channel.
func (c *controller) byClock(ctx context.Context, o updater.Options) (*updater.Report, error) {
	s := *o.Site
	s.Release.Version, s.Release.Channel = "", "stable"
	o.Site = &s
	in := func(name string) string { return filepath.Join(c.dir, "schedule", name) }
	c.must(os.MkdirAll(in(""), 0o755))
	result, err := schedule.Run(ctx, schedule.Options{Options: o.Options, Soak: storySoak, Drain: storyDrain,
		Files: schedule.Files{State: in("state"), Notices: in("notices"), Pause: in("pause"), Enabled: in("enabled")}})
	if result == nil {
		return nil, err
	}
	for _, d := range result.Decisions {
		c.tell("the schedule: %s, %s", d.Do, d.Why)
	}
	return result.Report, err
}

// gate drains a host, or opens it.
func (c *controller) gate(ctx context.Context, o updater.Options, what, host string) error {
	do, word := updater.Drain, closedByHand
	if what == "undrain" {
		do, word = updater.Undrain, ""
	}
	err := do(ctx, o, host)
	switch {
	case err == nil:
		c.drained[host] = word
	case !strings.Contains(err.Error(), "recordings go on"): // for which it is opened again
		c.drained[host] = either
	}
	return err
}

// heal ends all trouble, waits until what the hosts do by themselves is over, and has somebody go
// on with what is left.
func (w *world) heal() {
	w.mu.Lock()
	w.calm, w.skew = true, 0
	w.mu.Unlock()
	_ = sleep.For(w.Context(), 5*time.Minute)
	w.beside.Wait()
	w.each(func(s *server) {
		s.mu.Lock()
		s.away, s.mute, s.records, s.skew = time.Time{}, time.Time{}, time.Time{}, 0
		s.failing, s.hanging, s.noProgram, s.stuck = false, false, false, false
		s.mu.Unlock()
	})
	w.tell("the trouble is over")
	last := "resume"
	if slices.ContainsFunc(w.story.commands, func(c string) bool { return strings.HasSuffix(c, fromBundle) }) {
		last += fromBundle // what began with a bundle goes on with it
	}
	w.do(last)
}

// installed installs the site once, for all stories to begin with.
func (v *vendor) install(t *testing.T) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, v, &story{title: "install", commands: []string{"install"}})
		defer w.end()
		w.do("install")
		w.judge()
		if len(w.wrong) > 0 {
			t.Fatalf("%s\n%s", strings.Join(w.wrong, "\n"), strings.Join(w.trace, "\n"))
		}
		w.must(os.CopyFS(v.files, os.DirFS(w.dir)))
		w.each(func(s *server) { v.has[s.name] = s.has })
	})
	forgetTimers()
}

// forgetTimers lets go of the timers that the connections keep for each other: one of a story's
// clock is of no use to another's.
func forgetTimers() {
	runtime.GC()
	runtime.GC()
}

// shrink leaves out of a bad story what it does not take.
func shrink(t testing.TB, v *vendor, s *story) *story {
	for again := true; again; {
		again = false
		for i := range s.incidents {
			less := *s
			less.incidents = slices.Delete(slices.Clone(s.incidents), i, i+1)
			if len(live(t, v, &less).wrong) > 0 {
				s, again = &less, true
				break
			}
		}
	}
	return s
}

// Whatever happens to the links, the hosts, the engines and the controllers of a site, and whatever
// people have it do meanwhile: no recording is cut, every host ends old, new or in quarantine, its gate
// is as it should be, and the reports say what became of each.
func TestStoriesOfASite(t *testing.T) {
	forgetTimers()
	v := newVendor(t)
	v.install(t)
	runs := testdraw.Times(t, 8, 10000)
	testdraw.Tried(t, runs, "stories")
	first := testdraw.Draw(t)
	tellAll(t, v, func(yield func(*story) bool) {
		for seed := first; seed < first+uint64(runs) && yield(drawStory(seed)); seed++ {
		}
	})
}

// tellAll lives stories until one ends badly.
func tellAll(t *testing.T, v *vendor, stories iter.Seq[*story]) {
	const batch = 50
	var some []*story
	tell := func() bool {
		synctest.Test(t, func(t *testing.T) { tellStories(t, v, some) })
		forgetTimers()
		some = nil
		return !t.Failed()
	}
	for s := range stories {
		if some = append(some, s); len(some) == batch && !tell() {
			return
		}
	}
	tell()
}

func tellStories(t *testing.T, v *vendor, stories []*story) {
	for _, s := range stories {
		if w := live(t, v, s); len(w.wrong) > 0 {
			short := shrink(t, v, s)
			again := live(t, v, short)
			if len(again.wrong) == 0 {
				again = w // not every time
			}
			t.Errorf("%s: %s\n  %s\n  comes to: %s\n%s", s.title, strings.Join(w.wrong, "\n"), short, strings.Join(again.wrong, "\n"), strings.Join(again.trace, "\n"))
			return
		}
	}
}

// storyHosts are the hosts of the site, the application first.
func storyHosts() []string { return []string{"app1", "media1", "media2"} }

// At every call to every host of an update, and in every step there, each thing happens once that can
// happen to a link, and what ends programs.
func TestEveryMomentOfAnUpdate(t *testing.T) {
	forgetTimers()
	v := newVendor(t)
	v.install(t)
	moments := map[string]int{}
	synctest.Test(t, func(t *testing.T) {
		for _, command := range []string{"update", "update app1", "update media2", "stage", "drain media1", "drain app1", "schedule", "rollback", "update" + fromBundle} {
			w := live(t, v, &story{title: command, commands: []string{command}})
			if command == "rollback" {
				w = live(t, v, &story{title: command, commands: []string{"update", command}})
			}
			if len(w.wrong) > 0 {
				t.Fatalf("undisturbed, %s: %s\n%s", command, strings.Join(w.wrong, "\n"), strings.Join(w.trace, "\n"))
			}
			if command == "update" {
				moments = w.moments
			}
			if news := w.hosts["app1"].release() == newRelease; news != slices.Contains([]string{"update", "update app1", "schedule", "update" + fromBundle}, command) {
				t.Fatalf("undisturbed, %s leaves %s\n%s", command, w.hosts["app1"].release(), strings.Join(w.trace, "\n"))
			}
		}
	})
	forgetTimers()
	rng, tried := rand.New(rand.NewPCG(testdraw.Draw(t), 2)), 0
	tellAll(t, v, func(yield func(*story) bool) {
		for _, host := range storyHosts() {
			for at := range moments[host] {
				for _, what := range append(linkTroubles(), killedController, unitKilled, reboots) {
					if !testdraw.IsWhole() && rng.IntN(600) > 0 {
						continue
					}
					tried++
					i := incident{Host: host, At: at + 1, What: what, On: host, For: 20 * time.Second}
					if !yield(&story{title: i.String(), commands: []string{"update"}, incidents: []incident{i}}) {
						return
					}
				}
			}
		}
	})
	testdraw.Tried(t, tried, "moments and faults")
}
