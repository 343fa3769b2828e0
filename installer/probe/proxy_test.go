package probe

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// forwarder is an HTTP proxy that takes every name for one server of this process.
type forwarder struct {
	to    string // where everything leads
	login string // "Basic …" that is asked for; empty: none
}

func (f forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.login != "" && r.Header.Get("Proxy-Authorization") != f.login {
		w.Header().Set("Proxy-Authenticate", `Basic realm="St Mary's proxy"`)
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	if r.Method == http.MethodConnect {
		f.tunnel(w)
		return
	}
	if !r.URL.IsAbs() {
		http.Error(w, "not in absolute form", http.StatusBadRequest)
		return
	}
	onward := r.Clone(r.Context())
	onward.RequestURI, onward.Host, onward.URL.Host = "", r.URL.Host, f.to
	onward.Header.Del("Proxy-Authorization")
	answer, err := http.DefaultTransport.RoundTrip(onward)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	w.Header().Set("Via", "1.1 proxy.example")
	w.WriteHeader(answer.StatusCode)
	io.Copy(w, answer.Body)
}

func (f forwarder) tunnel(w http.ResponseWriter) {
	far, err := net.Dial("tcp", f.to)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	defer far.Close()
	near, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer near.Close()
	io.WriteString(near, "HTTP/1.1 200 Connection established\r\n\r\n")
	go io.Copy(far, near)
	io.Copy(near, far)
}

const loginURL = "http://lab:s3cr%2Ft@proxy.example:3128"

func TestThroughAProxy(t *testing.T) {
	ca := newAuthority(t, "Practice CA")
	asked := make(chan string, 9)
	answer := func(w http.ResponseWriter, r *http.Request) { asked <- r.Host; w.WriteHeader(http.StatusForbidden) }
	plain, secured := web(t, answer), web(t, answer, ca.current(t, "repo.example"))
	ssh := serve(t, raw("SSH-2.0-OpenSSH_9.6\r\n"))
	bumped := web(t, answer, newAuthority(t, "Squid CA").current(t, "repo.example"))
	gone := serve(t, mute)
	for _, c := range []struct {
		name  string
		to    string
		ask   Ask
		port  uint16
		want  Verdict
		words string
	}{
		{"HTTP, forbidden by the far end itself", plain, AskHTTP, 80, Works, ""},
		{"HTTPS", secured, AskHTTPS, 443, Works, ""},
		{"a far end that speaks first", ssh, AskSSH, 22, Works, ""},
		{"TLS that is opened on the way", bumped, AskHTTPS, 443, Intercepted, `issued by "CN=Squid CA"`},
		{"silence", gone, AskHTTPS, 443, WrongContent, "says nothing: TLS does not begin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := web(t, forwarder{to: c.to, login: "Basic bGFiOnMzY3IvdA=="}.ServeHTTP)
			s := Spec{Ask: c.ask, Host: "repo.example", Port: c.port, Proxy: loginURL}
			if c.to == gone {
				machine(ca).wantInSilence(t, addr, s, c.want, c.words)
				return
			}
			want(t, machine(ca).ask(t, addr, s), c.want, c.words)
		})
	}
	if first := <-asked; first != "repo.example:80" {
		t.Errorf("the proxy asked for %q", first)
	}
}

