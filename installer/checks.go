package installer

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/check"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/release"
)

// CheckOptions say what to check. The Options' Connect should leave nothing on the hosts.
type CheckOptions struct {
	Options
	Topics []check.Topic
	// Want keeps a flow; nil keeps all.
	Want func(network.Flow) bool
	// Version is the release that the topic update is about; empty: the channel's newest.
	Version string
	// Here is the controller's own way to ask the network, Addresses its own, and Client
	// makes it stand in for a client wherever it is.
	Here      check.Machine
	Addresses []netip.Addr
	Client    bool
	Rate      int // new connections a second over the whole site; 0: no limit
	NoListen  bool
	Deadline  time.Duration // of each question; 0: probe.DefaultDeadline
}

// releaseWithin is how long a check waits for the release repository. That it cannot be
// reached is one of the things a check is run to find out.
const releaseWithin = 8 * time.Second

// checking is one check under way.
type checking struct {
	CheckOptions
	flows    []network.Flow
	hosts    []site.Host
	seen     []check.HostSeen
	fleet    fleet
	trust    []step.Authority
	chosen   *chosen // nil: chosenErr
	choseErr error
	offer    check.Offer
	report   *check.Report

	listening *check.Listening
}

// Check runs the checks and returns what they found. What cannot be reached is a result
// and no error; an error says that the checking itself could not be done. It changes
// nothing.
func Check(ctx context.Context, o CheckOptions) (*check.Report, error) {
	c := &checking{CheckOptions: o, report: &check.Report{Site: o.Site.ID, Time: o.Now().UTC(), Topics: o.Topics}}
	if err := c.choose(); err != nil {
		return nil, err
	}
	var err error
	if c.trust, err = readTrust(o.Site); err == nil {
		err = checkTrust(o.Site, c.trust)
	}
	if err != nil {
		return nil, err
	}
	c.meet(ctx)
	defer c.leave()
	if c.has(check.Update) {
		c.offer = c.readOffer(ctx)
	}
	asks := []func(context.Context) error{c.network, c.survey, c.names}
	err = each(len(asks), func(i int) error { return asks[i](ctx) })
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("checking: %w", context.Cause(ctx))
	}
	c.judge()
	return c.report, nil
}

// choose picks the flows and the hosts that it takes to try them.
func (c *checking) choose() error {
	picked, err := picked(c.Site, c.Hosts)
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for _, h := range picked {
		names[h.Name] = true
	}
	for _, f := range network.Flows(c.Site) {
		if !c.wants(f) {
			continue
		}
		c.flows = append(c.flows, f)
		for _, h := range c.Site.Hosts {
			names[h.Name] = names[h.Name] || f.Touches(h.Name)
		}
	}
	for _, h := range c.Site.Hosts {
		if names[h.Name] {
			c.hosts = append(c.hosts, h)
		}
	}
	return nil
}

// wants says whether a flow is to be tried: all of them for the network's own sake, those
// that fetch for an update's, and the same where only their certificates matter.
func (c *checking) wants(f network.Flow) bool {
	if len(c.Hosts) > 0 && !slices.ContainsFunc(c.Hosts, f.Touches) || c.Want != nil && !c.Want(f) {
		return false
	}
	fetches := slices.ContainsFunc(f.Rows, func(row string) bool {
		return strings.HasPrefix(row, "updates.") || strings.HasPrefix(row, "certificate.")
	})
	return c.has(check.Network) || fetches && (c.has(check.Update) || c.has(check.Expiry))
}

func (c *checking) has(t check.Topic) bool { return slices.Contains(c.Topics, t) }

// meet connects to the hosts and reads the release, at the same time, and keeps why that
// failed where it did.
func (c *checking) meet(ctx context.Context) {
	start := c.Now()
	c.listening = check.NewListening()
	ports := c.prober().Ports(c.flows)
	c.fleet = make(fleet, len(c.hosts))
	c.seen = make([]check.HostSeen, len(c.hosts))
	_ = each(len(c.hosts)+1, func(i int) error {
		if i == len(c.hosts) {
			c.release(ctx)
			return nil
		}
		c.seen[i].Host = c.hosts[i]
		c.seen[i].FactsErr = c.greet(ctx, i)
		if c.seen[i].FactsErr == nil && !c.NoListen {
			c.listen(ctx, i, ports[c.hosts[i].Name])
		}
		return nil
	})
	c.report.Connecting = c.Now().Sub(start)
}

