package probe

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const blobText = `{"architecture":"amd64"}`

func blobPath() string {
	sum := sha256.Sum256([]byte(blobText))
	return "/v2/valt/web/blobs/sha256:" + hex.EncodeToString(sum[:])
}

// askBlobOf asks a registry for the blob as a check does.
func askBlobOf(t *testing.T, from asker, addr string, login *Login) Outcome {
	t.Helper()
	host, text, err := net.SplitHostPort(addr)
	port, err2 := strconv.Atoi(text)
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	var all []Outcome
	r := Request{Deadline: time.Minute, Login: login,
		Specs: []Spec{{ID: "1", Ask: AskBlob, Protocol: "tcp", Host: host, Port: uint16(port), Name: "registry.example", Path: blobPath()}}}
	err = Run(t.Context(), Env{Now: from.now, Roots: from.roots}, r, func(o Outcome) error { all = append(all, o); return nil })
	if err != nil || len(all) != 1 {
		t.Fatalf("%d outcomes, %v", len(all), err)
	}
	return all[0]
}

// elsewhere is a registry that wants a login and has its blobs at another address.
func elsewhere(t *testing.T, to string, cert tls.Certificate) string {
	return web(t, func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "st-marys" || password != "let-me-in" {
			w.Header().Set("WWW-Authenticate", `Basic realm="r"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		http.Redirect(w, r, "https://"+to+"/data?signature=of-the-moment", http.StatusTemporaryRedirect)
	}, cert)
}

func TestABlobIsFollowedToWhereItComesFrom(t *testing.T) {
	ca, squid := newAuthority(t, "Practice CA"), newAuthority(t, "Inspection")
	good := ca.current(t, "registry.example")
	blob := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.URL.Query().Get("signature") == "" {
			w.WriteHeader(http.StatusForbidden) // the login is the registry's alone
			return
		}
		fmt.Fprint(w, blobText)
	}
	for what, c := range map[string]struct {
		handle http.HandlerFunc
		cert   tls.Certificate
		want   Verdict
		words  string
	}{
		"it comes":                  {blob, good, Works, ""},
		"it is intercepted there":   {blob, squid.current(t, "registry.example"), Intercepted, `blobs come from 127.0.0.1: TLS is intercepted: the certificate is issued by "CN=Inspection"`},
		"a page is there":           {page(200, "text/html", portal), good, WrongContent, "blobs come from 127.0.0.1: a web page instead of a blob"},
		"something else comes":      {page(200, "application/json", "{}"), good, WrongContent, "not the blob"},
		"it is refused there":       {page(403, "text/plain", "no"), good, WrongContent, "answers 403 Forbidden"},
		"it goes on and on":         {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.String(), http.StatusFound) }, good, WrongContent, "again and again"},
		"it is for another machine": {blob, ca.current(t, "www.example"), Certificate, `is for "www.example"`},
	} {
		t.Run(what, func(t *testing.T) {
			cdn := web(t, c.handle, c.cert)
			o := askBlobOf(t, machine(ca), elsewhere(t, cdn, good), &Login{Username: "st-marys", Password: "let-me-in"})
			want(t, o, c.want, c.words)
			if !slices.Equal(o.Elsewhere, []string{cdn}) {
				t.Errorf("it was led to %v and not to %s", o.Elsewhere, cdn)
			}
			if text := strings.Join(o.Evidence, "\n") + o.Cause; strings.Contains(text, "of-the-moment") || strings.Contains(text, "let-me-in") {
				t.Errorf("secrets are told: %s", text)
			}
		})
	}
	t.Run("nobody listens there", func(t *testing.T) {
		to := fmt.Sprintf("127.0.0.1:%d", freePort(t))
		want(t, askBlobOf(t, machine(ca), elsewhere(t, to, good), &Login{Username: "st-marys", Password: "let-me-in"}), Refused, "blobs come from 127.0.0.1: nothing listens")
	})
	t.Run("without a login it is not known", func(t *testing.T) {
		want(t, askBlobOf(t, machine(ca), elsewhere(t, "127.0.0.1:1", good), nil), Unknown, "could not be seen: it answers 401 Unauthorized")
	})
}

func TestARegistryOfTokensIsAskedForABlobToo(t *testing.T) {
	ca := newAuthority(t, "Practice CA")
	good := ca.current(t, "registry.example")
	tokens := web(t, func(w http.ResponseWriter, r *http.Request) {
		if user, _, _ := r.BasicAuth(); user != "st-marys" || r.URL.Query().Get("scope") != "repository:valt/web:pull" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprint(w, `{"token":"for-a-while"}`)
	}, good)
	registry := web(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer for-a-while" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://`+tokens+`/token",service="r",scope="repository:valt/web:pull"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, blobText)
	}, good)
	o := askBlobOf(t, machine(ca), registry, &Login{Username: "st-marys", Password: "let-me-in"})
	want(t, o, Works)
	if !slices.Equal(o.Elsewhere, []string{tokens}) {
		t.Errorf("who makes the tokens is not told: %v", o.Elsewhere)
	}
	if o = askBlobOf(t, machine(ca), registry, nil); o.Verdict != Unknown || !strings.Contains(o.Cause, "no token") {
		t.Errorf("%+v", o)
	}
}
