package updater_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/sleep"
	"ipivs.com/valtctl/updater"
)

// trouble is what goes wrong.
type trouble string

// Troubles of the link.
const (
	requestLost trouble = "the request is lost"
	answerLost  trouble = "the answer is lost"
	away        trouble = "it cannot be reached"
	slow        trouble = "it answers late"
)

// Troubles of a host and its engine.
const (
	fails        trouble = "the next change fails"
	hangs        trouble = "the next change hangs"
	programFails trouble = "the next program fails"
	noWayBack    trouble = "nothing can be taken back"
	unitKilled   trouble = "its program is killed"
	reboots      trouble = "it reboots"
	mute         trouble = "its engine is mute"
	records      trouble = "a recording begins"
	ill          trouble = "the new release does not serve there"
	forgets      trouble = "its engine forgets the container"
	lies         trouble = "its engine says that nothing runs"
	clockJumps   trouble = "its clock jumps"
)

// Troubles of a controller.
const (
	killedController trouble = "the controller is killed"
	stopped          trouble = "the controller is stopped"
	stateLost        trouble = "the controller's folder is lost"
	jumps            trouble = "the controllers' clock jumps"
	another          trouble = "another controller begins"
)

func linkTroubles() []trouble { return []trouble{requestLost, answerLost, away, slow} }

func troubles() []trouble {
	return append(linkTroubles(), fails, hangs, programFails, noWayBack, unitKilled, reboots, mute, records, records, records, ill, forgets, lies, clockJumps,
		killedController, killedController, stopped, stateLost, jumps, another)
}

// incident is one trouble: at which moment of which host it begins, and whom it befalls. With Call
// it begins at the first such moment from At on.
type incident struct {
	Host string
	At   int
	Call string
	What trouble
	On   string
	For  time.Duration
}

func (i incident) String() string {
	return fmt.Sprintf("at moment %d %s of %s: %s: %s (%s)", i.At, i.Call, i.Host, i.On, i.What, i.For)
}

func drawIncident(rng *rand.Rand, hosts []string) incident {
	all := troubles()
	i := incident{Host: hosts[rng.IntN(len(hosts))], At: 1 + rng.IntN(150), What: all[rng.IntN(len(all))], For: time.Duration(3+rng.IntN(60)) * time.Second}
	i.On = i.Host
	if calls := turningPoints(); rng.IntN(2) == 0 {
		i.At, i.Call = 1+rng.IntN(60), calls[rng.IntN(len(calls))]
	}
	switch i.What {
	case records:
		i.On = hosts[1+rng.IntN(len(hosts)-1)]
	case away, mute, reboots, clockJumps, lies:
		i.On = hosts[rng.IntN(len(hosts))]
	}
	return i
}

// turningPoints are the moments that most depends on.
func turningPoints() []string {
	return []string{"start", "keep", "lease", "follow", "is at the gate", "opens the gate", "changes container", "is in the middle of container"}
}

// A moment is one at which something may happen to a host.
type moment int

const (
	comesIn moment = iota // a call
	goesOut               // its answer
	inWork                // a step of a transaction
)

// suits says whether a trouble can begin at such a moment.
func (t trouble) suits(m moment) bool {
	switch t {
	case requestLost, slow:
		return m == comesIn
	case answerLost:
		return m == goesOut
	}
	return true
}

// link is hosttest.Host's: a call comes in, or its answer goes out.
func (s *server) link(call string, answered bool) error {
	if call == "lease" && !answered {
		s.writeUptime() // by which leases end
	}
	m := comesIn
	if answered {
		m = goesOut
		s.fenced()
	}
	if call == "start" && !answered {
		s.mu.Lock()
		s.begun = time.Now()
		s.mu.Unlock()
		_ = sleep.For(s.power, 1100*time.Millisecond) // transactions are told apart by the second
	}
	return s.happen(m, call)
}

// moment is one in a step of a transaction. What only looks for a controller is none.
func (s *server) moment(m *step.Machine, what string) {
	if m.BootID == "" {
		return
	}
	_ = s.happen(inWork, what)
	s.dies()
}

// counted is how many moments there were so far.
func (s *server) counted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// isHurt says that the host lost its container by none of our doing.
func (s *server) isHurt() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hurt
}

// happen counts a moment, and lets happen what is due. The error is that a call, or its answer, is
// lost.
func (s *server) happen(m moment, what string) error {
	s.mu.Lock()
	s.count++
	n := s.count
	s.mu.Unlock()
	var lost error
	for _, i := range s.due(s.name, n, m, what) {
		s.tell("%s, %s: %s: %s", s.name, what, i.On, i.What)
		lost = errors.Join(lost, s.hosts[i.On].befall(i))
	}
	if s.isAway() {
		lost = errNoRoute
	}
	return lost
}

