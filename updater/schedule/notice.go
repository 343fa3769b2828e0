package schedule

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/wneessen/go-mail"

	"ipivs.com/valtctl/installer/inputs"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/plain"
	"ipivs.com/valtctl/repos/problem"
)

// Notice is what people are told, once by each way that the site file names.
type Notice struct {
	Schema  string    `json:"schema"`
	Kind    string    `json:"kind"` // "look-ahead", "update", "missed", "key"
	Site    string    `json:"site"`
	Subject string    `json:"subject"`
	Text    string    `json:"text"`
	Time    time.Time `json:"time"`
	// Problem says that a person has to do something.
	Problem bool `json:"problem"`
	// Report is what the notice is about, whole; nil: there is none.
	Report json.RawMessage `json:"report,omitempty"`
	// Ways are those by which it has yet to be sent.
	Ways []string `json:"ways,omitempty"`
}

// The ways.
const (
	byMail    = "mail"
	byWebhook = "webhook"
)

// noticeSchema marks what a webhook is sent.
const noticeSchema = "valtctl/notice/v1"

// Caps: how long one way may take, how much of an answer and of a secret's file is read, and
// how many notices wait while nobody can be told.
const (
	sendWithin = 30 * time.Second
	maxReply   = 64 << 10
	maxUnsent  = 20
)

// Post delivers notices as the site file says.
type Post struct {
	To    site.Notify
	Roots *x509.CertPool
	// HTTP reaches the webhook, by the site's proxy and authorities.
	HTTP http.RoundTripper
}

// ways are those that the site file names.
func ways(n site.Notify) []string {
	var all []string
	if n.Mail != nil {
		all = append(all, byMail)
	}
	if n.Webhook != nil {
		all = append(all, byWebhook)
	}
	return all
}

// Send tries every way that a notice has yet to go, but for those that have failed just now,
// so that the notices of one way stay in order and none waits for a server that is away. What
// was delivered is taken off its list; the error says what was not.
func (p Post) Send(ctx context.Context, n *Notice, failed map[string]bool) error {
	var errs []error
	n.Ways = slices.DeleteFunc(n.Ways, func(way string) bool {
		if failed[way] {
			return false
		}
		ctx, cancel := context.WithTimeout(ctx, sendWithin)
		defer cancel()
		var err error
		switch {
		case way == byMail && p.To.Mail != nil:
			err = p.mail(ctx, n)
		case way == byWebhook && p.To.Webhook != nil:
			err = p.webhook(ctx, n)
		}
		errs = append(errs, err)
		failed[way] = err != nil
		return err == nil
	})
	return errors.Join(errs...)
}

func (p Post) mail(ctx context.Context, n *Notice) error {
	m := p.To.Mail
	bad := func(err error) error {
		return &problem.Error{Kind: problem.Failed, Doing: "sending mail by", Object: m.Server.String(), Err: err,
			Fix: "check updates.notify.mail in the site file; it is sent with the next look at the clock"}
	}
	msg, err := message(m, n)
	if err != nil {
		return bad(err)
	}
	options := []mail.Option{mail.WithPort(m.Port()), mail.WithTimeout(sendWithin),
		mail.WithTLSConfig(&tls.Config{ServerName: string(m.Server.Host), RootCAs: p.Roots, MinVersion: tls.VersionTLS12})}
	switch m.Security {
	case site.MailTLS:
		options = append(options, mail.WithSSL())
	case site.MailPlain:
		options = append(options, mail.WithTLSPolicy(mail.NoTLS))
	default:
		options = append(options, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if m.Username != "" {
		password, err := secretIn(m.PasswordFile)
		if err != nil {
			return bad(err)
		}
		options = append(options, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(m.Username), mail.WithPassword(password))
	}
	client, err := mail.NewClient(string(m.Server.Host), options...)
	if err != nil {
		return bad(err)
	}
	if err := client.DialAndSendWithContext(ctx, msg); err != nil {
		return bad(err)
	}
	return nil
}

// message is a notice as mail, with its report attached.
func message(to *site.Mail, n *Notice) (*mail.Msg, error) {
	msg := mail.NewMsg()
	if err := errors.Join(msg.From(to.From), msg.To(to.To...)); err != nil {
		return nil, err
	}
	msg.Subject(plain.Line(n.Subject)) // an end of a line would begin a header
	msg.SetDateWithValue(n.Time)
	msg.SetBodyString(mail.TypeTextPlain, plain.Text(n.Text))
	if len(n.Report) > 0 {
		if err := msg.AttachReader("report.json", bytes.NewReader(plain.JSON(n.Report)), mail.WithFileContentType("application/json")); err != nil {
			return nil, err
		}
	}
	return msg, nil
}

func (p Post) webhook(ctx context.Context, n *Notice) error {
	w := p.To.Webhook
	shown := w.URL
	if shown == "" {
		shown = "the address in " + w.URLFile // which is a secret
	}
	bad := func(err error) error {
		return &problem.Error{Kind: problem.Failed, Doing: "posting a notice to", Object: shown, Err: err,
			Fix: "check updates.notify.webhook in the site file; it is sent with the next look at the clock"}
	}
	address, err := w.URL, error(nil)
	if address == "" {
		if address, err = secretIn(w.URLFile); err != nil {
			return bad(err)
		}
	}
	sent := *n
	sent.Schema, sent.Ways = noticeSchema, nil
	body, err := json.Marshal(sent)
	if err != nil {
		return bad(err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(plain.JSON(body)))
	if err != nil {
		return bad(errors.New("it is not an address")) // the error would repeat it
	}
	r.Header.Set("Content-Type", "application/json")
	if w.TokenFile != "" {
		token, err := secretIn(w.TokenFile)
		if err != nil {
			return bad(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
	}
	// A redirect would carry the notice to somebody else.
	client := http.Client{Transport: p.HTTP, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	reply, err := client.Do(r)
	if err != nil {
		return bad(unquoted(err))
	}
	defer reply.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(reply.Body, maxReply)) // it is for the message alone
	if reply.StatusCode/100 != 2 {
		return bad(fmt.Errorf("it answers %s: %.200q", reply.Status, text))
	}
	return nil
}

// unquoted is the cause of an HTTP error without the address, which may be a secret.
func unquoted(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// secretIn is the first line of a file.
func secretIn(path string) (string, error) {
	line, err := inputs.FirstLine(path)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(line))
	if secret == "" {
		return "", fmt.Errorf("reading %s: it is empty", path)
	}
	return secret, nil
}