// greet connects to one host, asks for its facts, and measures its clock: it is read half
// a round trip after the question left.
func (c *checking) greet(ctx context.Context, i int) error {
	s, err := c.Connect.open(ctx, c.hosts[i], c.Observer)
	if err != nil {
		return err
	}
	c.fleet[i] = s
	asked := c.Now()
	reply, err := s.client.Facts(ctx, agent.FactsRequest{})
	if err != nil {
		return err
	}
	answered := c.Now()
	offset := reply.Facts.Clock.Now.Sub(asked.Add(answered.Sub(asked) / 2))
	c.seen[i].Facts, c.seen[i].ClockOffset = &reply.Facts, &offset
	return nil
}

// listen has a host listen as soon as it is there, while others are still connecting.
func (c *checking) listen(ctx context.Context, i int, ports []uint16) {
	if len(ports) == 0 {
		return
	}
	host := c.hosts[i].Name
	c.Observer.Observe(event.Event{Kind: event.Note, Host: host, Text: "listens where nothing does yet while the check lasts, of: " + check.PortList(ports)})
	c.listening.Start(ctx, host, c.fleet[i].client, ports)
}

// release reads the release that the site is to have, or what was last known of it.
func (c *checking) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, releaseWithin)
	defer cancel()
	if c.chosen, c.choseErr = choose(ctx, c.Options, &material{public: plan.Public{Trust: c.trust}}, "", true); c.choseErr == nil {
		c.report.Release = c.chosen.manifest.Version
	}
}

// manifest is the release that the site is to have; nil: none could be read.
func (c *checking) manifest() *release.Manifest {
	if c.chosen == nil {
		return nil
	}
	return c.chosen.manifest
}

// readOffer asks the repository what there is to update to.
func (c *checking) readOffer(ctx context.Context) check.Offer {
	if c.chosen == nil {
		return check.Offer{Err: c.choseErr}
	}
	ctx, cancel := context.WithTimeout(ctx, releaseWithin)
	defer cancel()
	var installed []string
	for _, h := range c.seen {
		if h.Facts != nil && h.Facts.Installed != nil {
			installed = append(installed, h.Facts.Installed.Release)
		}
	}
	return check.ReadOffer(ctx, c.chosen.repo, c.Site, c.Version, installed)
}

// wanted is the release to update to, where one is asked for and known.
func (c *checking) wanted() *release.Manifest {
	if n := len(c.offer.Releases); n > 0 {
		return c.offer.Releases[n-1]
	}
	return nil
}

// network tries the flows.
func (c *checking) network(ctx context.Context) error {
	if len(c.flows) == 0 {
		return nil
	}
	c.Observer.Observe(event.Event{Kind: event.Note, Text: c.ahead()})
	start := c.Now()
	var err error
	c.report.Results, err = c.prober().Try(ctx, c.flows, c.listening)
	c.report.Listened = c.listening.Where()
	c.report.Probing = c.Now().Sub(start)
	return err
}

// ahead says what trying the flows will take.
func (c *checking) ahead() string {
	within := cmp.Or(c.Deadline, probe.DefaultDeadline)
	if c.Rate > 0 {
		within += time.Duration(len(c.flows)) * time.Second / time.Duration(c.Rate)
	}
	return fmt.Sprintf("trying %d flows, all of them within about %s", len(c.flows), within.Round(time.Second))
}

// endpoints are the ends of the certificates that the flows were shown, by name.
func (c *checking) endpoints() map[string]time.Time {
	all := map[string]time.Time{}
	for _, r := range c.report.Results {
		if r.Flow != nil && r.NotAfter != nil && r.Flow.Destination.Kind != network.KindHost {
			all[r.Flow.Destination.Address] = *r.NotAfter
		}
	}
	return all
}

