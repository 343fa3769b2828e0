package cases

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"ipivs.com/valtctl/cmd/valtlab/badservers"
	"ipivs.com/valtctl/cmd/valtlab/fault"
	"ipivs.com/valtctl/cmd/valtlab/lab"
)

// verdictCase is one thing that can be wrong with a flow, or right, and what check must
// make of it.
type verdictCase struct {
	what    string // in the words of the case
	flow    string // its id
	status  string
	verdict string
	lost    string
	cause   []string // words that the cause holds, whatever their case; none: there is no cause
}

// judge compares the case with what the report says about its flow.
func (c verdictCase) judge(r report) (answer, error) {
	a, err := r.find(c.flow)
	if err != nil {
		return a, err
	}
	var wrong []string
	for _, f := range []struct{ name, want, got string }{
		{"status", c.status, a.Status}, {"verdict", c.verdict, a.Verdict}, {"lost", c.lost, a.Lost},
	} {
		if f.want != f.got {
			wrong = append(wrong, fmt.Sprintf("%s %q instead of %q", f.name, f.got, f.want))
		}
	}
	for _, word := range c.cause {
		if !strings.Contains(strings.ToLower(a.Cause), strings.ToLower(word)) {
			wrong = append(wrong, fmt.Sprintf("the cause lacks %q", word))
		}
	}
	if (len(c.cause) == 0) != (a.Cause == "") {
		wrong = append(wrong, "it has a cause and should not, or the other way round")
	}
	if a.Status == "fail" && a.Fix == "" {
		wrong = append(wrong, "it does not say what to do")
	}
	if len(wrong) > 0 {
		return a, fmt.Errorf("%s (%s): %s; it says %q, %q", c.what, c.flow, strings.Join(wrong, ", "), a.Cause, a.Evidence)
	}
	return a, nil
}

// verdictGroup is a site file and the cases that one check of it covers.
type verdictGroup struct {
	name   string
	change func(site map[string]any)
	faults []fault.Fault
	cases  []verdictCase
	hosts  []string // the only ones asked; none: all of the site
	extra  bool     // beyond what the acceptance names: left out of a sample
}

// stage is what all cases play on.
type stage struct {
	app, media lab.Host
	tunnels    badservers.Tunnels
	camera     netip.Addr // one that answers
	locked     netip.Addr // one that wants a login
}

// verdicts makes every kind of trouble for real and wants its name and its cause.
func verdicts(ctx context.Context, e *Env) (err error) {
	s, err := setStage(ctx, e)
	defer func() { err = errors.Join(err, clearStage(context.WithoutCancel(ctx), e)) }()
	if err != nil {
		return err
	}
	var errs []error
	cases := 0
	for _, g := range verdictGroups(s) {
		if g.extra && e.Sample {
			continue
		}
		errs = append(errs, e.tryGroup(ctx, g))
		cases += len(g.cases)
	}
	e.Measure("cases", "%d", cases)
	return errors.Join(errs...)
}

// tryGroup checks one site and judges its cases, all of them, whatever the first is.
func (e *Env) tryGroup(ctx context.Context, g verdictGroup) (err error) {
	site, err := e.deriveSite("verdicts-"+g.name, g.change)
	if err != nil {
		return err
	}
	for _, f := range g.faults {
		defer func() { err = errors.Join(err, f.End(context.WithoutCancel(ctx), e.Lab)) }()
		if err := f.Begin(ctx, e.Lab); err != nil {
			return err
		}
	}
	r, result, err := e.check(ctx, "network", site, on(g.hosts)...)
	if err != nil {
		return fmt.Errorf("%s: %w", g.name, err)
	}
	e.Measure(g.name, "%d results in %.1f s", len(r.Result.Results), result.Took.Seconds())
	var errs []error
	for _, c := range g.cases {
		a, err := c.judge(r)
		errs = append(errs, err)
		mark := ""
		if err != nil {
			mark = "WRONG "
		}
		e.Measure("  "+mark+c.what, "%s %s %s", a.Verdict, a.Lost, a.Cause)
	}
	return errors.Join(errs...)
}

const lockedCamera = "camera-login"

// setStage makes the hosts bare and brings the peers.
func setStage(ctx context.Context, e *Env) (s stage, err error) {
	for name, host := range map[string]*lab.Host{"app1": &s.app, "media1": &s.media} {
		if *host, err = e.Lab.Host(name); err != nil {
			return s, err
		}
	}
	s.camera = e.Lab.Camera(1)
	err = e.Timed("bare hosts and peers", func() error {
		group, groupCtx := errgroup.WithContext(ctx)
		group.Go(func() error { return e.Lab.Reset(groupCtx, s.app.Name, s.media.Name) })
		group.Go(func() (err error) {
			s.tunnels, err = badservers.Start(groupCtx, e.Lab)
			return err
		})
		return group.Wait()
	})
	if err != nil {
		return s, err
	}
	if err := e.listenOn(ctx, s.media.Name, listener{s.media.Address, silentPort, silent}); err != nil {
		return s, err
	}
	image, err := e.Lab.CameraImage(ctx)
	if err != nil {
		return s, err
	}
	free, err := e.Lab.Free(ctx, 8)
	if err != nil {
		return s, err
	}
	s.locked = free[len(free)-1] // the peers have the first ones
	return s, e.Lab.StartPeer(ctx, lab.Peer{Name: lockedCamera, Image: image, Command: []string{"-login"}, Addresses: []netip.Addr{s.locked}})
}

func clearStage(ctx context.Context, e *Env) error {
	return errors.Join(e.stopListening(ctx, "media1"), e.Lab.RemovePeer(ctx, lockedCamera), badservers.Stop(ctx, e.Lab))
}

// silentPort is where something on the media host accepts connections and never says a
// word: the stream's port without SSL.
const silentPort = 1935

// onlyHosts leaves the site's other hosts out.
func onlyHosts(site map[string]any, names ...string) {
	hosts, _ := site["hosts"].([]any)
	site["hosts"] = slices.DeleteFunc(slices.Clone(hosts), func(h any) bool {
		host, _ := h.(map[string]any)
		name, _ := host["name"].(string)
		return !slices.Contains(names, name)
	})
}
