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
// cut: around updates, rollbacks, changed settings, and switches that nobody confirms.
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
	r := &race{env: e, media: media, poll: 5}
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
	for _, how := range []string{"settings", "update", "rollback", "expiry"} {
		if r.rounds[how] > 0 {
			all = append(all, fmt.Sprintf("%d × %s", r.rounds[how], how))
		}
	}
	return strings.Join(all, ", ")
}

// round changes all media hosts once and begins a recording on each in the middle of it.
func (r *race) round(ctx context.Context) error {
	if r.how = "rollback"; !r.newer {
		r.how = []string{"expiry", "settings", "update"}[r.turn%3]
		r.turn++
	}
	if r.rounds == nil {
		r.rounds = map[string]int{}
	}
	r.rounds[r.how]++
	args, err := r.command()
	if err != nil {
		return err
	}
	if err := r.run(ctx, args); err != nil {
		return err
	}
	switch r.how {
	case "update":
		r.newer = true
	case "rollback":
		r.newer = false
	}
	return r.env.noneLost(ctx, r.media)
}

// command is the product's command of this round, with a site file of the race's own.
func (r *race) command() ([]string, error) {
	text, err := os.ReadFile(r.env.Lab.Path("site.yaml"))
	if err != nil {
		return nil, fmt.Errorf("reading the site file: %w", err)
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
		return nil, fmt.Errorf("writing the race's site file: %w", err)
	}
	args := []string{"--site", "race.yaml", "--yes", "--soak", "1s", "--lease", shortLease}
	switch r.how {
	case "rollback":
		args = append([]string{"rollback", "--to", releases.Stable}, args...)
	case "update":
		args = append([]string{"update", "--to", releases.Canary}, args...)
	default:
		args = append([]string{"update"}, args...)
	}
	var names []string
	for _, h := range r.media {
		names = append(names, h.Name)
	}
	return append(args, on(names)...), nil
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
	var tries sync.WaitGroup
	var errs []error
	killed := false
	seen := map[string]bool{}
	err = eachEvent(out, func(e saidEvent) {
		h, host, text := r.host(e.Host), e.Host, e.Text
		if h == nil {
			return
		}
		if strings.HasSuffix(text, " begins") && !seen[host] {
			seen[host] = true
			moments := make([]tryAt, raceTries)
			for i := range moments {
				moments[i] = tryAt{r.moment(), time.Duration(r.env.Random.Int64N(int64(raceRecords)))}
			}
			tries.Go(func() {
				if err := r.tries(ctx, *h, moments); err != nil {
					r.mu.Lock()
					errs = append(errs, err)
					r.mu.Unlock()
				}
			})
		}
		if r.how == "expiry" && !killed && strings.Contains(text, "switched") {
			killed = true
			_ = command.Process.Kill() // the laptop is closed: nobody confirms
		}
	})
	ended := command.Wait()
	tries.Wait()
	if err = errors.Join(append(errs, err)...); err != nil {
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

// moment is when a recording begins, after a host's turn has. The gate closes after one to
// three seconds, so every other attempt is drawn around that.
func (r *race) moment() time.Duration {
	span := 6_000
	if r.env.Random.IntN(2) == 0 {
		span = 3_000
	}
	return time.Duration(r.env.Random.IntN(span)) * time.Millisecond
}

func (r *race) host(name string) *lab.Host {
	for i := range r.media {
		if r.media[i].Name == name {
			return &r.media[i]
		}
	}
	return nil
}

// tryAt is when a recording begins, since the one before ended, and how long it goes on.
type tryAt struct{ after, lasts time.Duration }

// tries begins recordings on one host, one after the other.
func (r *race) tries(ctx context.Context, media lab.Host, all []tryAt) error {
	desk, err := r.env.desk(ctx, "app1", media)
	if err != nil {
		return err
	}
	names, err := desk.streams(ctx) // over the connection that the recording is then begun on
	if err != nil {
		return err
	}
	for _, at := range all {
		if err := r.attempt(ctx, desk, names[0], at); err != nil {
			return err
		}
	}
	return nil
}

// attempt begins a recording from the application's address after a while. Whether the
// host lets it is its own business; one that it has accepted must come to its end.
func (r *race) attempt(ctx context.Context, desk *desk, stream string, at tryAt) error {
	if err := sleep.For(ctx, at.after); err != nil {
		return err
	}
	err := desk.record(ctx, stream)
	r.mu.Lock()
	r.attempts++
	if err != nil {
		r.refused++
	} else {
		r.recorded++
	}
	r.mu.Unlock()
	if err != nil {
		return nil
	}
	if err := sleep.For(ctx, at.lasts); err != nil {
		return err
	}
	return r.stopAtLast(ctx, desk, stream)
}

// stopAtLast ends a recording. While the host takes two readings it lets nobody in, and
// then sees the recording and lets its owner in again.
func (r *race) stopAtLast(ctx context.Context, desk *desk, stream string) error {
	var err error
	for start := r.env.Now(); r.env.Now().Sub(start) < hostWithin; {
		if err = desk.stop(ctx, stream); err == nil || strings.Contains(err.Error(), "404") {
			return nil // 404: it ended with its stream; a cut one is found among the lost
		}
		if err := sleep.For(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("the recording could not be ended: %w", err)
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
