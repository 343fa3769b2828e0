package cases

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/sleep"
)

// When the thief of a key tries it, on the site's wall: its windows are in the nights of Sunday
// and Wednesday.
const (
	atNoon       = "2026-12-02T12:00:00-06:00"
	inTheWindow  = "2026-12-06T02:30:00-06:00"
	inTheNextOne = "2026-12-09T02:30:00-06:00"
)

// stolenKey takes the schedule's key and everything that lies beside it, and asks a media server
// for all that it could want: at noon, in the maintenance window, and while a person is at work.
// What was asked for, and what came of it, is told by the host itself.
func stolenKey(ctx context.Context, e *Env) error {
	return e.theft(ctx, func(t *thief) error { return t.visit(ctx) })
}

func (t *thief) visit(ctx context.Context) (err error) {
	defer func() {
		err = errors.Join(err, (&releases.Vendor{}).Publish(context.WithoutCancel(ctx), t.Lab, releases.Options{}))
	}()
	s := &stolen{thief: t, answers: map[string][]string{}}
	for _, part := range []show{
		{"an update of the schedule's own", s.learn},
		{"at noon", s.noon},
		{"in the window", s.window},
		{"in the next window", s.nextWindow},
		{"while a person is at work", s.attended},
		{"what is told of it", s.told},
	} {
		if err := t.Timed(part.name, func() error { return part.run(ctx) }); err != nil {
			return err
		}
	}
	for _, name := range s.order {
		t.Measure(name, "%s", strings.Join(s.answers[name], "; "))
	}
	return nil
}

// stolen is a thief who knows what the schedule asks for, to the byte.
type stolen struct {
	*thief
	sent    txn.Request // by the schedule
	order   []string
	answers map[string][]string // by what was asked for
}

// learn has the schedule update the site, and reads what it sent; then a person goes back.
func (s *stolen) learn(ctx context.Context) error {
	said, err := s.lookAt(ctx, "2026-11-29T03:10:00-06:00")
	if err == nil {
		err = says(said, "the site has "+releases.Canary)
	}
	if err != nil {
		return err
	}
	newest, err := s.Lab.Output(ctx, s.host.Name, "sh", "-c", "ls -d /var/lib/valtctl/txn/2* | tail -1")
	if err != nil {
		return err
	}
	text, err := s.Lab.Output(ctx, s.host.Name, "cat", newest+"/request.json")
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), &s.sent); err != nil {
		return fmt.Errorf("reading what the schedule sent: %w", err)
	}
	if want := "the schedule's key of " + scheduleHome; s.sent.Who != want {
		return fmt.Errorf("the host says that %q updated it, and not %q", s.sent.Who, want)
	}
	return s.at(ctx, releases.Stable)
}

