package cases

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/sleep"
)

// Attempts of a whole race, and of a sample; how long an accepted recording goes on at most.
const (
	raceAttempts = 200
	raceSample   = 4
	raceRecords  = 4 * time.Second
	raceTries    = 4 // on each host in each round
)

// recordingRace begins recordings at random moments around drains, and wants none to be
// cut: around updates, rollbacks, changed settings, switches that nobody confirms and links that
// are lost; and around changes of the application alone, without which nobody could end one.
func recordingRace(ctx context.Context, e *Env) error {
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	media, err := e.mediaHosts()
	if err != nil {
		return err
	}
	want := raceAttempts
	if e.Count > 1 {
		want = e.Count
	} else if e.Sample {
		want, media = raceSample, media[:1]
	}
	r := &race{env: e, media: media, poll: 5, rounds: map[string]int{}}
	if e.Sample {
		r.turn = e.Random.IntN(len(raceKinds))
	}
	for round := 1; r.attempts < want; round++ {
		if err := r.round(ctx); err != nil {
			return fmt.Errorf("round %d (%s), after %d attempts: %w", round, r.how, r.attempts, err)
		}
	}
	if err := r.tidy(ctx); err != nil {
		return err
	}
	e.Measure("attempts", "%d in %s: %d were refused, %d were recorded, 0 were lost", r.attempts, r.kinds(), r.refused, r.recorded)
	return nil
}

// tidy brings the site back to its own file's settings and release.
func (r *race) tidy(ctx context.Context) error {
	if r.newer {
		if _, err := r.env.Expect(ctx, 0, r.env.quick("rollback", "--to", releases.Stable)...); err != nil {
			return err
		}
	}
	if _, err := r.env.Expect(ctx, 0, r.env.quick("update")...); err != nil {
		return err
	}
	return r.env.noneLost(ctx, r.media)
}

// race is the state of a race: what the site is now and how the attempts went.
type race struct {
	env   *Env
	media []lab.Host
	poll  int  // of the cameras, seconds: the setting that is changed
	newer bool // the media hosts have the newer release
	how   string
	turn  int // of the kinds of rounds

	mu                          sync.Mutex
	attempts, refused, recorded int
	rounds                      map[string]int
}

func (r *race) kinds() string {
	var all []string
	for _, how := range append(raceKinds, "rollback") {
		if r.rounds[how] > 0 {
			all = append(all, fmt.Sprintf("%d × %s", r.rounds[how], how))
		}
	}
	return strings.Join(all, ", ")
}

// raceKinds are the kinds of rounds, in turn; a rollback follows each that leaves the newer release.
var raceKinds = []string{"expiry", "settings", "application", "lost link", "update"}

// round changes all media hosts once, or the application there and back, and begins recordings in
// the middle of it.
func (r *race) round(ctx context.Context) error {
	if r.how = "rollback"; !r.newer {
		r.how = raceKinds[r.turn%len(raceKinds)]
		r.turn++
	}
	r.rounds[r.how]++
	commands := [][]string{r.rollout()}
	if r.how == "application" {
		commands = [][]string{{"update", "--to", releases.Canary, "--host", "app1"}, {"rollback", "--to", releases.Stable, "--host", "app1"}}
	}
	if err := r.siteFile(); err != nil {
		return err
	}
	for _, args := range commands {
		if err := r.run(ctx, append(args, "--site", "race.yaml", "--yes", "--soak", "1s", "--lease", shortLease)); err != nil {
			return err
		}
	}
	switch r.how {
	case "update", "lost link":
		r.newer = true
	case "rollback":
		r.newer = false
	}
	return r.env.noneLost(ctx, r.media)
}

