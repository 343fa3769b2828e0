package installer

import (
	"context"
	"errors"
	"fmt"
	"io"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
)

// HostFacts is one host's answer. Err is set where it gave none.
type HostFacts struct {
	Host         string      `json:"host"`
	Facts        facts.Facts `json:"facts"`
	Transactions []agent.Txn `json:"transactions,omitempty"`
	Err          error       `json:"-"`
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
		all[i].Host = hosts[i].Name
		all[i].Err = withSession(ctx, o, hosts[i], func(s *session) error {
			reply, err := s.client.Facts(ctx, agent.FactsRequest{Full: full})
			all[i].Facts, all[i].Transactions = reply.Facts, reply.Transactions
			return err
		})
		return all[i].Err
	})
	return all, err
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

// Needs lists what a person must do about a host, most pressing first; none where it
// serves as it should.
func (h HostFacts) Needs() []*problem.Error {
	need := func(fix, format string, args ...any) *problem.Error {
		return &problem.Error{Kind: problem.Check, Doing: "looking at host", Object: h.Host, Err: fmt.Errorf(format, args...), Fix: fix}
	}
	if h.Err != nil {
		return problem.All(h.Err)
	}
	var all []*problem.Error
	for _, t := range h.Transactions {
		if fix := txnFix(t.State); fix != "" {
			all = append(all, need(fix, "transaction %s is %s", t.ID, t.State))
		}
	}
	f := h.Facts
	if f.Installed == nil {
		return append(all, need("valtctl install", "VALT is not installed"))
	}
	if f.Engine == nil {
		return append(all, need("look at it with: systemctl status docker", "the Docker engine does not answer"))
	}
	for _, c := range f.Engine.Containers {
		if c.State != "running" || c.Health == "unhealthy" {
			all = append(all, need("valtctl logs --host "+h.Host+"; then valtctl install", "container %s is %s", c.Name, containerState(c)))
		}
	}
	if f.RebootRequired {
		all = append(all, need("reboot it in a maintenance window", "a package asked for a reboot"))
	}
	return all
}

func containerState(c facts.Container) string {
	if c.State == "running" {
		return c.Health
	}
	return c.State
}

// txnFix says what to do about a transaction in a state; nothing for one that is over.
func txnFix(state string) string {
	switch txn.State(state) {
	case txn.StateRunning:
		return "it goes on by itself; follow it with: valtctl resume"
	case txn.StateWaiting, txn.StateInterrupted:
		return "valtctl resume"
	case txn.StateDamaged:
		return "keep its folder below /var/lib/valtctl/txn as evidence, then: valtctl install"
	}
	return ""
}
