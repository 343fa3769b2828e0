package installer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// HostFacts is one host's answer. Err is set where it gave none.
type HostFacts struct {
	Host         string        `json:"host"`
	Facts        facts.Facts   `json:"facts"`
	Transactions []txn.Summary `json:"transactions,omitempty"`
	// Schedule is what it has written down of unattended runs; nil: nothing.
	Schedule *agent.Schedule `json:"schedule,omitempty"`
	Err      error           `json:"-"`
	// Seen is what the host has seen of the release repository.
	Seen release.State `json:"-"`
	// Attended says that a run holds the site's lease: what the host is at, it looks after.
	Attended bool `json:"-"`
}

// SiteFacts is every host's answer, and who may change the site.
type SiteFacts struct {
	Hosts []HostFacts
	Lease *Lease // nil: the host that keeps it gave no answer
}

// Gather asks every host for its facts. A host that cannot be asked is in the list with
// its error, and in the joined error too.
func Gather(ctx context.Context, o Options, full bool) ([]HostFacts, error) {
	hosts, err := picked(o.Site, o.Hosts)
	if err != nil {
		return nil, err
	}
	all := make([]HostFacts, len(hosts))
	err = each(len(hosts), func(i int) error {
		all[i] = ask(ctx, o, hosts[i], full, nil)
		return all[i].Err
	})
	return all, err
}

// Look asks every host for its facts, over one connection each, and the one that keeps
// the site's lease for that too. Errors are as Gather's.
func Look(ctx context.Context, o Options) (*SiteFacts, error) {
	hosts, err := picked(o.Site, o.Hosts)
	if err != nil {
		return nil, err
	}
	found := &SiteFacts{Hosts: make([]HostFacts, len(hosts))}
	keeper, asked := LeaseHost(o.Site), hosts
	if !slices.ContainsFunc(hosts, func(h site.Host) bool { return h.Name == keeper.Name }) {
		asked = append(slices.Clone(hosts), keeper)
	}
	err = each(len(asked), func(i int) error {
		var more func(*session) error
		if asked[i].Name == keeper.Name {
			more = func(s *session) error { return found.askLease(ctx, s) }
		}
		h := ask(ctx, o, asked[i], false, more)
		if i < len(hosts) {
			found.Hosts[i] = h
		}
		return h.Err
	})
	for i := range found.Hosts {
		found.Hosts[i].Attended = found.Lease != nil && found.Lease.Run != ""
	}
	return found, err
}

func (f *SiteFacts) askLease(ctx context.Context, s *session) error {
	l, err := s.client.Lease(ctx, agent.LeaseRequest{Action: agent.LeaseShow})
	if err != nil {
		return fmt.Errorf("asking for the site's lease: %w", err)
	}
	f.Lease = &l
	return nil
}

// ask asks one host, and with more something else over the same connection.
func ask(ctx context.Context, o Options, host site.Host, full bool, more func(*session) error) HostFacts {
	h := HostFacts{Host: host.Name}
	h.Err = withSession(ctx, o, host, func(s *session) error {
		reply, err := s.client.Facts(ctx, agent.FactsRequest{Full: full})
		if err != nil {
			return err
		}
		h.took(reply)
		if more == nil {
			return nil
		}
		return more(s)
	})
	return h
}

// took keeps what a host says it is.
func (h *HostFacts) took(reply agent.FactsReply) {
	h.Facts, h.Transactions, h.Schedule = reply.Facts, reply.Transactions, reply.Schedule
	if reply.TrustedState != nil {
		h.Seen = *reply.TrustedState
	}
}

// withSession does something on one host and leaves it.
func withSession(ctx context.Context, o Options, h site.Host, do func(*session) error) error {
	s, err := o.Connect.open(ctx, h, o.Observer)
	if err != nil {
		return err
	}
	if err := do(s); err != nil {
		return errors.Join(fmt.Errorf("host %s: %w", h.Name, err), ignoreClosed(s.close()))
	}
	return ignoreClosed(s.close())
}