func TestProxyThatAnswersItself(t *testing.T) {
	squid := func(status int, reason string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Squid-Error", reason)
			w.Header().Set("Via", "1.1 proxy.example (squid/5.7)")
			page(status, "text/html", "<html>ERROR")(w, nil)
		}
	}
	needsLogin := forwarder{to: "127.0.0.1:1", login: "Basic x"}.ServeHTTP
	unreached := forwarder{to: "127.0.0.1:1"}.ServeHTTP
	for _, c := range []struct {
		name   string
		handle http.HandlerFunc
		proxy  string
		words  string
	}{
		{"no login", needsLogin, "http://proxy.example:3128", `the proxy asks for a login (Proxy-Authenticate: Basic realm="St Mary's proxy")`},
		{"a wrong login", needsLogin, loginURL, `the proxy does not accept the login it was given (Proxy-Authenticate: Basic`},
		{"its rules, in Squid's words", squid(403, "ERR_ACCESS_DENIED 0"), loginURL, "the proxy answers 403 Forbidden: its rules do not allow this"},
		{"no such name", squid(503, "ERR_DNS_FAIL 0"), loginURL, "503 Service Unavailable: it cannot resolve the name"},
		{"no connection", squid(503, "ERR_CONNECT_FAIL 110"), loginURL, "it cannot connect to the far end"},
		{"its rules, in nobody's words", page(403, "text/html", "<html>Blocked"), loginURL, "its rules do not allow this"},
		{"no way onward", unreached, loginURL, "it does not reach the far end"},
		{"too slow", page(504, "", ""), loginURL, "504 Gateway Timeout"},
	} {
		for _, s := range []Spec{{Ask: AskHTTP, Host: "repo.example", Port: 80}, {Ask: AskRegistry, Host: "repo.example", Port: 443}} {
			t.Run(c.name+", "+string(s.Ask), func(t *testing.T) {
				s.Proxy = c.proxy
				want(t, machine().ask(t, web(t, c.handle), s), Proxy, c.words)
			})
		}
	}
	t.Run("evidence", func(t *testing.T) {
		o := machine().ask(t, web(t, squid(403, "ERR_ACCESS_DENIED 0")), Spec{Ask: AskACME, Host: "a.example", Port: 443, Proxy: loginURL})
		wantEvidence(t, o, "X-Squid-Error: ERR_ACCESS_DENIED 0")
		wantEvidence(t, o, "the proxy answered CONNECT a.example:443 with 403 Forbidden")
	})
}

func TestProxyThatNobodyConfigured(t *testing.T) {
	addr := web(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Squid-Error", "ERR_ACCESS_DENIED 0")
		w.WriteHeader(http.StatusForbidden)
	})
	want(t, machine().ask(t, addr, Spec{Ask: AskHTTP}), Proxy, "the proxy answers 403 Forbidden")
	o := machine().ask(t, web(t, forwarder{login: "Basic x"}.ServeHTTP), Spec{Ask: AskHTTP})
	want(t, o, Proxy, "asks for a login")
}

func TestWhatIsNoProxy(t *testing.T) {
	for name, c := range map[string]struct {
		handle func(net.Conn)
		words  string
	}{
		"silence":      {mute, "the proxy does not answer in time"},
		"closed":       {raw(""), "the proxy accepts connections and closes them without a word"},
		"another kind": {raw("SSH-2.0-x\r\n"), "the proxy does not speak HTTP: it answers as SSH does"},
	} {
		for _, ask := range []Ask{AskHTTP, AskHTTPS} {
			t.Run(name+", "+string(ask), func(t *testing.T) {
				machine().wantInSilence(t, serve(t, c.handle), Spec{Ask: ask, Host: "a.example", Port: 80, Proxy: loginURL}, Proxy, c.words)
			})
		}
	}
}

func TestLoginOfAProxyStaysSecret(t *testing.T) {
	quoting := func(w http.ResponseWriter, r *http.Request) { // as a page for debugging would
		w.Header().Set("Server", r.Header.Get("Proxy-Authorization")+" s3cr/t s3cr%2Ft")
		w.Header().Set("Proxy-Authenticate", `Basic realm="s3cr/t"`)
		w.WriteHeader(http.StatusProxyAuthRequired)
	}
	for _, proxy := range []string{loginURL, "socks5://lab:s3cr%2Ft@proxy.example", "http://lab:s3cr%zzt@proxy.example", "lab:s3cr/t@proxy.example:80"} {
		for _, ask := range []Ask{AskHTTP, AskHTTPS, AskRTMP} {
			o := machine().ask(t, web(t, quoting), Spec{Ask: ask, Host: "a.example", Port: 80, Proxy: proxy})
			if all := fmt.Sprintf("%+v", o); strings.Contains(all, "s3cr") || strings.Contains(all, "bGFiOnMzY3IvdA==") {
				t.Errorf("%s: the login is in %s", ask, all)
			}
			if o.Verdict != Proxy && o.Verdict != Unknown {
				t.Errorf("%s: %s, %s", ask, o.Verdict, o.Cause)
			}
		}
	}
}
