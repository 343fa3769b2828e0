package installer

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"

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

// Support gathers from every host what support asks for, into the archive. A host that
// cannot be asked is named there, and the joined error is theirs alone; what others had is
// in the archive all the same.
func Support(ctx context.Context, o Options, r support.Request, a *support.Archive) error {
	hosts, err := picked(o.Site, o.Hosts)
	if err != nil {
		return err
	}
	errs := make([]error, len(hosts))
	_ = each(len(hosts), func(i int) error {
		errs[i] = supportOf(ctx, o, hosts[i], r, a.From(hosts[i].Name))
		return nil
	})
	for i, h := range hosts {
		a.Asked(h.Name, errs[i])
	}
	if ctx.Err() != nil {
		return fmt.Errorf("gathering what support asks for: %w", ctx.Err())
	}
	return errors.Join(slices.DeleteFunc(errs, func(err error) bool { return err == nil })...)
}

func supportOf(ctx context.Context, o Options, h site.Host, r support.Request, to *support.Receiver) error {
	r.Secrets = given(o.Site, h)
	o.Observer.Observe(Event{Kind: EventNote, Host: h.Name, Text: "gathering journals and logs"})
	err := withSession(ctx, o, h, func(s *session) error { return s.client.Support(ctx, r, to.Part) })
	if err != nil && len(problem.All(err)) == 1 && problem.All(err)[0].Fix == "" {
		return &problem.Error{Kind: problem.KindOf(err), Doing: "gathering from host", Object: h.Name, Err: err,
			Fix: "the archive has what the others gave; run it again once the host can be reached"}
	}
	return err
}
