package probe

import (
	"bufio"
	"encoding/base64"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// proxyURL is the proxy of the question. The error never quotes it, since a login may
// stand in it.
func (c *conversation) proxyURL() (*url.URL, error) {
	u, err := url.Parse(c.spec.Proxy)
	if err != nil || u.Hostname() == "" {
		return nil, found(Unknown, "the proxy's address cannot be read as a URL")
	}
	if u.Scheme != "http" {
		return nil, found(Unknown, "only proxies at http:// can be asked")
	}
	return u, nil
}

// login adds the login of the proxy's URL, if it has one (RFC 9110, section 11.7.2).
func (c *conversation) login(h http.Header) error {
	u, err := c.proxyURL()
	if err != nil {
		return err
	}
	if u.User != nil {
		h.Set("Proxy-Authorization", "Basic "+basic(u.User))
	}
	return nil
}

func basic(user *url.Userinfo) string {
	password, _ := user.Password()
	return base64.StdEncoding.EncodeToString([]byte(user.Username() + ":" + password))
}

// secrets are what must not reach a report, in each form in which they can be quoted.
func (c *conversation) secrets() []string {
	var all []string
	if l := c.req.Login; l != nil && l.Password != "" {
		all = append(all, base64.StdEncoding.EncodeToString([]byte(l.Username+":"+l.Password)), l.Password)
	}
	if c.spec.Proxy == "" {
		return all
	}
	u, err := url.Parse(c.spec.Proxy)
	if err != nil {
		return append(all, c.spec.Proxy)
	}
	password, has := u.User.Password()
	if !has || password == "" {
		return all
	}
	_, escaped, _ := strings.Cut(u.User.String(), ":")
	return append(all, c.spec.Proxy, basic(u.User), u.User.String(), escaped, password)
}

// through is a connection to the far end itself: the one there is, or the tunnel that
// the proxy makes of it (RFC 9110, section 9.3.6).
func (c *conversation) through() (net.Conn, error) {
	if c.spec.Proxy == "" {
		return c.conn, nil
	}
	target := net.JoinHostPort(c.spec.Host, strconv.Itoa(int(c.spec.Port)))
	r := &http.Request{Method: http.MethodConnect, URL: &url.URL{Host: target}, Host: target,
		Header: http.Header{"User-Agent": {"valtctl"}}}
	if err := c.login(r.Header); err != nil {
		return nil, err
	}
	tunnel := &heard{Conn: c.conn, left: maxHeader}
	if err := r.Write(tunnel); err != nil {
		return nil, proxySilent(tunnel, err)
	}
	reader := bufio.NewReader(tunnel)
	answered, err := http.ReadResponse(reader, r)
	if err != nil {
		return nil, proxySilent(tunnel, err)
	}
	c.note("the proxy answered CONNECT %s with %s", target, (&answer{Response: answered}).line())
	if answered.StatusCode/100 != 2 {
		return nil, c.proxyRefusal(answered)
	}
	tunnel.left = maxHandshake
	return &begun{Conn: tunnel, reader: reader}, nil
}

// begun is a connection of which something was read ahead: a far end that speaks first
// may follow the proxy's answer closely.
type begun struct {
	net.Conn
	reader *bufio.Reader
}

func (b *begun) Read(p []byte) (int, error) {
	return b.reader.Read(p) //nolint:wrapcheck // readers compare with io.EOF
}

// proxySilent is the finding for a proxy that gives no answer in HTTP. One that cannot
// reach the far end often waits for longer than anybody who asks it.
func proxySilent(h *heard, err error) error {
	switch how := h.silent(err); {
	case h.total == 0 && strings.HasSuffix(how, "says nothing"):
		return found(Proxy, "the proxy does not answer in time: it is overloaded, or does not reach the far end")
	case how != "":
		return found(Proxy, "the proxy %s", how)
	case h.total == 0:
		return found(Proxy, "the proxy fails: %v", err)
	}
	return found(Proxy, "the proxy does not speak HTTP: %s", h.described())
}

// fromProxy is the finding for an answer that a proxy gave in the far end's place, one
// in the way that nobody configured included. Asked is for a proxy that was asked to
// forward a request; what it forwards it marks with Via (RFC 9110, section 7.6.3).
func (c *conversation) fromProxy(a *answer, asked bool) error {
	switch status := a.StatusCode; {
	case status == http.StatusProxyAuthRequired,
		status >= 400 && a.Header.Get("X-Squid-Error") != "",
		asked && (status == 502 || status == 503 || status == 504),
		asked && status == http.StatusForbidden && a.Header.Get("Via") == "":
		return c.proxyRefusal(a.Response)
	}
	return nil
}

// proxyRefusal is the finding for a proxy's own answer, with its reason.
func (c *conversation) proxyRefusal(r *http.Response) error {
	for _, field := range []string{"X-Squid-Error", "Proxy-Status", "Via"} {
		if value := r.Header.Get(field); value != "" {
			c.note("the proxy says %s: %s", field, value)
		}
	}
	if r.StatusCode == http.StatusProxyAuthRequired {
		return c.loginRefused(r)
	}
	line := (&answer{Response: r}).line()
	if reason := proxyReason(r); reason != "" {
		return found(Proxy, "the proxy answers %s: %s", line, reason)
	}
	return found(Proxy, "the proxy answers %s", line)
}

func (c *conversation) loginRefused(r *http.Response) error {
	wants := r.Header.Get("Proxy-Authenticate")
	if wants == "" {
		wants = "it does not say which kind"
	} else {
		wants = "Proxy-Authenticate: " + wants
	}
	if u, err := url.Parse(c.spec.Proxy); err == nil && u.User != nil {
		return found(Proxy, "the proxy does not accept the login it was given (%s)", wants)
	}
	return found(Proxy, "the proxy asks for a login (%s)", wants)
}

// proxyReason is why, as far as Squid's error name or the status tells.
func proxyReason(r *http.Response) string {
	squid, _, _ := strings.Cut(r.Header.Get("X-Squid-Error"), " ")
	switch squid {
	case "ERR_ACCESS_DENIED":
		return "its rules do not allow this"
	case "ERR_DNS_FAIL":
		return "it cannot resolve the name"
	case "ERR_CONNECT_FAIL", "ERR_CANNOT_FORWARD":
		return "it cannot connect to the far end"
	case "ERR_SECURE_CONNECT_FAIL":
		return "it does not trust the far end's TLS, or cannot speak it"
	case "ERR_READ_TIMEOUT", "ERR_READ_ERROR", "ERR_ZERO_SIZE_OBJECT":
		return "it gets no answer from the far end"
	}
	switch {
	case squid != "":
		return squid
	case r.StatusCode == http.StatusForbidden:
		return "its rules do not allow this"
	case r.StatusCode >= 502 && r.StatusCode <= 504:
		return "it does not reach the far end"
	}
	return ""
}
