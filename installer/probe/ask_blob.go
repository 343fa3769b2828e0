package probe

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
)

// Login is how a registry is asked. It goes to the registry itself and to whom that names for tokens, never to
// where a blob comes from.
type Login struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// maxHops is how often a blob may be somewhere else.
const maxHops = 5

// askBlob follows one blob of an image to where it really comes from: many registries answer for manifests
// themselves and send whoever wants a blob to another name (OCI distribution specification, "Pulling blobs": "a
// registry SHOULD support redirects"), so that a network may let the one through and not the other.
func (q *question) askBlob(ctx context.Context) {
	at, err := q.start()
	if err != nil {
		q.out.Verdict, q.out.Cause = Unknown, err.Error()
		return
	}
	c, a, err := q.registryAnswer(ctx, at)
	for hops := 0; err == nil && c != nil; hops++ {
		to, away := q.next(a, at)
		if !away {
			break
		}
		c.conn.Close()
		if hops == maxHops {
			err = found(WrongContent, "the registry's blobs are somewhere else again and again")
			break
		}
		if to.Host != at.Host {
			q.lead(to, "the registry's blobs come from")
		}
		at = to
		c, a, err = q.get(ctx, at, nil)
	}
	if c == nil {
		return // the verdict is that of the connection
	}
	defer c.conn.Close()
	if err == nil {
		err = q.isBlob(c, a)
	}
	c.conclude(ctx, err)
}

// lead notes that the answer comes from another machine than the one asked, and why.
func (q *question) lead(to *url.URL, why string) {
	q.out.Elsewhere = append(q.out.Elsewhere, net.JoinHostPort(to.Hostname(), portOf(to)))
	q.led = fmt.Sprintf("%s %s", why, to.Hostname())
	q.out.Evidence = append(q.out.Evidence, q.led)
}

// start is the blob's address at the registry.
func (q *question) start() (*url.URL, error) {
	if !strings.HasPrefix(q.spec.Path, "/v2/") || !strings.HasPrefix(path.Base(q.spec.Path), "sha256:") {
		return nil, fmt.Errorf("%q is no blob of a registry", q.spec.Path)
	}
	host := q.spec.Host
	if q.spec.Port != 443 {
		host = net.JoinHostPort(host, strconv.Itoa(int(q.spec.Port)))
	}
	return &url.URL{Scheme: "https", Host: host, Path: q.spec.Path}, nil
}

// next is where an answer sends us.
func (q *question) next(a *answer, at *url.URL) (*url.URL, bool) {
	if a.StatusCode/100 != 3 {
		return nil, false
	}
	to, err := at.Parse(a.Header.Get("Location"))
	if err != nil || to.Hostname() == "" || to.Scheme != "https" && to.Scheme != "http" {
		return nil, false
	}
	return to, true
}

func portOf(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "http":
		return "80"
	}
	return "443"
}

// registryAnswer asks the registry for the blob, with the login, or with the token that it wants instead (Docker's
// "Token Authentication Specification").
func (q *question) registryAnswer(ctx context.Context, at *url.URL) (*conversation, *answer, error) {
	header := http.Header{}
	if l := q.req.Login; l != nil {
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(l.Username+":"+l.Password)))
	}
	c, a, err := q.get(ctx, at, header)
	if c == nil || err != nil || a.StatusCode != http.StatusUnauthorized {
		return c, a, err
	}
	realm, ok := tokenAddress(a.Header.Get("WWW-Authenticate"))
	if !ok {
		return c, a, nil
	}
	c.conn.Close()
	if realm.Host != at.Host {
		q.lead(realm, "the registry has its tokens made by")
	}
	if c, a, err = q.get(ctx, realm, header); c == nil || err != nil {
		return c, a, err
	}
	a.read(maxDocument)
	var answered struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
	}
	if json.Unmarshal(a.body, &answered) != nil || answered.Token+answered.AccessToken == "" {
		return c, a, found(Unknown, "where the registry's blobs come from could not be seen: it gives no token (%s)", a.line())
	}
	if answered.Token == "" {
		answered.Token = answered.AccessToken
	}
	c.conn.Close()
	q.led = ""
	return q.get(ctx, at, http.Header{"Authorization": {"Bearer " + answered.Token}})
}

// tokenAddress is where a registry has tokens made, over TLS alone.
func tokenAddress(challenge string) (*url.URL, bool) {
	scheme, rest, _ := strings.Cut(challenge, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return nil, false
	}
	words := map[string]string{}
	for rest != "" {
		var name, value string
		name, rest, _ = strings.Cut(strings.TrimLeft(rest, ", "), `="`)
		value, rest, _ = strings.Cut(rest, `"`)
		words[strings.ToLower(name)] = value
	}
	u, err := url.Parse(words["realm"])
	if err != nil || u.Scheme != "https" || u.Hostname() == "" {
		return nil, false
	}
	asks := u.Query()
	for _, name := range []string{"service", "scope"} {
		if words[name] != "" {
			asks.Set(name, words[name])
		}
	}
	u.RawQuery = asks.Encode()
	return u, true
}

// get asks one machine, on a connection of its own. Without a conversation no connection came about, and the
// outcome has the verdict.
func (q *question) get(ctx context.Context, at *url.URL, header http.Header) (*conversation, *answer, error) {
	port, err := strconv.ParseUint(portOf(at), 10, 16)
	if err != nil {
		q.out.Verdict, q.out.Cause = WrongContent, fmt.Sprintf("it sends to %q, which is no address", at.Host)
		return nil, nil, nil
	}
	spec := q.spec
	spec.Host, spec.Port, spec.Name = at.Hostname(), uint16(port), ""
	if at.Hostname() == q.spec.Host {
		spec.Name = q.spec.Name
	}
	there := &question{env: q.env, req: q.req, spec: spec, out: q.out, watch: q.watch}
	conn := there.connect(ctx)
	if conn == nil {
		q.out.Cause = q.ledTo(q.out.Cause)
		return nil, nil, nil
	}
	boundBy(ctx, conn)
	c := &conversation{env: q.env, req: q.req, spec: spec, conn: conn, out: q.out, header: header}
	a, err := c.fetch(ctx, at.RequestURI(), at.Scheme == "https")
	var f *finding
	if errors.As(err, &f) {
		err = found(f.verdict, "%s", q.ledTo(f.cause))
	}
	return c, a, err
}

// ledTo says of a cause which machine it is about.
func (q *question) ledTo(cause string) string {
	if q.led == "" {
		return cause
	}
	return q.led + ": " + cause
}

// isBlob wants the blob itself, by its digest.
func (q *question) isBlob(c *conversation, a *answer) error {
	a.read(maxDocument)
	sum := sha256.Sum256(a.body)
	switch {
	case a.StatusCode == http.StatusOK && a.cut == nil && "sha256:"+hex.EncodeToString(sum[:]) == path.Base(q.spec.Path):
		c.note("a blob of %d bytes came whole", len(a.body))
		return nil
	case a.isPage():
		return found(WrongContent, "%s", q.ledTo("a web page instead of a blob ("+a.line()+")"))
	case a.StatusCode == http.StatusOK:
		return found(WrongContent, "%s", q.ledTo("what comes is not the blob that was asked for"))
	case q.led != "":
		return found(WrongContent, "%s", q.ledTo("it does not give the blob, and answers "+a.line()))
	}
	return found(Unknown, "where the registry's blobs come from could not be seen: it answers %s", a.line())
}
