package probe

import (
	"io"
	"log"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

// headed adds a header to a page.
func headed(name, value string, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(name, value)
		next(w, r)
	}
}

func TestWebDocuments(t *testing.T) {
	ca := newAuthority(t, "Practice CA")
	real := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	challenge := page(401, "application/json", `{"errors":[]}`)
	const directory = `{"newNonce":"https://a/n","newOrder":"https://a/o","keyChange":"x"}`
	const list = "Dist: jammy\nName: Jammy Jellyfish\n\nDist: noble\nName: Noble Numbat\n"
	for _, c := range []struct {
		name   string
		ask    Ask
		handle http.HandlerFunc
		want   Verdict
		words  string
	}{
		{"a registry", AskRegistry, real.ServeHTTP, Works, ""},
		{"a registry that wants a token", AskRegistry, headed("WWW-Authenticate", `Bearer realm="https://auth.example/token"`, challenge), Works, ""},
		{"a registry that wants a password", AskRegistry, headed("WWW-Authenticate", `Basic realm="r"`, challenge), Works, ""},
		{"a registry by its header", AskRegistry, headed("Docker-Distribution-Api-Version", "registry/2.0", challenge), Works, ""},
		{"a web server", AskRegistry, page(200, "text/html", portal), WrongContent, "a web page, not a registry (200 OK)"},
		{"a web server's first words", AskRegistry, page(200, "text/plain", "It works!"), WrongContent, "not a registry: /v2/ answers 200 OK"},
		{"a registry without a login", AskRegistry, page(200, "application/json", "{}"), Works, ""},
		{"a web server without it", AskRegistry, http.NotFound, WrongContent, "not a registry: /v2/ answers 404 Not Found"},
		{"a web server with a login page", AskRegistry, page(401, "text/html", portal), WrongContent, "a web page, not a registry (401 Unauthorized)"},
		{"releases", AskMetaRelease, page(200, "text/plain", list), Works, ""},
		{"no releases", AskMetaRelease, page(200, "text/plain", "none"), WrongContent, "/meta-release-lts is something else than a list of Ubuntu releases"},
		{"a page for releases", AskMetaRelease, page(200, "text/html", portal), WrongContent, "a web page instead of a list of Ubuntu releases"},
		{"a directory", AskACME, page(200, "application/json", directory), Works, ""},
		{"half a directory", AskACME, page(200, "application/json", directory[:40]), WrongContent, "/directory is something else than an ACME directory"},
		{"another JSON", AskACME, page(200, "application/json", `{"newNonce":7}`), WrongContent, "is something else"},
		{"no directory", AskACME, page(503, "text/plain", "busy"), WrongContent, "/directory is not there: it answers 503 Service Unavailable"},
		{"too long", AskACME, page(200, "application/json", directory+strings.Repeat(" ", maxDocument)), WrongContent, "longer than"},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := web(t, c.handle, ca.current(t, "a.example"))
			o := machine(ca).ask(t, addr, Spec{Ask: c.ask, Name: "a.example"})
			want(t, o, c.want, c.words)
		})
	}
}

func TestDocumentElsewhere(t *testing.T) {
	ca := newAuthority(t, "Practice CA")
	mux := http.NewServeMux()
	mux.HandleFunc("/mirror/list", page(200, "text/plain", "Dist: noble\n"))
	o := machine(ca).ask(t, web(t, mux.ServeHTTP, ca.current(t, "a.example")), Spec{Ask: AskMetaRelease, Name: "a.example", Path: "/mirror/list"})
	want(t, o, Works)
}
