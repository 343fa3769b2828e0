package installer

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/redact"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/support"
	"ipivs.com/valtctl/repos/problem"
)

// SecretSudoPassword is the name of what sudo asks for, where the site file names a file.
const SecretSudoPassword = "sudo-password"

// Secrets are those of the controller's files that the site file names. A file that is not
// there holds none.
func Secrets(s *site.Site) []redact.Secret {
	all := []redact.Secret{
		secretOf(plan.SecretCertificateKey, s.TLS.KeyFile),
		secretOf(plan.SecretRegistryPassword, s.Registry.PasswordFile),
	}
	for _, h := range s.Hosts {
		all = append(all, secretOf(plan.SecretLicence, h.Wowza.KeyFile), secretOf("ssh-identity", h.SSH.Identity),
			secretOf(SecretSudoPassword, h.SSH.SudoPasswordFile))
	}
	if m := s.Updates.Notify.Mail; m != nil {
		all = append(all, secretOf("mail-password", m.PasswordFile))
	}
	if w := s.Updates.Notify.Webhook; w != nil {
		all = append(all, secretOf("webhook", w.URLFile), secretOf("webhook-token", w.TokenFile))
	}
	if u, err := url.Parse(s.Network.Proxy); err == nil && u.User != nil {
		password, _ := u.User.Password()
		all = append(all, redact.Secret{Name: "url-login", Value: []byte(password)})
	}
	return all
}

func secretOf(name, file string) redact.Secret {
	if file == "" {
		return redact.Secret{Name: name}
	}
	content, err := readCapped(file)
	if err != nil {
		return redact.Secret{Name: name}
	}
	return redact.Secret{Name: name, Value: content}
}

// given are the secrets that a host gets from the controller in any case, for it to take
// out itself. The SSH key and other hosts' secrets stay here.
func given(s *site.Site, h site.Host) map[string][]byte {
	all := map[string][]byte{}
	for _, one := range []redact.Secret{
		secretOf(plan.SecretRegistryPassword, s.Registry.PasswordFile), secretOf(SecretSudoPassword, h.SSH.SudoPasswordFile),
	} {
		if len(one.Value) > 0 {
			all[one.Name] = one.Value
		}
	}
	return all
}

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
func Support(ctx context.Context, o Options, r support.Request, a *support.Archive) (*SiteFacts, error) {
	hosts, err := picked(o.Site, o.Hosts)
	if err != nil {
		return nil, err
	}
	found := &SiteFacts{Hosts: make([]HostFacts, len(hosts))}
	reached := make([]bool, len(hosts))
	err = each(len(hosts), func(i int) error {
		h := &found.Hosts[i]
		h.Host = hosts[i].Name
		h.Err = withSession(ctx, o, hosts[i], func(s *session) error {
			reached[i] = true
			return found.gather(ctx, o, s, r, a.From(h.Host), h)
		})
		h.Err = advised(h.Host, h.Err)
		return h.Err
	})
	for i := range found.Hosts {
		h := &found.Hosts[i]
		a.Asked(h.Host, reached[i], h.Err)
		h.Attended = found.Lease != nil && found.Lease.Run != ""
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("gathering what support asks for: %w", ctx.Err())
	}
	return found, err
}

// gather asks one host for all that it has, also where a part of it cannot be had.
func (f *SiteFacts) gather(ctx context.Context, o Options, s *session, r support.Request, to *support.Receiver, into *HostFacts) error {
	r.Secrets = given(o.Site, s.host)
	o.Observer.Observe(event.Event{Kind: event.Note, Host: s.host.Name, Text: "gathering journals and logs"})
	err := s.client.Support(ctx, r, to.Part)
	reply, asking := s.client.Facts(ctx, agent.FactsRequest{})
	into.took(reply)
	if s.host.Name == LeaseHost(o.Site).Name {
		asking = errors.Join(asking, f.askLease(ctx, s))
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
