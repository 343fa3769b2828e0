package cases

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/cmd/valtlab/ubuntu"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/sleep"
)

// replaceFile is the site file of the replacements, beside the lab's own.
const replaceFile = "replace.yaml"

// replace has a recording media server replaced by one of the next LTS, whose engine keeps images in
// the other store, and takes its place back: no recording is lost, the cameras are served from the new
// one, and the servers that it is not about are not disturbed. In a whole run a controller is killed at
// each turn of it, and in a sample at one that the seed draws.
func replace(ctx context.Context, e *Env) error {
	r, err := e.newReplacement(ctx)
	if err != nil {
		return err
	}
	err = r.all(ctx)
	return errors.Join(err, r.tidy(context.WithoutCancel(ctx)))
}

// replacement is a media server and the one that takes its place.
type replacement struct {
	*Env
	old, fresh lab.Host
	others     []string // that it is not about
	before     map[string]fingerprint
	started    map[string]string
}

func (e *Env) newReplacement(ctx context.Context) (*replacement, error) {
	if err := e.at(ctx, releases.Stable); err != nil {
		return nil, err
	}
	media, err := e.mediaHosts()
	if err != nil {
		return nil, err
	}
	r := &replacement{Env: e, old: media[0]}
	for _, h := range media[1:] {
		r.others = append(r.others, h.Name)
	}
	next := ubuntu.Default
	if r.old.Ubuntu != ubuntu.Newest {
		next = ubuntu.Newest
	}
	r.fresh = lab.Host{Name: "successor", Roles: []string{lab.RoleMedia}, Ubuntu: next, ImageStore: lab.Containerd}
	if err := e.Timed("a bare server of Ubuntu "+next, func() (err error) {
		if r.fresh, err = e.Lab.AddHost(ctx, r.fresh); err != nil {
			return err
		}
		return e.Lab.Reset(ctx, r.fresh.Name)
	}); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(e.Lab.Path("site.yaml"))
	if err == nil {
		err = os.WriteFile(e.Lab.Path(replaceFile), text, 0o644)
	}
	if err != nil {
		return nil, fmt.Errorf("writing the site file: %w", err)
	}
	r.before, r.started, err = e.undisturbed(ctx, r.others)
	return r, err
}

// there are the arguments of the replacement, and back those of the way back.
func (r *replacement) there() []string {
	return []string{"replace", r.old.Name, "--with", r.fresh.Name, "--address", r.fresh.Address.String(), "--site", replaceFile, "--lease", shortLease, "--yes"}
}

func (r *replacement) back() []string {
	return []string{"replace", r.fresh.Name, "--with", r.old.Name, "--site", replaceFile, "--lease", shortLease, "--yes"}
}

// all shows it.
func (r *replacement) all(ctx context.Context) error {
	if err := r.Timed("a recording that does not end in time", func() error { return r.busy(ctx) }); err != nil {
		return err
	}
	moments := r.moments()
	if r.Sample {
		n := r.Random.IntN(len(moments))
		moments = moments[n : n+1]
	}
	for _, m := range moments {
		if err := r.Timed("killed where "+m.host+" "+m.says, func() error { return r.killed(ctx, m) }); err != nil {
			return err
		}
		if err := r.Timed("and back", func() error { return r.comeBack(ctx) }); err != nil {
			return err
		}
	}
	if err := r.Timed("replacement while it records", func() error { return r.recording(ctx) }); err != nil {
		return err
	}
	return r.Timed("and back", func() error { return r.comeBack(ctx) })
}

// busy wants nothing to be moved while a recording goes on, and it to go on.
func (r *replacement) busy(ctx context.Context) error {
	desk, stream, err := r.record(ctx, r.old)
	if err != nil {
		return err
	}
	_, err = r.Expect(ctx, 4, append(r.there(), "--drain", "5s")...)
	if err := errors.Join(err, desk.stop(ctx, stream)); err != nil {
		return err
	}
	return errors.Join(r.place(ctx, r.old, r.fresh), r.noneLost(ctx, []lab.Host{r.old, r.fresh}))
}

// record begins a recording.
func (r *replacement) record(ctx context.Context, on lab.Host) (*desk, string, error) {
	desk, err := r.desk(ctx, "app1", on)
	if err != nil {
		return nil, "", err
	}
	streams, err := desk.streams(ctx)
	if err != nil {
		return nil, "", err
	}
	_ = desk.stop(ctx, streams[0]) // one that an earlier run left
	return desk, streams[0], desk.record(ctx, streams[0])
}

// recording has it replaced while it records, which is waited for.
func (r *replacement) recording(ctx context.Context) error {
	desk, stream, err := r.record(ctx, r.old)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		err := sleep.For(ctx, 15*time.Second)
		ended <- errors.Join(err, desk.stop(ctx, stream))
	}()
	_, err = r.Expect(ctx, 0, r.there()...)
	return errors.Join(err, <-ended, r.moved(ctx))
}

