// Package noticesink is the customer's own servers that notices go to: a mail server, real
// Exim, which wants TLS and a login and keeps what it gets, and a web server, real nginx,
// that writes down what is posted to it with a token. What a notice must say is for the
// scenarios.
package noticesink

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/netip"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/rootfs"
)

// Name is the container's; the others are what the site file says.
const (
	Name      = "office"
	MailName  = "smtp.office.example"
	HookName  = "hooks.office.example"
	HookURL   = "https://" + HookName + "/valt"
	Receiver  = "it@office.example"
	Sender    = "valt@office.example"
	User      = "valt"
	Password  = "practice-mail"
	Token     = "practice-token"
	folder    = "/etc/valtlab"
	mailbox   = "/home/it/Maildir/new"
	hooksFile = "/var/log/nginx/hooks"
)

// recipe is the image of the office.
func recipe() rootfs.Recipe {
	return rootfs.Recipe{
		Name:     "office",
		Packages: []string{"systemd", "systemd-sysv", "dbus", "iproute2", "nginx-light", "exim4-daemon-light"},
		Files: []containers.File{
			{Path: "/etc/nginx/sites-enabled", Dir: true},
			{Path: "/etc/systemd/system/office-mail.service", Content: []byte(mailUnit)},
			{Path: folder, Dir: true},
		},
		Commands: [][]string{
			{"useradd", "--create-home", "it"},
			{"systemctl", "enable", "nginx.service", "office-mail.service"},
			{"systemctl", "mask", "systemd-udevd.service", "systemd-udevd-kernel.socket", "systemd-udevd-control.socket",
				"console-getty.service", "getty@tty1.service", "apt-daily.timer", "apt-daily-upgrade.timer", "exim4.service"},
		},
	}
}

// mailUnit replaces the package's start script, which asks debconf.
const mailUnit = `[Unit]
Description=Practice site: the customer's mail server
[Service]
ExecStart=/usr/sbin/exim4 -bdf -q30m
Restart=always
[Install]
WantedBy=multi-user.target
`

// exim keeps mail of whoever logs in over TLS, for the office's own domain.
const exim = `primary_hostname = ` + MailName + `
domainlist office = office.example
daemon_smtp_ports = 587
tls_advertise_hosts = *
tls_certificate = ` + folder + `/office.pem
tls_privatekey = ` + folder + `/mail.key
auth_advertise_hosts = ${if eq{$tls_in_cipher}{}{}{*}}
acl_smtp_rcpt = taken
begin acl
taken:
  accept authenticated = *
         domains = +office
  deny message = nobody may relay here
begin routers
office:
  driver = accept
  domains = +office
  transport = keep
begin transports
keep:
  driver = appendfile
  directory = /home/it/Maildir
  maildir_format
  user = it
begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${if and{{eq{$auth2}{` + User + `}}{eq{$auth3}{` + Password + `}}}{yes}{no}}
`

// nginx hands what is posted to itself, since it reads a body only to pass it on, and writes
// it down with the token that came with it.
const nginx = `user www-data;
pid /run/nginx.pid;
error_log /var/log/nginx/error.log;
events { worker_connections 64; }
http {
  log_format hook escape=json '{"token":"$http_authorization","body":"$request_body"}';
  client_max_body_size 8m;
  client_body_buffer_size 8m;
  server {
    listen 443 ssl;
    ssl_certificate ` + folder + `/office.pem;
    ssl_certificate_key ` + folder + `/office.key;
    access_log ` + hooksFile + ` hook;
    location = /valt { proxy_pass http://127.0.0.1:8080/; }
  }
  server {
    listen 127.0.0.1:8080;
    access_log off;
    location / { return 204; }
  }
}
`

// Start makes the container anew and returns when both servers answer.
func Start(ctx context.Context, l *lab.Lab) error {
	image, err := l.Image(ctx, recipe())
	if err != nil {
		return err
	}
	free, err := l.Free(ctx, 1)
	if err != nil {
		return err
	}
	ca, err := l.Authority()
	if err != nil {
		return err
	}
	pair, err := ca.Issue(l.Now(), []string{MailName, HookName}, free)
	if err != nil {
		return err
	}
	err = l.StartPeer(ctx, lab.Peer{
		Name: Name, Image: image, Machine: true, Addresses: free,
		Files: []containers.File{
			{Path: "/etc/exim4/exim4.conf", Content: []byte(exim)},
			{Path: "/etc/nginx/nginx.conf", Content: []byte(nginx)},
			{Path: folder + "/office.pem", Content: pair.Certificate},
			{Path: folder + "/office.key", Content: pair.Key, Mode: 0o600},
			{Path: folder + "/mail.key", Content: pair.Key}, // for exim's own login; the lab's alone
		},
		Ready: func(ctx context.Context) error { return ready(ctx, l) },
	})
	if err != nil {
		return err
	}
	return l.SayNames(Name, map[string]netip.Addr{MailName: free[0], HookName: free[0]})
}

