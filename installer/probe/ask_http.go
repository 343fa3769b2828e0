package probe

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"html"
	"io"
	"maps"
	"mime"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// What is read of an answer, in bytes.
const (
	maxHeader = 64 << 10
	maxPage   = 64 << 10
)

// askHTTP wants any HTTP answer, over plain TCP.
func askHTTP(ctx context.Context, c *conversation) { c.conclude(ctx, c.anyHTTP(ctx, false)) }

// askHTTPS wants any HTTP answer over verified TLS.
func askHTTPS(ctx context.Context, c *conversation) { c.conclude(ctx, c.anyHTTP(ctx, true)) }

// anyHTTP asks for Spec.Path. Without one it asks for what cannot exist, so that a page
// that is there all the same was made for everyone who asks for anything.
func (c *conversation) anyHTTP(ctx context.Context, secure bool) error {
	path := c.spec.Path
	if path == "" {
		path = "/valtctl-" + strings.ToLower(rand.Text())
	}
	a, err := c.fetch(ctx, path, secure)
	if err != nil {
		return err
	}
	if c.spec.Path == "" {
		err = c.captive(a, secure, "where no page can be")
	}
	if err == nil && !secure && a.wantsTLS() {
		return found(WrongContent, "speaks HTTPS here, not plain HTTP")
	}
	return err
}

// askEither wants HTTP or HTTPS. It asks in plain HTTP: a TLS server gives itself away
// by an alert or by a page that says so.
func askEither(ctx context.Context, c *conversation) { c.conclude(ctx, c.either(ctx)) }

func (c *conversation) either(ctx context.Context) error {
	path := c.spec.Path
	if path == "" {
		path = "/"
	}
	a, err := c.fetch(ctx, path, false)
	switch {
	case a != nil && isTLS(a.heard.first):
		c.note("it answers plain HTTP with a TLS record, as an HTTPS server does")
		return nil
	case a != nil && a.heard.total == 0 && c.greetsTLS(ctx):
		c.note("it ends plain HTTP without a word and answers TLS, as an HTTPS server does")
		return nil
	case err != nil:
		return err
	case a.wantsTLS():
		c.note("it says that it speaks HTTPS")
	}
	return nil
}

