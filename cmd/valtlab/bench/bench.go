// Package bench measures valtctl on the practice site: an install that finds nothing to
// change beside an Ansible playbook that asserts the same state on the same hosts, and
// the round trips that it costs where every one of them is long. Both tools run as their
// users run them, by their command lines, in turns, so that whatever else the machine
// does hits both. It measures nothing inside valtctl: the benchmarks of its packages do.
package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/lab"
)

// Options say what is measured. All are needed.
type Options struct {
	Lab      *lab.Lab
	Valtctl  string // path of the product
	Playbook string // folder with site.yaml and what it includes
	Now      func() time.Time
	Out      io.Writer
	Rounds   int // of one playbook each
	Installs int // in all rounds together
}

// What must hold: the promise made to users of the other tool, and what a site far away
// may cost.
const (
	wantRatio = 50 // of the medians
	wantTrips = 15 // a host
)

// bench is a measurement under way.
type bench struct {
	Options
	hosts []host
	work  string // folder of this run, removed at its end
}

// Run measures and prints. The error tells what does not hold.
func Run(ctx context.Context, o Options) (err error) {
	b := &bench{Options: o}
	if b.hosts, err = readHosts(o.Lab.Path(siteName)); err != nil {
		return err
	}
	if err := o.Lab.PrepareBench(ctx); err != nil {
		return err
	}
	if b.work, err = os.MkdirTemp("", "valtlab-bench-"); err != nil {
		return fmt.Errorf("making a folder to work in: %w", err)
	}
	defer os.RemoveAll(b.work)
	if err := b.ensureInstalled(ctx); err != nil {
		return err
	}
	speed, err := b.compare(ctx)
	if err != nil {
		return err
	}
	far, err := b.distance(ctx)
	if err != nil {
		return err
	}
	if err := writeReport(o.Out, speed, far); err != nil {
		return err
	}
	return verdict(speed, far)
}

// compare runs both tools in turns.
func (b *bench) compare(ctx context.Context) (speed, error) {
	play, err := b.preparePlaybook(ctx)
	if err != nil {
		return speed{}, err
	}
	defer play.leave(context.WithoutCancel(ctx))
	var s speed
	// Once before anything is timed: it opens the connections that ControlPersist keeps,
	// and tells whether the playbook has a task for each step.
	if _, s.tasks, err = play.run(ctx); err != nil {
		return s, err
	}
	if s.steps, err = b.steps(ctx); err != nil {
		return s, err
	}
	if err := sameWork(b.hosts, s.tasks, s.steps); err != nil {
		return s, err
	}
	for round := range b.Rounds {
		took, _, err := play.run(ctx)
		if err != nil {
			return s, err
		}
		s.ansible = append(s.ansible, took)
		for range share(b.Installs, b.Rounds, round) {
			if took, err = b.install(ctx, siteName, nil); err != nil {
				return s, err
			}
			s.valtctl = append(s.valtctl, took)
		}
	}
	return s, nil
}

// share is how many of n fall into one of so many rounds.
func share(n, rounds, round int) int { return n*(round+1)/rounds - n*round/rounds }

// sameWork wants one task a step on every host.
func sameWork(hosts []host, tasks, steps map[string]int) error {
	for _, h := range hosts {
		if tasks[h.Name] != steps[h.Name] {
			return fmt.Errorf("host %s: the playbook has %d tasks and the plan %d steps: bring testdata/bench up to the plan (go test ./cmd/valtlab/bench names the step)", h.Name, tasks[h.Name], steps[h.Name])
		}
	}
	return nil
}

// command runs a program to its end and returns its output and how long it took. The
// output goes through files: a connection that Ansible leaves open for the next run
// (ssh_config(5), ControlPersist) holds its standard error, and a pipe would be waited
// for until that connection ends too.
func (b *bench) command(ctx context.Context, env []string, argv ...string) (string, time.Duration, error) {
	stdout, err := os.Create(filepath.Join(b.work, "stdout"))
	if err != nil {
		return "", 0, fmt.Errorf("running %s: %w", filepath.Base(argv[0]), err)
	}
	defer stdout.Close()
	stderr, err := os.Create(filepath.Join(b.work, "stderr"))
	if err != nil {
		return "", 0, fmt.Errorf("running %s: %w", filepath.Base(argv[0]), err)
	}
	defer stderr.Close()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = b.Lab.Path()
	cmd.Env = slices.Concat(os.Environ(), env)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	start := b.Now()
	ran := cmd.Run()
	took := b.Now().Sub(start)
	said, err := os.ReadFile(stdout.Name())
	if err == nil && ran != nil {
		complaint, _ := os.ReadFile(stderr.Name()) // beside ran it is only an explanation
		err = fmt.Errorf("running %s: %w: %s%s", filepath.Base(argv[0]), ran, said, complaint)
	}
	return string(said), took, err
}