// tries asks for all of these, and wants each to be refused.
func (s *stolen) tries(ctx context.Context, when string, all ...asked) error {
	c, err := s.agent(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	for _, a := range all {
		err := a.ask(ctx, c)
		if err == nil {
			return fmt.Errorf("%s was done", a.name)
		}
		s.answered(a.name, when, "refused: "+lastWords(err))
	}
	return nil
}

func (s *stolen) answered(name, when, answer string) {
	if s.answers[name] == nil {
		s.order = append(s.order, name)
	}
	s.answers[name] = append(s.answers[name], when+" "+answer)
}

// lastWords are an error's, short enough for a table.
func lastWords(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	if at := strings.Index(text, "refusing "); at >= 0 {
		text = text[at+len("refusing "):]
	}
	if _, why, ok := strings.Cut(text, ": "); ok {
		text = why
	}
	return fmt.Sprintf("%.90s", text)
}

// noon asks for everything at an hour at which nothing may be changed.
func (s *stolen) noon(ctx context.Context) error {
	if err := s.judgesAt(ctx, atNoon); err != nil {
		return err
	}
	before, err := s.fingerprints(ctx, s.host.Name)
	if err != nil {
		return err
	}
	if err := s.tries(ctx, "at noon", append(s.all(), s.fetched(), s.drained())...); err != nil {
		return err
	}
	after, err := s.fingerprints(ctx, s.host.Name)
	if err == nil {
		err = same(before, after)
	}
	if err != nil {
		return fmt.Errorf("something was changed at noon: %w", err)
	}
	return s.gateOpen(ctx, s.host.Name)
}

// window asks for everything in the window. One update begins, of a host that turns out ill: it is
// not confirmed, goes back, and is not begun again.
func (s *stolen) window(ctx context.Context) error {
	if err := s.judgesAt(ctx, inTheWindow); err != nil {
		return err
	}
	if err := s.tries(ctx, "in the window", s.all()...); err != nil {
		return err
	}
	nobody := 0
	if err := (&releases.Vendor{}).Publish(ctx, s.Lab, releases.Options{CanaryFor: &nobody}); err != nil {
		return err
	}
	if err := s.tries(ctx, "in the window, for 0 % of the sites", s.fetched(), s.drained()); err != nil {
		return err
	}
	if err := (&releases.Vendor{}).Publish(ctx, s.Lab, releases.Options{}); err != nil {
		return err
	}
	c, id, err := s.begins(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := s.Lab.Output(ctx, s.host.Name, "docker", "stop", "valt-engine"); err != nil {
		return err
	}
	err = s.confirms(ctx, c, id, "")
	if problem.KindOf(err) != problem.Check {
		return fmt.Errorf("the confirmation of a host that is ill ends with: %w", errors.Join(err))
	}
	s.answered("the confirmation of a host that is ill", "in the window", "refused: "+lastWords(err))
	if err := s.confirms(ctx, c, id, "it is ill"); err != nil {
		return fmt.Errorf("taking it back: %w", err)
	}
	if _, err := s.ends(ctx, c, id, txn.StateRolledBack); err != nil {
		return err
	}
	return errors.Join(s.tries(ctx, "in the window, once it went back", s.drained()), s.haveReleases(ctx, map[string]string{s.host.Name: releases.Stable}),
		s.gateOpen(ctx, s.host.Name))
}

// begins asks for the update, which is done, and returns once the host waits to be confirmed.
func (s *stolen) begins(ctx context.Context) (c *agent.Client, id string, err error) {
	if c, err = s.agent(ctx); err != nil {
		return nil, "", err
	}
	a := s.drained()
	if err := a.ask(ctx, c); err != nil {
		return nil, "", errors.Join(fmt.Errorf("the one thing that the key is for: %w", err), c.Close())
	}
	s.answered(a.name, "in a window", "done")
	t, err := s.ends(ctx, c, "", txn.StateUnconfirmed)
	if err != nil {
		return nil, "", errors.Join(err, c.Close())
	}
	return c, t.ID, nil
}

// confirms answers a host that waits to be confirmed, as a run that nobody has outranked.
func (s *stolen) confirms(ctx context.Context, c *agent.Client, id, undo string) error {
	facts, err := c.Facts(ctx, agent.FactsRequest{})
	if err != nil {
		return err
	}
	return c.TxnConfirm(ctx, agent.TxnConfirmRequest{ID: id, Undo: undo, Fence: facts.Fence})
}

// ends waits until the host's newest transaction, or one by its name, is in a state.
func (s *stolen) ends(ctx context.Context, c *agent.Client, id string, state txn.State) (txn.Summary, error) {
	start := s.Now()
	for {
		facts, err := c.Facts(ctx, agent.FactsRequest{})
		if err != nil {
			return txn.Summary{}, err
		}
		i := slices.IndexFunc(facts.Transactions, func(t txn.Summary) bool { return id == "" || t.ID == id })
		if i < 0 {
			return txn.Summary{}, fmt.Errorf("transaction %q is not there", id)
		}
		t := facts.Transactions[i]
		if t.State == state {
			return t, nil
		}
		if t.State.Finished() || s.Now().Sub(start) > hostWithin {
			return t, fmt.Errorf("transaction %s is %s and not %s: %s", t.ID, t.State, state, t.Error)
		}
		if err := sleep.For(ctx, time.Second); err != nil {
			return t, err
		}
	}
}

// nextWindow is the one update that succeeds: drained, healthy, and to what the channel offers.
func (s *stolen) nextWindow(ctx context.Context) error {
	if err := s.judgesAt(ctx, inTheNextOne); err != nil {
		return err
	}
	c, id, err := s.begins(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := s.confirms(ctx, c, id, ""); err != nil {
		return fmt.Errorf("confirming a host that is well: %w", err)
	}
	t, err := s.ends(ctx, c, id, txn.StateDone)
	if err != nil {
		return err
	}
	if t.Who != "the schedule's key of "+scheduleHome || t.PlanDigest == "forged" {
		return fmt.Errorf("the host remembers what the thief says: %q, plan %q", t.Who, t.PlanDigest)
	}
	return errors.Join(s.tries(ctx, "once it was done", s.drained()), s.haveReleases(ctx, map[string]string{s.host.Name: releases.Canary}),
		s.gateOpen(ctx, s.host.Name))
}

// attended asks for everything while a person takes the host back, which a recording holds up.
func (s *stolen) attended(ctx context.Context) error {
	d, err := s.desk(ctx, scheduleHome, s.host)
	if err != nil {
		return err
	}
	streams, err := d.streams(ctx)
	if err != nil {
		return err
	}
	if err := d.record(ctx, streams[0]); err != nil {
		return err
	}
	person, err := s.launch(ctx, moment{host: s.host.Name}, s.quick("rollback", "--to", releases.Stable, "--host", s.host.Name)...)
	if err != nil {
		return err
	}
	if err := person.await(ctx, moment{host: s.host.Name}); err != nil {
		return err
	}
	outrank := asked{"outranking whoever is at work", func(ctx context.Context, c *agent.Client) error {
		facts, err := c.Facts(ctx, agent.FactsRequest{})
		if err == nil {
			_, err = c.Lease(ctx, agent.LeaseRequest{Action: agent.LeaseFence, Token: facts.Fence + 1})
		}
		return err
	}}
	err = s.tries(ctx, "during a person's run", append(s.all(), s.fetched(), s.drained(), outrank)...)
	if err := errors.Join(err, d.stop(ctx, streams[0])); err != nil {
		return err
	}
	select {
	case err = <-person.ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("the person's run was disturbed: %w: %s", err, person.stderr)
	}
	media, err := s.mediaHosts()
	return errors.Join(err, s.haveReleases(ctx, map[string]string{s.host.Name: releases.Stable}), s.gateOpen(ctx, s.host.Name), s.noneLost(ctx, media))
}

// told wants a person to be told of it, by the host that runs the schedule and by the status.
func (s *stolen) told(ctx context.Context) error {
	said, err := s.lookAt(ctx, atNoon)
	if err == nil {
		err = says(said, "told: VALT practice: the schedule's key was refused on "+s.host.Name)
	}
	if err != nil {
		return err
	}
	status, err := s.Expect(ctx, 3, "status", "--site", scheduledFile)
	if err == nil {
		err = says(status.Stdout, "next: "+s.host.Name+": the schedule's key of "+scheduleHome+" was refused", s.host.Name+": ", "an update to "+releases.Canary)
	}
	if err != nil {
		return err
	}
	status, err = s.Expect(ctx, 3, "status", "--site", scheduledFile, "-o", "json")
	if err == nil {
		err = says(status.Stdout, `"refused": "outside-hours"`, `"refused": "ill"`, `"refused": "tried"`, `"refused": "not-offered"`, `"refused": "busy"`)
	}
	return err
}
