package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
)

// maxDocument is more than any of these documents has, in bytes.
const maxDocument = 1 << 20

// askRegistry wants the answer by which a registry is known (OCI distribution
// specification, "Determining Support"): 200, or 401 with a way to log in.
func askRegistry(ctx context.Context, c *conversation) { c.conclude(ctx, c.registry(ctx)) }

func (c *conversation) registry(ctx context.Context) error {
	const path = "/v2/"
	a, err := c.fetch(ctx, path, true)
	if err != nil {
		return err
	}
	scheme, _, _ := strings.Cut(a.Header.Get("WWW-Authenticate"), " ")
	asks := strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "Basic")
	known := a.Header.Get("Docker-Distribution-Api-Version") != ""
	switch {
	case a.StatusCode == http.StatusOK && (known || a.isObject()),
		a.StatusCode == http.StatusUnauthorized && (known || asks):
		return nil
	case a.isPage():
		return found(WrongContent, "a web page, not a registry (%s)", a.line())
	}
	return found(WrongContent, "not a registry: %s answers %s", path, a.line())
}

// isObject says whether the body is a JSON object, as a registry that needs no login
// answers, or empty.
func (a *answer) isObject() bool {
	a.read(maxPage)
	body := bytes.TrimSpace(a.body)
	return len(body) == 0 || body[0] == '{' && json.Valid(body)
}

// askMetaRelease wants the list of Ubuntu releases that do-release-upgrade reads.
func askMetaRelease(ctx context.Context, c *conversation) {
	c.conclude(ctx, c.document(ctx, "/meta-release-lts", "a list of Ubuntu releases", func(text []byte) bool {
		return bytes.HasPrefix(text, []byte("Dist:")) || bytes.Contains(text, []byte("\nDist:"))
	}))
}

// askACME wants a directory (RFC 8555, section 7.1.1).
func askACME(ctx context.Context, c *conversation) {
	c.conclude(ctx, c.document(ctx, "/directory", "an ACME directory", func(text []byte) bool {
		var directory struct{ NewNonce, NewOrder string }
		return json.Unmarshal(text, &directory) == nil && directory.NewNonce != "" && directory.NewOrder != ""
	}))
}

// document fetches what stands at Spec.Path, or at its usual place, over verified TLS
// and judges whether it is what it should be.
func (c *conversation) document(ctx context.Context, path, what string, right func([]byte) bool) error {
	if c.spec.Path != "" {
		path = c.spec.Path
	}
	a, err := c.fetch(ctx, path, true)
	if err != nil {
		return err
	}
	return c.whole(a, path, what, maxDocument, right)
}

// whole reads the document of an answer and judges it.
func (c *conversation) whole(a *answer, path, what string, most int64, right func([]byte) bool) error {
	a.read(most)
	switch {
	case a.StatusCode == http.StatusOK && a.cut == nil && right(a.body):
		return nil
	case a.StatusCode/100 == 3:
		return found(WrongContent, "%s redirects to %s instead of being %s", path, a.target(), what)
	case a.isPage():
		if title := a.title(); title != "" {
			c.note("the page's title: %q", title)
		}
		return found(WrongContent, "a web page instead of %s (%s)", what, a.line())
	case a.StatusCode != http.StatusOK:
		return found(WrongContent, "%s is not there: it answers %s", path, a.line())
	case errors.Is(a.cut, errTooLong):
		return found(WrongContent, "%s is longer than %s can be", path, what)
	case a.cut != nil:
		return found(WrongContent, "%s comes only in part: %v", path, a.cut)
	}
	return found(WrongContent, "%s is something else than %s", path, what)
}