// moved wants the new server to have the place, and the old one its recordings.
func (r *replacement) moved(ctx context.Context) error {
	if err := r.place(ctx, r.fresh, r.old); err != nil {
		return err
	}
	status, err := r.Expect(ctx, 0, "status", "--site", replaceFile)
	if err == nil && !strings.Contains(status.Stdout, r.old.Name+" ("+r.old.Address.String()+") was replaced by "+r.fresh.Name) {
		err = fmt.Errorf("status does not name the server that keeps recordings: %s", status.Stdout)
	}
	if err != nil {
		return err
	}
	kept, err := r.Lab.Output(ctx, r.old.Name, "find", recordingsFolder, "-name", "*.mp4")
	if err == nil && strings.TrimSpace(kept) == "" {
		err = fmt.Errorf("%s has no recordings any more", r.old.Name)
	}
	if _, refused := r.Expect(ctx, 3, "install", "--yes", "--host", r.old.Name); refused != nil { // with the file that was
		err = errors.Join(err, refused)
	}
	return err
}

// comeBack goes the way back.
func (r *replacement) comeBack(ctx context.Context) error {
	if _, err := r.Expect(ctx, 0, r.back()...); err != nil {
		return err
	}
	return r.place(ctx, r.old, r.fresh)
}

// place wants one server to have the place: it serves its cameras and takes sessions, the application
// and the site file know it, and the other one serves nothing. No recording is lost, and the others are
// what they were.
func (r *replacement) place(ctx context.Context, has, other lab.Host) error {
	desk, err := r.desk(ctx, "app1", has)
	if err != nil {
		return err
	}
	streams, err := desk.streams(ctx)
	if err != nil {
		return err
	}
	r.Measure("streams of "+has.Name, "%d", len(streams))
	running, err := outputIfThere(ctx, r.Lab, other.Name, "docker", "ps", "--quiet")
	if err != nil || strings.TrimSpace(running) != "" {
		return errors.Join(err, fmt.Errorf("on %s runs: %s", other.Name, running))
	}
	drives, err := r.Lab.Output(ctx, "app1", "docker", "inspect", "--format", "{{.Config.Env}}", "valt-web")
	if err != nil || !strings.Contains(drives, has.Address.String()) || strings.Contains(drives, other.Address.String()) {
		return errors.Join(err, fmt.Errorf("the application does not drive %s alone: %s", has.Name, drives))
	}
	s, err := site.Load(r.Lab.Path(replaceFile), "")
	if err != nil {
		return err
	}
	if h, is := s.Host(has.Name); !is || string(h.Address) != has.Address.String() || len(h.Cameras) == 0 {
		return fmt.Errorf("the site file does not have %s: %+v", has.Name, h)
	}
	if err := r.noneLost(ctx, []lab.Host{r.old, r.fresh}); err != nil {
		return err
	}
	return r.spared(ctx)
}

// spared wants the servers that it is not about to be what they were, their containers started when
// they had.
func (r *replacement) spared(ctx context.Context) error {
	now, started, err := r.undisturbed(ctx, r.others)
	if err != nil {
		return err
	}
	if err := same(r.before, now); err != nil {
		return err
	}
	if !maps.Equal(r.started, started) {
		return fmt.Errorf("containers on %v were started anew: %v before, %v after", r.others, r.started, started)
	}
	return nil
}

// turning is a moment of a replacement: what its progress says, and of which host.
type turning struct{ host, says string }

// moments are those at which a controller is killed.
func (r *replacement) moments() []turning {
	return []turning{
		{r.fresh.Name, "is made ready"}, {r.old.Name, "switched"}, {r.fresh.Name, "switched"}, {"app1", "switched"}, {"app1", "confirmed"},
	}
}

// killed kills the controller at a moment, and has another one go on from the site file.
func (r *replacement) killed(ctx context.Context, m turning) error {
	command := r.Command(ctx, r.there()...)
	out, err := command.StderrPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		return fmt.Errorf("starting the replacement: %w", err)
	}
	var said []string
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		said = append(said, lines.Text())
		if strings.Contains(lines.Text(), m.host+" "+m.says) {
			break
		}
	}
	if err := command.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_ = command.Wait() // it was killed
	if !slices.ContainsFunc(said, func(l string) bool { return strings.Contains(l, m.host+" "+m.says) }) {
		return fmt.Errorf("the replacement never said that %s %s: %s", m.host, m.says, strings.Join(said, "\n"))
	}
	other, err := r.elsewhere()
	if err != nil {
		return err
	}
	defer os.RemoveAll(other.State)
	if _, err := other.Expect(ctx, 0, "resume", "--yes", "--site", replaceFile, "--lease", shortLease); err != nil {
		return err
	}
	return r.moved(ctx)
}

// tidy takes the new server away again.
func (r *replacement) tidy(ctx context.Context) error {
	s, err := site.Load(r.Lab.Path(replaceFile), "")
	if err == nil {
		if _, is := s.Host(r.fresh.Name); is {
			_, err = r.Expect(ctx, 0, r.back()...)
		}
	}
	return errors.Join(err, r.Lab.RemoveHosts(ctx, r.fresh.Name), os.Remove(path.Clean(r.Lab.Path(replaceFile))))
}
