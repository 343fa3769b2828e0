package site

import (
	"fmt"
	"net/mail"
)

// Notify says who is told what an unattended site does.
type Notify struct {
	Mail    *Mail    `json:"mail,omitempty" jsonschema_description:"A mail server of the customer's and who gets mail."`
	Webhook *Webhook `json:"webhook,omitempty" jsonschema_description:"An address that gets each notice as JSON, by POST."`
}

// Mail is how mail is sent. The server is the customer's: valtctl looks up no mail exchanger.
type Mail struct {
	Server       Endpoint     `json:"server" jsonschema:"required" jsonschema_description:"Mail server, as host or host:port. The port's default is 587, 465 with security: tls, and 25 with none."`
	Security     MailSecurity `json:"security" jsonschema_description:"starttls (the default), tls from the first byte, or none. A login is sent only over TLS."`
	From         string       `json:"from" jsonschema:"required" jsonschema_description:"The sender's address."`
	To           []string     `json:"to" jsonschema:"required" jsonschema_description:"The receivers' addresses."`
	Username     string       `json:"username,omitempty" jsonschema_description:"The login's name, where the server wants one."`
	PasswordFile string       `json:"password_file,omitempty" jsonschema_description:"File that holds the login's password."`
}

// MailSecurity is how a connection to a mail server is kept from being read.
type MailSecurity string

// The ways.
const (
	MailStartTLS MailSecurity = "starttls"
	MailTLS      MailSecurity = "tls"
	MailPlain    MailSecurity = "none"
)

// Port is the server's TCP port (RFC 6409 section 3.1, RFC 8314 section 3.3, RFC 5321).
func (m Mail) Port() int {
	switch {
	case m.Server.Port != 0:
		return int(m.Server.Port)
	case m.Security == MailTLS:
		return 465
	case m.Security == MailPlain:
		return 25
	}
	return 587
}

// Webhook is an address that takes notices. One that is a secret itself, as those of chat
// services are, stands in a file.
type Webhook struct {
	URL       string `json:"url,omitempty" jsonschema_description:"The address, as http or https URL."`
	URLFile   string `json:"url_file,omitempty" jsonschema_description:"File that holds the address, where knowing it is all it takes to write there."`
	TokenFile string `json:"token_file,omitempty" jsonschema_description:"File that holds a token, sent as Authorization: Bearer."`
}

func parseMailSecurity(s string) (MailSecurity, error) {
	return choice(s, MailStartTLS, MailTLS, MailPlain)
}

func parseMailAddress(s string) (string, error) {
	a, err := mail.ParseAddress(s)
	if err != nil || a.Name != "" || a.Address != s {
		return "", &wrong{fmt.Sprintf("%q is not a mail address", s), "write it bare, such as it@st-marys.example"}
	}
	return s, nil
}

func parseWebhook(s string) (string, error) {
	u, err := parseURL(s)
	if err != nil {
		return "", err
	}
	return u.String(), nil
}

func (r *reader) notify(v value, n *Notify) {
	r.object(v, []field{
		{key: "mail", read: func(v value) { n.Mail = r.mail(v) }},
		{key: "webhook", read: func(v value) { n.Webhook = r.webhook(v) }},
	})
}

func (r *reader) mail(v value) *Mail {
	m := &Mail{Security: MailStartTLS}
	r.object(v, []field{
		{key: "server", read: scalar(r, &m.Server, parseEndpoint), need: "server: and the mail server, such as smtp.st-marys.example"},
		{key: "security", read: scalar(r, &m.Security, parseMailSecurity)},
		{key: "from", read: scalar(r, &m.From, parseMailAddress), need: "from: and the sender's address"},
		{key: "to", read: list(r, &m.To, parseMailAddress), need: "to: and a list of the receivers' addresses"},
		{key: "username", read: scalar(r, &m.Username, parseText)},
		{key: "password_file", read: scalar(r, &m.PasswordFile, r.file)},
	})
	if r.emptied(join(v.path, "to")) {
		r.at(join(v.path, "to"), "names nobody", "write at least one address, such as [it@st-marys.example]")
	}
	if (m.Username == "") != (m.PasswordFile == "") && r.sound(v.path) {
		r.at(v.path, "has one of username and password_file without the other", "write both, or neither")
	}
	if m.Username != "" && m.Security == MailPlain {
		r.at(join(v.path, "security"), "a login would cross the network in clear text", "write starttls or tls, or leave out the login")
	}
	return m
}

func (r *reader) webhook(v value) *Webhook {
	w := &Webhook{}
	r.object(v, []field{
		{key: "url", read: scalar(r, &w.URL, parseWebhook)},
		{key: "url_file", read: scalar(r, &w.URLFile, r.file)},
		{key: "token_file", read: scalar(r, &w.TokenFile, r.file)},
	})
	if (w.URL == "") == (w.URLFile == "") && r.sound(v.path) {
		r.at(v.path, "needs one of url and url_file", "write url: and the address, or url_file: and the file that holds it")
	}
	return w
}