// due are the incidents that happen now.
func (w *world) due(host string, n int, m moment, what string) []incident {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.calm {
		return nil
	}
	var now []incident
	for at, i := range w.story.incidents {
		if !w.happened[at] && i.Host == host && n >= i.At && i.What.suits(m) && strings.HasPrefix(what, i.Call) {
			w.happened[at] = true
			now = append(now, i)
		}
	}
	return now
}

// befall has a trouble begin.
func (s *server) befall(i incident) error {
	switch i.What {
	case requestLost, answerLost:
		s.Cut()
		return errNoRoute
	case slow:
		return sleep.For(s.power, i.For)
	case reboots:
		s.reboot()
	case records:
		s.record(i.For)
	case killedController:
		s.inCharge().kill()
	case stopped:
		s.inCharge().cancel()
	case stateLost:
		_ = os.RemoveAll(s.stateDir())
	case another:
		s.anotherOne()
	case forgets:
		s.forget()
	case lies:
		s.lie(i.For)
	default:
		s.suffer(i)
	}
	switch {
	case i.What == away:
		s.Cut()
	case i.What == mute && s.rest != nil:
		s.rest.Answer("<html>")
		s.beside.Go(func() {
			_ = sleep.For(s.Context(), i.For)
			s.rest.Answer("")
		})
	}
	return nil
}

// suffer is befall for what is remembered.
func (s *server) suffer(i incident) {
	until := time.Now().Add(i.For)
	if i.What == jumps {
		s.world.mu.Lock()
		defer s.world.mu.Unlock()
		s.world.skew += day(i)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch i.What {
	case away:
		s.away = until
	case mute:
		s.mute = until
	case fails:
		s.failing = true
	case hangs:
		s.hanging = true
	case programFails:
		s.noProgram = true
	case noWayBack:
		s.stuck = true
	case ill:
		s.ill = s.has[s.container()] != newRelease
	case unitKilled:
		s.dying = s.running > 0
	case clockJumps:
		s.skew += day(i)
	}
}

// day is how far a clock jumps: a day, to either side.
func day(i incident) time.Duration {
	if i.At%2 == 0 {
		return -24 * time.Hour
	}
	return 24 * time.Hour
}

// inCharge is the controller whose command is under way.
func (w *world) inCharge() *controller {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

// forget is an engine that loses what serves there.
func (s *server) forget() {
	s.mu.Lock()
	delete(s.has, s.container())
	s.hurt, s.hurtAt = true, time.Now()
	s.records = time.Time{}
	s.mu.Unlock()
	s.rests()
	s.showEngine()
}

// lie is an engine that says for a while that what serves there does not run.
func (s *server) lie(d time.Duration) {
	s.mu.Lock()
	s.lies = time.Now().Add(d)
	s.mu.Unlock()
	s.showEngine()
	s.beside.Go(func() {
		_ = sleep.For(s.Context(), d)
		s.showEngine()
	})
}

// rests is the engine of a host that was cut off by none of our doing.
func (s *server) rests() {
	if s.rest != nil {
		s.rest.Record(interview, "")
	}
}

// anotherOne begins an update beside the command that is under way.
func (s *server) anotherOne() {
	c, ctx := s.by("kim@desk")
	s.beside.Go(func() {
		result, err := updater.Update(ctx, c.options())
		s.tell("kim's update: %v, %v", result != nil && result.Report != nil, err)
		c.kill()
	})
}

// reboot takes the host down and brings it up again: what is in memory is gone, and what was
// recorded there has ended by none of our doing.
func (s *server) reboot() {
	s.mu.Lock()
	down := s.power.Err() != nil
	if !down {
		s.dying, s.away, s.records = s.running > 0, time.Now().Add(20*time.Second), time.Time{}
		s.off()
	}
	s.mu.Unlock()
	if down {
		return
	}
	s.Cut()
	s.rests()
	s.beside.Go(func() {
		s.units.Wait()
		_ = sleep.For(s.Context(), 20*time.Second)
		s.must(os.RemoveAll(filepath.Join(s.Root, "run")))
		s.mu.Lock()
		s.dying, s.boots, s.booted = false, s.boots+1, time.Now()
		s.loaded = s.exists("/etc/systemd/system/sysinit.target.wants/valtctl-drain.service")
		s.mu.Unlock()
		s.boot()
		s.tell("%s is up again", s.name)
		if s.exists("/etc/systemd/system/multi-user.target.wants/valtctl-resume.service") {
			s.resume()
		}
	})
}
