package check

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/release"
)

// Machine asks questions of the network and listens: a host through its agent, or the
// controller itself.
type Machine interface {
	Probe(ctx context.Context, r probe.Request, outcome func(probe.Outcome) error) error
	Listen(ctx context.Context, r probe.ListenRequest, event func(probe.ListenEvent) error) error
}

// Prober is what the network's checks need.
type Prober struct {
	Site     *site.Site
	Manifest *release.Manifest // nil: no release could be read
	// Hosts are the connected hosts by name. Absent says why one is not.
	Hosts  map[string]Machine
	Absent map[string]error
	// Codenames are the hosts' Ubuntu codenames.
	Codenames map[string]string
	// Here is the controller, and Addresses its own: it stands in for a client or an
	// administrator whose network it is in, and with Client for clients wherever it is.
	Here      Machine
	Addresses []netip.Addr
	Client    bool

	Trust    []byte        // authorities in PEM beside the machines' own
	Login    *probe.Login  // of the registry; nil: the site has none
	Deadline time.Duration // of each question; 0: probe.DefaultDeadline
	Rate     int           // new connections a second over the whole site; 0: as fast as it goes
	NoListen bool          // said of ports where nothing listens
}

// controller is the name of the controller among the machines. No host can be called so
// (site: names are lower-case letters, digits and hyphens).
const controller = "this machine"

// trial is one flow with what is asked and what came of it.
type trial struct {
	flow   network.Flow
	by     string // who asks; empty: nobody can, and why says it
	why    string
	asked  []probe.Spec
	ours   bool // our own listener answers
	answer []probe.Outcome
}

// Try tries the flows, all at once, while our hosts listen, and returns one result each
// in their order. It ends the listening, of which nil stands for none. An error says that
// the trying itself failed.
func (p Prober) Try(ctx context.Context, flows []network.Flow, on *Listening) ([]Result, error) {
	if on == nil {
		on = NewListening()
	}
	defer on.End()
	trials := make([]*trial, len(flows))
	for i, f := range flows {
		trials[i] = &trial{flow: f}
		trials[i].by, trials[i].why = p.source(f)
	}
	p.ask(trials, on)
	if err := p.probe(ctx, trials); err != nil {
		return nil, err
	}
	on.End() // every arrival is known then
	results := make([]Result, len(trials))
	for i, t := range trials {
		results[i] = p.judge(t, on)
	}
	return results, nil
}

// source is the machine that a flow must be tried from.
func (p Prober) source(f network.Flow) (by, why string) {
	switch f.Source.Kind {
	case network.KindHost:
		name, _, _ := strings.Cut(f.Source.Name, "+")
		if _, ok := p.Hosts[name]; ok {
			return name, ""
		}
		return "", "host " + name + " could not be reached, and only it can try this flow"
	case network.KindNetwork:
		if p.Here != nil && p.standsIn(f.Source) {
			return controller, ""
		}
		return "", "this machine is not in " + f.Source.Address
	}
	return "", "nothing of ours is there to try it from"
}

// standsIn says whether the controller may speak for the machines of a network.
func (p Prober) standsIn(from network.Party) bool {
	if p.Client && slices.Contains(strings.Split(from.Name, "+"), "clients") {
		return true
	}
	prefix, err := netip.ParsePrefix(from.Address)
	if err != nil {
		addr, err := netip.ParseAddr(from.Address)
		if err != nil {
			return false
		}
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	return slices.ContainsFunc(p.Addresses, prefix.Contains)
}

// ask decides what is asked of each flow, now that it is known who listens where, and when
// each question starts.
func (p Prober) ask(trials []*trial, on *Listening) {
	n := 0
	for i, t := range trials {
		if t.by == "" {
			continue
		}
		if t.ours = on.ours(t.flow); t.ours {
			t.asked = []probe.Spec{{Ask: probe.AskOurs, Host: t.flow.Destination.Address, Port: t.flow.Port, Protocol: string(t.flow.Protocol), Token: on.token}}
		} else {
			t.asked = asker{p.Site, p.Manifest, p.codename(t.by)}.questions(t.flow)
		}
		for q := range t.asked {
			t.asked[q].ID = fmt.Sprintf("%d/%d", i, q)
			if p.Rate > 0 {
				t.asked[q].After = time.Duration(n) * time.Second / time.Duration(p.Rate)
			}
			n++
		}
		t.answer = make([]probe.Outcome, len(t.asked))
	}
}

// codename is the asking host's, or for the controller that of any host.
func (p Prober) codename(by string) string {
	if name := p.Codenames[by]; name != "" {
		return name
	}
	for _, h := range p.Site.Hosts {
		if name := p.Codenames[h.Name]; name != "" {
			return name
		}
	}
	return ""
}

// probe has every machine ask its questions, all at the same time.
func (p Prober) probe(ctx context.Context, trials []*trial) error {
	requests := map[string]*probe.Request{}
	keyrings := asker{site: p.Site, manifest: p.Manifest}.keyrings()
	for _, t := range trials {
		for _, q := range t.asked {
			r := requests[t.by]
			if r == nil {
				r = &probe.Request{Deadline: p.Deadline, Trust: p.Trust, Keyrings: keyrings, Login: p.Login}
				requests[t.by] = r
			}
			r.Specs = append(r.Specs, q)
		}
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	var errs []error
	for name, r := range requests {
		wg.Go(func() {
			err := p.machine(name).Probe(ctx, *r, func(o probe.Outcome) error {
				mu.Lock()
				defer mu.Unlock()
				return keep(trials, o)
			})
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				errs = append(errs, fmt.Errorf("trying flows from %s: %w", name, err))
				blame(trials, name, err)
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return fmt.Errorf("trying flows: %w", context.Cause(ctx))
	}
	if len(errs) == len(requests) {
		return errors.Join(errs...)
	}
	return nil // what one host could not ask is unknown, and says why
}

func (p Prober) machine(name string) Machine {
	if name == controller {
		return p.Here
	}
	return p.Hosts[name]
}

// keep files an outcome with its question.
func keep(trials []*trial, o probe.Outcome) error {
	var i, q int
	if _, err := fmt.Sscanf(o.ID, "%d/%d", &i, &q); err != nil || i < 0 || i >= len(trials) || q < 0 || q >= len(trials[i].answer) {
		return fmt.Errorf("reading an outcome: nothing was asked as %q", o.ID)
	}
	trials[i].answer[q] = o
	return nil
}

// blame says of the questions that a machine did not get to answer why.
func blame(trials []*trial, name string, err error) {
	for _, t := range trials {
		for q := range t.answer {
			if t.by == name && t.answer[q].Verdict == "" {
				t.answer[q] = probe.Outcome{Verdict: probe.Unknown, Cause: fmt.Sprintf("%s did not get to try it: %v", name, err)}
			}
		}
	}
}

func isAddress(s string) bool {
	_, err := netip.ParseAddr(s)
	return err == nil
}

func newToken() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}