// prober is what the network's checks need, as this run has it.
func (c *checking) prober() check.Prober {
	p := check.Prober{
		Site: c.Site, Manifest: c.manifest(), Hosts: map[string]check.Machine{}, Codenames: map[string]string{},
		Here: c.Here, Addresses: c.Addresses, Client: c.Client, Deadline: c.Deadline, Rate: c.Rate, NoListen: c.NoListen,
		Trust: pemOf(c.trust),
	}
	for i, h := range c.hosts {
		if len(c.seen) > 0 && c.seen[i].Facts != nil {
			p.Hosts[h.Name], p.Codenames[h.Name] = c.fleet[i].client, c.seen[i].Facts.OS.Codename
		}
	}
	return p
}

// survey asks the hosts about themselves.
func (c *checking) survey(ctx context.Context) error {
	if !c.has(check.Hosts) && !c.has(check.Expiry) && !c.has(check.Update) {
		return nil
	}
	return each(len(c.hosts), func(i int) error {
		seen := &c.seen[i]
		if seen.Facts == nil {
			seen.SurveyErr = seen.FactsErr
			return nil
		}
		reply, err := c.fleet[i].client.Survey(ctx, check.SurveyRequest(c.Site, c.hosts[i], c.manifest(), c.wanted()))
		if err != nil {
			seen.SurveyErr = fmt.Errorf("host %s: %w", c.hosts[i].Name, err)
			return nil
		}
		seen.Survey = &reply
		return nil
	})
}

// names asks each host's own name servers.
func (c *checking) names(ctx context.Context) error {
	if !c.has(check.Hosts) {
		return nil
	}
	question := check.NameQuestion(c.Site)
	return each(len(c.hosts), func(i int) error {
		if c.seen[i].Facts == nil || len(question.Names) == 0 {
			return nil
		}
		c.seen[i].Names = &probe.Outcome{Verdict: probe.Unknown}
		err := c.fleet[i].client.Probe(ctx, probe.Request{Specs: []probe.Spec{question}, Deadline: c.Deadline}, func(o probe.Outcome) error {
			c.seen[i].Names = &o
			return nil
		})
		if err != nil {
			c.seen[i].Names.Cause = fmt.Sprintf("they could not be asked: %v", err)
		}
		return nil
	})
}

// judge adds what the hosts' answers mean.
func (c *checking) judge() {
	ahead := check.VendorOffsets(c.report.Results)
	for i := range c.seen {
		if by, ok := ahead[c.seen[i].Host.Name]; ok {
			c.seen[i].VendorOffset = &by
		}
	}
	in := check.Input{Site: c.Site, Manifest: c.manifest(), Hosts: c.seen, Now: c.Now(), MetadataErr: c.choseErr,
		Endpoints: c.endpoints(), Certificate: check.ReadCertificate(c.Site), Offer: c.offer}
	if c.chosen != nil {
		in.Metadata = c.chosen.state
	}
	if !c.has(check.Network) && !c.has(check.Update) {
		c.report.Results = nil // they were only tried for their certificates
	}
	for _, topic := range c.Topics {
		switch topic {
		case check.Hosts:
			c.report.Results = append(c.report.Results, check.JudgeHosts(in)...)
		case check.Expiry:
			c.report.Results = append(c.report.Results, check.JudgeExpiry(in)...)
		case check.Update:
			c.report.Results = append(c.report.Results, check.JudgeUpdate(in)...)
		}
	}
}

// leave ends the sessions; what ends badly ends all the same.
func (c *checking) leave() {
	if err := c.fleet.close(); err != nil {
		c.Observer.Observe(event.Event{Kind: event.Note, Text: fmt.Sprintf("leaving the hosts: %v", err)})
	}
}

// Local asks the network from this machine.
type Local struct{ Env probe.Env }

// Probe asks from here.
func (l Local) Probe(ctx context.Context, r probe.Request, outcome func(probe.Outcome) error) error {
	return probe.Run(ctx, l.Env, r, outcome)
}

// Listen listens here.
func (l Local) Listen(ctx context.Context, r probe.ListenRequest, event func(probe.ListenEvent) error) error {
	return probe.Listen(ctx, l.Env, r, event)
}