// ready wants both ports to be listened on.
func ready(ctx context.Context, l *lab.Lab) error {
	out, err := l.Output(ctx, Name, "ss", "--no-header", "--listening", "--numeric", "--tcp")
	if err != nil {
		return err
	}
	for _, port := range []string{":587 ", ":443 "} {
		if !strings.Contains(out, port) {
			return fmt.Errorf("nobody listens on %s in the office: systemctl status nginx office-mail there tells why", port)
		}
	}
	return nil
}

// Stop removes the container and its names.
func Stop(ctx context.Context, l *lab.Lab) error {
	if err := l.SayNames(Name, nil); err != nil {
		return err
	}
	return l.RemovePeer(ctx, Name)
}

// Received is one notice as it arrived.
type Received struct {
	Subject, Text string
	Report        string // the report that came with it; empty: none did
}

// Delivered says whether all mail that was taken is where Mails finds it.
func Delivered(ctx context.Context, l *lab.Lab) (bool, error) {
	queued, err := l.Output(ctx, Name, "exim4", "-bpc")
	return strings.TrimSpace(queued) == "0", err
}

// Mails are what the mail server has kept, in the order in which it came.
func Mails(ctx context.Context, l *lab.Lab) ([]Received, error) {
	names, err := l.Output(ctx, Name, "sh", "-c", "ls -tr "+mailbox+" 2>/dev/null || true")
	if err != nil {
		return nil, err
	}
	var all []Received
	for _, name := range strings.Fields(names) {
		text, err := l.Output(ctx, Name, "cat", mailbox+"/"+name)
		if err != nil {
			return nil, err
		}
		one, err := readMail(text)
		if err != nil {
			return nil, fmt.Errorf("reading mail %s: %w", name, err)
		}
		all = append(all, one)
	}
	return all, nil
}

func readMail(text string) (Received, error) {
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		return Received{}, err
	}
	var r Received
	if r.Subject, err = new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); err != nil {
		return r, err
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return r, err
	}
	if !strings.HasPrefix(kind, "multipart/") {
		body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
		r.Text = string(body)
		return r, err
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		part, err := parts.NextPart() // quoted-printable is read by it
		if err == io.EOF {
			return r, nil
		}
		if err != nil {
			return r, err
		}
		var content io.Reader = part
		if strings.EqualFold(part.Header.Get("Content-Transfer-Encoding"), "base64") {
			content = base64.NewDecoder(base64.StdEncoding, part)
		}
		body, err := io.ReadAll(content)
		if err != nil {
			return r, err
		}
		if part.FileName() != "" {
			r.Report = part.FileName() + " " + string(body)
			continue
		}
		r.Text += string(body)
	}
}

// Hooks are what was posted with the right token, in order.
func Hooks(ctx context.Context, l *lab.Lab) ([]Received, error) {
	text, err := l.Output(ctx, Name, "sh", "-c", "cat "+hooksFile+" 2>/dev/null || true")
	if err != nil {
		return nil, err
	}
	var all []Received
	for line := range strings.Lines(text) {
		var posted struct{ Token, Body string }
		if err := json.Unmarshal([]byte(line), &posted); err != nil {
			return nil, fmt.Errorf("reading what was posted: %w", err)
		}
		var n struct {
			Subject, Text string
			Report        json.RawMessage
		}
		if err := json.Unmarshal([]byte(posted.Body), &n); err != nil {
			return nil, fmt.Errorf("reading the notice %.100q: %w", posted.Body, err)
		}
		if posted.Token != "Bearer "+Token {
			return nil, fmt.Errorf("the notice %q came with the token %q", n.Subject, posted.Token)
		}
		all = append(all, Received{n.Subject, n.Text, string(n.Report)})
	}
	return all, nil
}
