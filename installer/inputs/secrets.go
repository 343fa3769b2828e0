package inputs

import (
	"net/url"

	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/redact"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/textfile"
)

// SecretSudoPassword is the name of what sudo asks for, where the site file names a file.
const SecretSudoPassword = "sudo-password"

// Secrets are those of the controller's files that the site file names. A file that is not
// there holds none.
func Secrets(s *site.Site) []redact.Secret {
	all := []redact.Secret{
		secretOf(plan.SecretCertificateKey, s.TLS.KeyFile), secretOf("certificate-password", s.TLS.PasswordFile),
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
	content, err := readRaw(file)
	if err != nil {
		return redact.Secret{Name: name}
	}
	// What is used, and may be seen somewhere, is the text, not the form of its file.
	if text, _, err := textfile.Decode(content); err == nil {
		content = text
	}
	return redact.Secret{Name: name, Value: content}
}

// GivenToHost are the secrets that a host gets from the controller in any case, for it to take
// out itself. The SSH key and other hosts' secrets stay here.
func GivenToHost(s *site.Site, h site.Host) map[string][]byte {
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