// Logs copies logs of every host to what out gives for it, until they end or ctx does.
func Logs(ctx context.Context, o Options, r agent.LogsRequest, out func(host string) io.Writer) error {
	hosts, err := picked(o.Site, o.Hosts)
	if err != nil {
		return err
	}
	return each(len(hosts), func(i int) error {
		return withSession(ctx, o, hosts[i], func(s *session) error {
			err := s.client.Logs(ctx, r, out(hosts[i].Name))
			if r.Follow && ctx.Err() != nil {
				return nil // a person stopped following
			}
			return err
		})
	})
}

// Now is the transaction that says what the host is at: an unfinished one, else the last
// that was to bring it to a release. Nil: there is none.
func (h HostFacts) Now() *txn.Summary {
	all := h.Transactions
	for i := range all {
		if !all[i].State.Finished() {
			return &all[i]
		}
	}
	for i := range all {
		if !all[i].Stage {
			return &all[i]
		}
	}
	return nil
}

// Needs lists what a person must do about a host, most pressing first; none where it
// serves as it should, or a run is at work on it.
func (h HostFacts) Needs() []*problem.Error {
	if h.Err != nil {
		return problem.All(h.Err)
	}
	now := h.Now()
	atWork := now != nil && !now.State.Finished()
	if atWork && h.Attended {
		return nil
	}
	all := h.txnNeeds(now)
	f := h.Facts
	if f.Installed == nil {
		return append(all, h.need("valtctl install", "VALT is not installed"))
	}
	if f.Engine == nil {
		return append(all, h.need("look at it with: systemctl status docker", "the Docker engine does not answer"))
	}
	quarantined := now != nil && now.State == txn.StateQuarantined
	if f.GateClosed && !atWork && !quarantined {
		all = append(all, h.need("valtctl undrain "+h.Host, "it takes no new sessions: its gate is closed"))
	}
	if !quarantined {
		all = append(all, h.containerNeeds()...)
	}
	if f.RebootRequired {
		all = append(all, h.need("reboot it in a maintenance window", "%s", rebootWhy(f)))
	}
	return all
}

func (h HostFacts) need(fix, format string, args ...any) *problem.Error {
	return &problem.Error{Kind: problem.Check, Doing: "looking at host", Object: h.Host, Err: fmt.Errorf(format, args...), Fix: fix}
}

// txnNeeds are about what the host is at, and about records that cannot be trusted.
func (h HostFacts) txnNeeds(now *txn.Summary) []*problem.Error {
	var all []*problem.Error
	for _, t := range h.Transactions {
		if t.State != txn.StateDamaged && (now == nil || t.ID != now.ID) {
			continue
		}
		if fix := txnFix(t, h.Host); fix != "" {
			all = append(all, h.need(fix, "transaction %s is %s", t.ID, t.State))
		}
	}
	return all
}

func (h HostFacts) containerNeeds() []*problem.Error {
	var all []*problem.Error
	for _, c := range h.Facts.Engine.Containers {
		if c.State != "running" || c.Health == "unhealthy" {
			all = append(all, h.need("valtctl logs --host "+h.Host+"; then valtctl install", "container %s is %s", c.Name, containerState(c)))
		}
	}
	return all
}

// rebootWhy names those who asked for a reboot, where that is known.
func rebootWhy(f facts.Facts) string {
	const most = 4
	names := f.RebootPackages
	switch {
	case len(names) == 0:
		return "a package asked for a reboot"
	case len(names) > most:
		return fmt.Sprintf("%s and %d more asked for a reboot", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ") + " asked for a reboot"
}

func containerState(c facts.Container) string {
	if c.State == "running" {
		return c.Health
	}
	return c.State
}

// txnFix says what to do about a transaction; nothing for one that is over.
func txnFix(t txn.Summary, host string) string {
	switch t.State {
	case txn.StateRunning:
		return "it goes on by itself; follow it with: valtctl resume"
	case txn.StateWaiting, txn.StateInterrupted:
		return "valtctl resume"
	case txn.StateUnconfirmed:
		return "valtctl resume confirms it if it serves, valtctl abort takes it back; without either it goes back by itself"
	case txn.StateQuarantined:
		return "valtctl repair --host " + host
	case txn.StateDamaged:
		return "keep its folder below /var/lib/valtctl/txn as evidence, then: valtctl install"
	}
	return ""
}
