package status

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/inputs"
	"ipivs.com/valtctl/installer/redact"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/support"
	"ipivs.com/valtctl/repos/problem"
)

// Hide are the names of a site that stand-ins take the place of.
func Hide(s *site.Site, also ...string) *redact.Hider {
	h := redact.NewHider()
	for _, host := range s.Hosts {
		h.Name("host", host.Name)
	}
	for _, host := range s.Hosts {
		h.Name("name", string(host.Address))
	}
	names := []string{s.Name}
	if s.Cloud != nil {
		names = append(names, string(s.Cloud.App), string(s.Cloud.Tunnel))
	}
	for _, host := range s.Hosts {
		for _, j := range host.SSH.Jump {
			names = append(names, string(j.Host))
		}
	}
	for _, n := range s.Network.NTP {
		names = append(names, string(n))
	}
	if m := s.Updates.Notify.Mail; m != nil {
		names = append(names, string(m.Server.Host))
	}
	if u, err := url.Parse(s.Network.Proxy); err == nil {
		names = append(names, u.Hostname())
	}
	if own, err := os.Hostname(); err == nil {
		names = append(names, own)
	}
	for _, n := range append(names, also...) {
		h.Name("name", n)
	}
	return h
}

// Support gathers from every host what support asks for, into the archive, and over the same
// connections what the hosts are now. A host that cannot be asked is named in both, and the
// joined error is of such hosts alone; what others had is in the archive all the same.
func Support(ctx context.Context, o fleet.Options, r support.Request, a *support.Archive) (*Site, error) {
	hosts, err := o.Chosen()
	if err != nil {
		return nil, err
	}
	found := &Site{Hosts: make([]Host, len(hosts))}
	reached := make([]bool, len(hosts))
	err = fleet.Each(indices(hosts), func(i int) error {
		h := &found.Hosts[i]
		h.Host = hosts[i].Name
		h.Err = fleet.With(ctx, o, hosts[i], func(host *fleet.Host) error {
			reached[i] = true
			return found.gather(ctx, o, host, r, a.From(h.Host), h)
		})
		h.Err = advised(h.Host, h.Err)
		return h.Err
	})
	found.attend()
	for i, h := range found.Hosts {
		a.Asked(h.Host, reached[i], h.Err)
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("gathering what support asks for: %w", ctx.Err())
	}
	return found, err
}

// gather asks one host for all that it has, also where a part of it cannot be had.
func (s *Site) gather(ctx context.Context, o fleet.Options, host *fleet.Host, r support.Request, to *support.Receiver, into *Host) error {
	r.Secrets = inputs.GivenToHost(o.Site, host.Host)
	o.Observer.Observe(event.Event{Kind: event.Note, Host: host.Name, Text: "gathering journals and logs"})
	err := host.Support(ctx, r, to.Part)
	reply, asking := host.AskFacts(ctx, false)
	into.took(reply)
	if host.Name == fleet.LeaseHost(o.Site).Name {
		asking = errors.Join(asking, s.askLease(ctx, host))
	}
	return errors.Join(err, asking)
}

// advised says what to do where a problem does not say it itself.
func advised(host string, err error) error {
	if all := problem.All(err); len(all) == 1 && all[0].Fix == "" {
		return &problem.Error{Kind: all[0].Kind, Doing: "gathering from host", Object: host, Err: err,
			Fix: "the archive has what could be had; run it again once the host answers"}
	}
	return err
}
