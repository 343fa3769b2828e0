package installer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/check"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/inputs"
	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/release"
)

// CheckOptions say what to check. The Options' Dial should leave nothing on the hosts.
type CheckOptions struct {
	fleet.Options
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

// checkRun is one check under way.
type checkRun struct {
	certificate check.Certificate
	CheckOptions
	flows      []network.Flow
	hosts      []*checkedHost
	trust      inputs.Trust
	release    *inputs.Release // nil: releaseErr
	releaseErr error
	offer      check.Offer
	report     *check.Report

	listening *check.Listening
}

// checkedHost is a host and what was seen of it.
type checkedHost struct {
	*fleet.Host
	seen check.HostSeen
}

// Check runs the checks and returns what they found. What cannot be reached is a result
// and no error; an error says that the checking itself could not be done. It changes
// nothing.
func Check(ctx context.Context, o CheckOptions) (*check.Report, error) {
	c := &checkRun{CheckOptions: o, report: &check.Report{Site: o.Site.ID, Time: o.Now().UTC(), Topics: o.Topics}}
	if err := c.choose(); err != nil {
		return nil, err
	}
	var err error
	if c.trust, err = inputs.ReadTrust(o.Site); err == nil {
		err = c.trust.Check(o.Site)
	}
	if err != nil {
		return nil, err
	}
	c.certificate = c.readCertificate() // before hosts wait: it may ask for a passphrase
	c.meet(ctx)
	defer c.leave()
	c.further()
	if c.has(check.Update) {
		c.offer = c.readOffer(ctx)
	}
	asks := []func(context.Context) error{c.network, c.survey, c.names}
	err = fleet.Each(asks, func(ask func(context.Context) error) error { return ask(ctx) })
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
func (c *checkRun) choose() error {
	chosen, err := c.Chosen()
	if err != nil {
		return err
	}
	names := map[string]bool{}
	for _, h := range chosen {
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
	all := slices.DeleteFunc(slices.Clone(c.Site.Hosts), func(h site.Host) bool { return !names[h.Name] })
	for _, h := range fleet.New(c.Options, all).Hosts {
		c.hosts = append(c.hosts, &checkedHost{h, check.HostSeen{Host: h.Host}})
	}
	return nil
}

// further adds the flows that only the hosts knew of.
func (c *checkRun) further() {
	nts := map[string][]string{}
	for _, h := range c.hosts {
		if f := h.seen.Facts; f != nil {
			nts[h.Name] = f.Clock.NTS
		}
	}
	for _, f := range network.Further(c.Site, nts) {
		if c.wants(f) {
			c.flows = append(c.flows, f)
		}
	}
}

// wants says whether a flow is to be tried: all of them for the network's own sake, those
// that fetch for an update's, and the same where only their certificates matter.
func (c *checkRun) wants(f network.Flow) bool {
	if len(c.Hosts) > 0 && !slices.ContainsFunc(c.Hosts, f.Touches) || c.Want != nil && !c.Want(f) {
		return false
	}
	fetches := slices.ContainsFunc(f.Rows, func(row string) bool {
		return strings.HasPrefix(row, "updates.") || strings.HasPrefix(row, "certificate.")
	})
	return c.has(check.Network) || fetches && (c.has(check.Update) || c.has(check.Expiry))
}

func (c *checkRun) has(t check.Topic) bool { return slices.Contains(c.Topics, t) }

// meet connects to the hosts and reads the release, at the same time, and keeps why that
// failed where it did.
func (c *checkRun) meet(ctx context.Context) {
	start := c.Now()
	c.listening = check.NewListening()
	ports := c.prober().Ports(c.flows)
	jobs := []func(){func() { c.readRelease(ctx) }}
	for _, h := range c.hosts {
		jobs = append(jobs, func() {
			h.seen.FactsErr = fleet.Bare(c.greet(ctx, h))
			if h.seen.FactsErr == nil && !c.NoListen {
				c.listen(ctx, h, ports[h.Name])
			}
		})
	}
	_ = fleet.Each(jobs, func(do func()) error { do(); return nil })
	c.report.Connecting = c.Now().Sub(start)
	c.report.Servers = len(c.hosts)
	for _, h := range c.hosts {
		if h.seen.FactsErr != nil {
			c.report.Unreached = append(c.report.Unreached, h.Name)
		}
	}
}

// greet connects to one host, asks for its facts, and measures its clock: it is read half
// a round trip after the question left.
func (c *checkRun) greet(ctx context.Context, h *checkedHost) error {
	if err := h.Connect(ctx); err != nil {
		return err
	}
	asked := c.Now()
	if err := h.Refresh(ctx); err != nil {
		return err
	}
	answered := c.Now()
	f := h.Facts().Facts
	offset := f.Clock.Now.Sub(asked.Add(answered.Sub(asked) / 2))
	h.seen.Facts, h.seen.ClockOffset = &f, &offset
	return nil
}

// listen has a host listen as soon as it is there, while others are still connecting.
func (c *checkRun) listen(ctx context.Context, h *checkedHost, ports []uint16) {
	if len(ports) == 0 {
		return
	}
	c.Observer.Observe(event.Event{Kind: event.Note, Host: h.Name, Text: "listens where nothing does yet while the check lasts, of: " + check.PortList(ports)})
	c.listening.Start(ctx, h.Name, h, ports)
}

// readRelease reads the release that the site is to have, or what was last known of it.
func (c *checkRun) readRelease(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, releaseWithin)
	defer cancel()
	if c.release, c.releaseErr = sourceOf(c.Options, c.trust).Resolve(ctx, "", true); c.releaseErr == nil {
		c.report.Release = c.release.Manifest.Version
	}
}

// manifest is the release that the site is to have; nil: none could be read.
func (c *checkRun) manifest() *release.Manifest {
	if c.release == nil {
		return nil
	}
	return c.release.Manifest
}

// readOffer asks the repository what there is to update to.
func (c *checkRun) readOffer(ctx context.Context) check.Offer {
	if c.release == nil {
		return check.Offer{Err: c.releaseErr}
	}
	ctx, cancel := context.WithTimeout(ctx, releaseWithin)
	defer cancel()
	var installed []string
	for _, h := range c.hosts {
		if f := h.seen.Facts; f != nil && f.Installed != nil {
			installed = append(installed, f.Installed.Release)
		}
	}
	return check.ReadOffer(ctx, c.release.Repository, c.Site, c.Version, installed)
}

// wanted is the release to update to, where one is asked for and known.
func (c *checkRun) wanted() *release.Manifest {
	if n := len(c.offer.Releases); n > 0 {
		return c.offer.Releases[n-1]
	}
	return nil
}

// network tries the flows.
func (c *checkRun) network(ctx context.Context) error {
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
func (c *checkRun) ahead() string {
	within := cmp.Or(c.Deadline, probe.DefaultDeadline)
	if c.Rate > 0 {
		within += time.Duration(len(c.flows)) * time.Second / time.Duration(c.Rate)
	}
	return fmt.Sprintf("trying %d flows, all of them within about %s", len(c.flows), within.Round(time.Second))
}

// endpoints are the ends of the certificates that the flows were shown, by name.
func (c *checkRun) endpoints() map[string]time.Time {
	all := map[string]time.Time{}
	for _, r := range c.report.Results {
		if r.Flow != nil && r.NotAfter != nil && r.Flow.Destination.Kind != network.KindHost {
			all[r.Flow.Destination.Address] = *r.NotAfter
		}
	}
	return all
}

// prober is what the network's checks need, as this run has it.
func (c *checkRun) prober() check.Prober {
	var hosts []*fleet.Host
	for _, h := range c.hosts {
		if h.seen.Facts != nil {
			hosts = append(hosts, h.Host)
		}
	}
	p := prober(c.Site, c.manifest(), c.trust, hosts)
	p.Here, p.Addresses, p.Client, p.Deadline, p.Rate, p.NoListen = c.Here, c.Addresses, c.Client, c.Deadline, c.Rate, c.NoListen
	return p
}

// survey asks the hosts about themselves.
func (c *checkRun) survey(ctx context.Context) error {
	if !c.has(check.Hosts) && !c.has(check.Expiry) && !c.has(check.Update) {
		return nil
	}
	return fleet.Each(c.hosts, func(h *checkedHost) error {
		if h.seen.Facts == nil {
			h.seen.SurveyErr = h.seen.FactsErr
			return nil
		}
		reply, err := h.Survey(ctx, check.SurveyRequest(c.Site, h.Host.Host, c.manifest(), c.wanted()))
		if err != nil {
			h.seen.SurveyErr = err
			return nil
		}
		h.seen.Survey = &reply
		return nil
	})
}

// names asks each host's own name servers.
func (c *checkRun) names(ctx context.Context) error {
	if !c.has(check.Hosts) {
		return nil
	}
	question := check.NameQuestion(c.Site)
	return fleet.Each(c.hosts, func(h *checkedHost) error {
		if h.seen.Facts == nil || len(question.Names) == 0 {
			return nil
		}
		h.seen.Names = &probe.Outcome{Verdict: probe.Unknown}
		err := h.Probe(ctx, probe.Request{Specs: []probe.Spec{question}, Deadline: c.Deadline}, func(o probe.Outcome) error {
			h.seen.Names = &o
			return nil
		})
		if err != nil {
			h.seen.Names.Cause = fmt.Sprintf("they could not be asked: %v", err)
		}
		return nil
	})
}

// readCertificate reads the controller's copy of the site's certificate. A site whose
// certificate is the vendor's has none.
func (c *checkRun) readCertificate() check.Certificate {
	if !c.Site.SSL || c.Site.Cloud != nil || !c.has(check.Hosts) && !c.has(check.Expiry) {
		return check.Certificate{}
	}
	pair, err := inputs.ReadCertificate(c.Site, c.Ask)
	if err != nil || pair == nil {
		if err == nil {
			err = errors.New("reading the site's certificate: the site file has neither tls.certificate nor tls.pkcs12")
		}
		return check.Certificate{Err: err}
	}
	key, err := pair.KeyPEM()
	return check.Certificate{Chain: pair.ChainPEM(), Key: key, Missing: inputs.ChainMissing(pair, c.trust, c.Now()), Err: err}
}

// judge adds what the hosts' answers mean.
func (c *checkRun) judge() {
	ahead := check.VendorOffsets(c.report.Results)
	var seen []check.HostSeen
	for _, h := range c.hosts {
		if by, ok := ahead[h.Name]; ok {
			h.seen.VendorOffset = &by
		}
		seen = append(seen, h.seen)
	}
	in := check.Input{Site: c.Site, Manifest: c.manifest(), Hosts: seen, Now: c.Now(), MetadataErr: c.releaseErr,
		Endpoints: c.endpoints(), Certificate: c.certificate, Offer: c.offer}
	if c.release != nil {
		in.Metadata = c.release.State
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
func (c *checkRun) leave() {
	if err := fleet.Each(c.hosts, func(h *checkedHost) error { return h.Close() }); err != nil {
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