// siteFile writes the race's own.
func (r *race) siteFile() error {
	text, err := os.ReadFile(r.env.Lab.Path("site.yaml"))
	if err != nil {
		return fmt.Errorf("reading the site file: %w", err)
	}
	if r.how == "settings" {
		r.poll = 11 - r.poll // 5 and 6
	}
	poll, more := r.poll, ""
	if r.how == "expiry" { // what nobody confirms must not stay
		poll, more = 11-r.poll, ", confirm_within: 6s"
	}
	more = fmt.Sprintf("settings: { camera_poll: %ds }\nupdates: { wave: 100%%, min_media_serving: 0%s }\n", poll, more)
	if err := os.WriteFile(r.env.Lab.Path("race.yaml"), append(text, more...), 0o600); err != nil {
		return fmt.Errorf("writing the race's site file: %w", err)
	}
	return nil
}

// rollout is the command that changes the media hosts in this round.
func (r *race) rollout() []string {
	var names []string
	for _, h := range r.media {
		names = append(names, h.Name)
	}
	command := []string{"update"}
	switch r.how {
	case "rollback":
		command = []string{"rollback", "--to", releases.Stable}
	case "update", "lost link":
		command = []string{"update", "--to", releases.Canary}
	}
	return append(command, on(names)...)
}

// run runs the command and lets every drain that it tells of meet a recording.
func (r *race) run(ctx context.Context, args []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	command := r.env.Command(ctx, append(args, "--events")...)
	var said strings.Builder
	command.Stderr = &said
	out, err := command.StdoutPipe()
	if err != nil {
		return fmt.Errorf("starting the product: %w", err)
	}
	if err := command.Start(); err != nil {
		return fmt.Errorf("starting the product: %w", err)
	}
	m := &meeting{race: r, seen: map[string]bool{}}
	killed := false
	err = eachEvent(out, func(e saidEvent) {
		if strings.HasSuffix(e.Text, " begins") {
			m.begins(ctx, e.Host)
		}
		if r.how == "expiry" && !killed && r.host(e.Host) != nil && strings.Contains(e.Text, "switched") {
			killed = true
			_ = command.Process.Kill() // the laptop is closed: nobody confirms
		}
	})
	ended := command.Wait()
	m.beside.Wait()
	if err = errors.Join(append(m.errs, err)...); err != nil {
		return err
	}
	if killed {
		return r.wentBack(ctx)
	}
	if ended != nil {
		return fmt.Errorf("valtctl %v: %w: %s", args, ended, said.String())
	}
	return nil
}

// wentBack waits until no host is in the middle of something and the killed controller's
// lease is over, and lets another one go on with the rollout.
func (r *race) wentBack(ctx context.Context) error {
	for start := r.env.Now(); r.env.Now().Sub(start) < hostWithin; {
		status, err := r.env.Run(ctx, "lock", "show")
		if err != nil {
			return err
		}
		busy := 0
		for _, h := range r.media {
			out, err := outputIfThere(ctx, r.env.Lab, h.Name, "systemctl", "list-units", "--no-legend", "--plain", "valtctl-txn-*")
			if err != nil {
				return err
			}
			busy += len(strings.Fields(out))
		}
		if busy == 0 && strings.Contains(status.Stdout, "nobody") {
			_, err := r.env.Expect(ctx, 0, "resume", "--site", "race.yaml", "--yes")
			r.poll = 11 - r.poll
			return err
		}
		if err := sleep.For(ctx, time.Second); err != nil {
			return err
		}
	}
	return errors.New("the host did not go back by itself")
}

// saidEvent is what scenarios read of a line of --events.
type saidEvent struct {
	Kind, Host, Step, Text string
	StepKind               step.KindName `json:"step_kind"`
}

// eachEvent hands over the lines of --events.
func eachEvent(out io.Reader, do func(saidEvent)) error {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var t struct {
			Event saidEvent
		}
		if json.Unmarshal(lines.Bytes(), &t) == nil {
			do(t.Event)
		}
	}
	if err := lines.Err(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("reading the product's events: %w", err)
	}
	return nil
}