// greetsTLS tries TLS on a connection of its own, for servers that end plain HTTP without
// a word. It proves a TLS server and verifies nothing, as the other two signs of one do.
func (c *conversation) greetsTLS(ctx context.Context) bool {
	there, tcp := c.conn.RemoteAddr().(*net.TCPAddr)
	if !tcp || c.spec.Proxy != "" || ctx.Err() != nil {
		return false
	}
	dialer := tls.Dialer{Config: &tls.Config{ServerName: c.name(), Time: c.env.Now,
		InsecureSkipVerify: true}} //nolint:gosec // nothing is sent on it
	conn, err := dialer.DialContext(ctx, "tcp", there.String())
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// answer is an HTTP response and what was read of its body.
type answer struct {
	*http.Response
	heard *heard
	body  []byte
	cut   error // why the body ends before its end
}

// fetch asks for a path of the far end and reads the head of the answer, through the
// proxy if there is one. With an error there may be an answer that was not HTTP.
func (c *conversation) fetch(ctx context.Context, path string, secure bool) (*answer, error) {
	absolute := c.spec.Proxy != "" && !secure
	conn := c.conn
	if secure {
		tunnel, err := c.through()
		if err != nil {
			return nil, err
		}
		if conn, err = c.secure(ctx, tunnel, "http/1.1"); err != nil {
			return nil, err
		}
	}
	r, err := c.request(path, secure)
	if err != nil {
		return nil, err
	}
	a, err := exchange(conn, r, absolute)
	if err != nil {
		if absolute {
			return a, proxySilent(a.heard, err)
		}
		return a, a.heard.unheard(err, "HTTP")
	}
	c.told(a)
	return a, c.fromProxy(a, absolute)
}

// request is a GET of a path, with the proxy's login if it is for the proxy's eyes.
func (c *conversation) request(path string, secure bool) (*http.Request, error) {
	u, err := url.Parse(path)
	if err != nil {
		return nil, found(Unknown, "%q cannot be asked for: it is not a path", path)
	}
	u.Scheme, u.Host = "http", c.authority(secure)
	if secure {
		u.Scheme = "https"
	}
	r := &http.Request{Method: http.MethodGet, URL: u, Host: u.Host, Header: http.Header{
		"User-Agent": {"valtctl"}, "Accept": {"*/*"}, "Connection": {"close"}}}
	maps.Copy(r.Header, c.header)
	if c.spec.Proxy == "" || secure {
		return r, nil
	}
	r.Host = net.JoinHostPort(c.spec.Host, strconv.Itoa(int(c.spec.Port)))
	u.Host = r.Host
	return r, c.login(r.Header)
}

// authority is what Host: says: the name, and the port if it is not the scheme's own.
func (c *conversation) authority(secure bool) string {
	if secure && c.spec.Port == 443 || !secure && c.spec.Port == 80 {
		return c.name()
	}
	return net.JoinHostPort(c.name(), strconv.Itoa(int(c.spec.Port)))
}

// name is what TLS verifies.
func (c *conversation) name() string {
	if c.spec.Name != "" {
		return strings.TrimSuffix(c.spec.Name, ".")
	}
	return strings.TrimSuffix(c.spec.Host, ".")
}

// exchange sends a request and reads the head of its answer, in the form for a proxy if
// absolute. The answer is there even with an error, for what was heard.
func exchange(conn net.Conn, r *http.Request, absolute bool) (*answer, error) {
	a := &answer{heard: &heard{Conn: conn, left: maxHeader}}
	write := r.Write
	if absolute {
		write = r.WriteProxy
	}
	// A server that refuses may answer and close before it has read all: its answer counts.
	unsent := write(a.heard)
	reader := bufio.NewReader(a.heard)
	const interim = 5 // answers 1xx before the real one (RFC 9110, section 15.2)
	for range interim {
		var err error
		if a.Response, err = http.ReadResponse(reader, r); err != nil {
			if unsent != nil && a.heard.total == 0 {
				err = unsent
			}
			return a, fmt.Errorf("reading an answer: %w", err)
		}
		if a.StatusCode/100 != 1 {
			return a, nil
		}
	}
	return a, fmt.Errorf("reading an answer: %s again and again", a.line())
}

// read takes the body, up to most bytes.
func (a *answer) read(most int64) {
	if a.body != nil {
		return
	}
	a.heard.left = 2*most + maxHeader // chunk heads are counted too
	a.body, a.cut = io.ReadAll(io.LimitReader(a.Body, most+1))
	if int64(len(a.body)) > most {
		a.body, a.cut = a.body[:most], errTooLong
	}
}

// told notes what an answer's head says.
func (c *conversation) told(a *answer) {
	line := "answered " + a.line()
	if server := a.Header.Get("Server"); server != "" {
		line += ", Server: " + server
	}
	if to := a.target(); to != "" {
		line += ", Location: " + to
	}
	c.note("%s", line)
	c.dated(a.Header.Get("Date"), a.Header.Get("Age"))
}

// line is the status for people: "404 Not Found".
func (a *answer) line() string {
	if text := http.StatusText(a.StatusCode); text != "" {
		return fmt.Sprintf("%d %s", a.StatusCode, text)
	}
	return strconv.Itoa(a.StatusCode)
}

// target is where a redirect leads, without what could be a secret in it.
func (a *answer) target() string {
	to, err := a.Location()
	if err != nil {
		return ""
	}
	return (&url.URL{Scheme: to.Scheme, Host: to.Host, Path: to.Path}).String()
}

// isPage says whether the body is HTML, by its type or by its looks.
func (a *answer) isPage() bool {
	a.read(maxPage)
	kind, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if kind == "text/html" || kind == "application/xhtml+xml" {
		return len(bytes.TrimSpace(a.body)) > 0
	}
	start := bytes.ToLower(bytes.TrimSpace(bytes.TrimPrefix(a.body[:min(len(a.body), 512)], []byte("\xef\xbb\xbf"))))
	return bytes.HasPrefix(start, []byte("<!doctype html")) || bytes.HasPrefix(start, []byte("<html"))
}

// title is the page's, empty if it has none.
func (a *answer) title() string {
	a.read(maxPage)
	title := regexp.MustCompile(`(?is)<title[^>]*>(.*?)</`).FindSubmatch(a.body)
	if title == nil {
		return ""
	}
	return strings.Join(strings.Fields(html.UnescapeString(string(title[1]))), " ")
}

// captive is the finding for a page that somebody shows to whoever asks for anything.
// Behind verified TLS a redirect is the far end's own.
func (c *conversation) captive(a *answer, secure bool, instead string) error {
	switch {
	case a.StatusCode == http.StatusNetworkAuthenticationRequired: // RFC 6585, section 6
		return found(WrongContent, "captive portal: it asks for a login to the network")
	case a.StatusCode/100 == 3 && !secure && c.leadsAway(a):
		return found(WrongContent, "captive portal: it redirects to %s", a.target())
	case a.StatusCode/100 == 2 && a.isPage():
		if title := a.title(); title != "" {
			c.note("the page's title: %q", title)
		}
		return found(WrongContent, "captive portal: a web page %s", instead)
	}
	return nil
}

// leadsAway says whether a redirect goes to a host that is neither the one asked nor
// its parent or child: "www." before a name is no portal.
func (c *conversation) leadsAway(a *answer) bool {
	to, err := a.Location()
	if err != nil || to.Hostname() == "" {
		return false
	}
	there := strings.ToLower(strings.TrimSuffix(to.Hostname(), "."))
	for _, here := range []string{strings.ToLower(c.name()), strings.ToLower(c.spec.Host)} {
		if there == here || strings.HasSuffix(there, "."+here) || strings.HasSuffix(here, "."+there) {
			return false
		}
	}
	return true
}

// wantsTLS says whether an answer to plain HTTP is the page by which an HTTPS server
// says so: nginx, Apache, Go's and Jetty's have one each.
func (a *answer) wantsTLS() bool {
	if a.StatusCode != http.StatusBadRequest && a.StatusCode != 497 {
		return false
	}
	a.read(maxPage)
	for _, words := range []string{
		"plain HTTP request was sent to HTTPS port",         // nginx
		"speaking plain HTTP to an SSL-enabled server port", // Apache
		"Client sent an HTTP request to an HTTPS server",    // Go
		"requires TLS", // Tomcat: "This combination of host and port requires TLS."
	} {
		if bytes.Contains(a.body, []byte(words)) {
			return true
		}
	}
	return false
}
