package probe

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

const portal = `<!DOCTYPE html><html><head><title>Sign in to
 Guest&nbsp;Wi-Fi</title></head></html>`

func raw(answer string) func(net.Conn) {
	return func(conn net.Conn) {
		buffer := make([]byte, 8192)
		conn.Read(buffer)
		io.WriteString(conn, answer)
	}
}

func recorded(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestHTTP(t *testing.T) {
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	for _, c := range []struct {
		name   string
		path   string
		handle http.HandlerFunc
		want   Verdict
		words  string
	}{
		{"what is not there is an answer", "", http.NotFound, Works, ""},
		{"a page for everybody", "", page(200, "text/html", portal), WrongContent, "captive portal: a web page"},
		{"a page that hides its type", "", page(200, "application/octet-stream", "\xef\xbb\xbf  "+portal), WrongContent, "captive portal: a web page"},
		{"the page that was asked for", "/", page(200, "text/html", portal), Works, ""},
		{"a redirect to a portal", "", redirect("http://login.hotel.example/?mac=secret"), WrongContent, "captive portal: it redirects to http://login.hotel.example/"},
		{"a redirect to HTTPS", "", redirect("https://licence.example/x"), Works, ""},
		{"a redirect to www", "", redirect("http://www.licence.example/"), Works, ""},
		{"a redirect within", "", redirect("/login"), Works, ""},
		{"a login to the network", "/", page(511, "text/plain", ""), Works, ""},
		{"a login to the network, where nothing was asked for", "", page(511, "text/plain", ""), WrongContent, "captive portal"},
		{"trouble of its own", "", page(500, "text/plain", "oh"), Works, ""},
		{"no content", "", page(204, "text/html", ""), Works, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := machine().ask(t, web(t, c.handle), Spec{Ask: AskHTTP, Name: "licence.example", Path: c.path})
			want(t, o, c.want, c.words)
			if strings.Contains(fmt.Sprint(o), "secret") {
				t.Errorf("a query of a redirect is in the outcome: %v", o)
			}
		})
	}
}

func TestCaptivePageIsNamedByItsTitle(t *testing.T) {
	o := machine().ask(t, web(t, page(200, "text/html", portal)), Spec{Ask: AskHTTP})
	wantEvidence(t, o, `"Sign in to Guest Wi-Fi"`)
}

func TestHTTPAsksForTheNameAndForWhatCannotBe(t *testing.T) {
	asked := make(chan string, 2)
	addr := web(t, func(w http.ResponseWriter, r *http.Request) { asked <- r.Host + r.URL.Path })
	_, port, _ := net.SplitHostPort(addr)
	for range 2 {
		machine().ask(t, addr, Spec{Ask: AskHTTP, Name: "licence.example"})
	}
	first, second := <-asked, <-asked
	if !strings.HasPrefix(first, "licence.example:"+port+"/valtctl-") || first == second {
		t.Errorf("asked for %q and %q", first, second)
	}
}

func TestWhatIsNotHTTP(t *testing.T) {
	for _, c := range []struct {
		name   string
		handle func(net.Conn)
		words  string
	}{
		{"silence", mute, "accepts connections and then says nothing"},
		// What was sent is read first: a close that leaves something unread is a reset.
		{"closed at once", func(conn net.Conn) { _, _ = http.ReadRequest(bufio.NewReader(conn)) }, "closes them without a word"},
		{"reset", reset, "resets them"},
		{"half an answer", func(conn net.Conn) { io.WriteString(conn, "HTTP/1.1 200 OK\r\nServer:"); mute(conn) }, "begins to answer and then stops"},
		{"SSH", raw("SSH-2.0-OpenSSH_9.6\r\n"), "does not speak HTTP: it answers as SSH does"},
		{"TLS", raw("\x15\x03\x01\x00\x02\x02\x46"), "does not speak HTTP: it answers as TLS does"},
		{"garbage", raw("\x00\xff\x1b[31mred\nmore"), `it answers "\x00\xff\x1b[31mred"`},
		{"a header without end", raw("HTTP/1.1 200 OK\r\n" + strings.Repeat("X-Y: z\r\n", 20000)), "more than a right answer"},
		{"promises without end", raw(strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 9)), "answers in broken HTTP: reading an answer: 103 Early Hints again and again"},
		{"nginx that wants TLS", raw(recorded(t, "nginx-https-port.http")), "speaks HTTPS here"},
	} {
		t.Run(c.name, func(t *testing.T) {
			machine().wantInSilence(t, serve(t, c.handle), Spec{Ask: AskHTTP}, WrongContent, c.words)
		})
	}
}

func TestEither(t *testing.T) {
	ca := newAuthority(t, "Practice CA")
	config := &tls.Config{Certificates: []tls.Certificate{ca.current(t, "media.example")}}
	taciturn := serve(t, func(conn net.Conn) { tls.Server(conn, config).Handshake() }) // as OpenSSL is
	for name, addr := range map[string]string{
		"HTTP":                 web(t, page(200, "text/html", "<html>Wowza")),
		"HTTP with no page":    web(t, http.NotFound),
		"Go's HTTPS":           web(t, http.NotFound, ca.current(t, "media.example")),
		"nginx's HTTPS":        serve(t, raw(recorded(t, "nginx-https-port.http"))),
		"HTTPS without a word": taciturn,
		"HTTPS with an alert":  serve(t, raw("\x15\x03\x03\x00\x02\x02\x0a")),
	} {
		t.Run(name, func(t *testing.T) {
			want(t, machine(ca).ask(t, addr, Spec{Ask: AskEither}), Works)
		})
	}
	machine().wantInSilence(t, serve(t, mute), Spec{Ask: AskEither}, WrongContent, "says nothing")
	o := machine().ask(t, serve(t, raw("SSH-2.0-x\r\n")), Spec{Ask: AskEither})
	want(t, o, WrongContent, "does not speak HTTP")
}

func TestClockFromDate(t *testing.T) {
	for _, c := range []struct {
		name     string
		off      time.Duration
		age      string
		evidence string
	}{
		{"right", 0, "", ""},
		{"a day behind", -24*time.Hour + 2*time.Minute, "", "clock is 23h58m behind"},
		{"an hour ahead", time.Hour, "", "clock is 1h00m ahead"},
		{"three days ahead", 72 * time.Hour, "", "clock is 3 days ahead"},
		{"right, though the answer is from a cache", 2 * time.Hour, "7200", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr := web(t, func(w http.ResponseWriter, _ *http.Request) {
				date := time.Now()
				if c.age != "" { // both clocks are two hours past the Date
					w.Header().Set("Age", c.age)
				}
				w.Header().Set("Date", date.UTC().Format(http.TimeFormat))
			})
			o := machine().off(c.off).ask(t, addr, Spec{Ask: AskHTTP})
			want(t, o, Works)
			if o.Clock == nil {
				t.Fatal("no clock")
			}
			if told := strings.Contains(strings.Join(o.Evidence, "\n"), "clock is"); told != (c.evidence != "") {
				t.Errorf("evidence: %q", o.Evidence)
			}
			wantEvidence(t, o, c.evidence)
		})
	}
}

func TestInterruptedIsNoVerdict(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	here, there := net.Pipe()
	there.Close()
	var o Outcome
	converse(ctx, Env{Now: time.Now}, &Request{}, Spec{Ask: AskHTTP, Host: "a.example", Port: 80}, here, &o)
	want(t, o, Unknown, "interrupted")
}

// tape is a far end that says what it says, whatever it is asked.
type tape struct {
	net.Conn
	says io.Reader
}

func (c tape) Read(p []byte) (int, error)  { return c.says.Read(p) }
func (c tape) RemoteAddr() net.Addr        { return &net.UnixAddr{} }
func (c tape) Write(p []byte) (int, error) { return len(p), nil }

// fuzzAsk asks each question of a far end that says anything.
func fuzzAsk(f *testing.F, asks []Ask, seeds ...string) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	now := func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }
	f.Fuzz(func(t *testing.T, says []byte) {
		for _, ask := range asks {
			for _, proxy := range []string{"", "http://lab:s3cret@10.0.0.1:3128"} {
				s := Spec{Ask: ask, Host: "a.example", Port: 80, Proxy: proxy}
				if ask == AskApt {
					s.Path = "/InRelease"
				}
				var o Outcome
				converse(context.Background(), Env{Now: now}, &Request{}, s, tape{says: bytes.NewReader(says)}, &o)
				if o.Verdict == "" || o.Verdict != Works && o.Cause == "" {
					t.Errorf("%s: verdict %q, cause %q", ask, o.Verdict, o.Cause)
				}
				for _, line := range append(o.Evidence, o.Cause) {
					if strings.ContainsAny(line, "\n\x1b") || len(line) > maxLine+len("…") || proxy != "" && strings.Contains(line, "s3cret") {
						t.Errorf("%s: not fit for a report: %q", ask, line)
					}
				}
			}
		}
	})
}

func FuzzHTTP(f *testing.F) {
	fuzzAsk(f, []Ask{AskHTTP, AskEither, AskApt, AskHTTPS, AskRegistry},
		"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nDate: Sun, 01 Mar 2026 12:00:00 GMT\r\nAge: 1\r\n\r\n"+portal,
		"HTTP/1.1 407 x\r\nProxy-Authenticate: Basic realm=\"s3cret\"\r\n\r\n",
		"HTTP/1.1 302 x\r\nLocation: http://[::1/\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n\x16\x03\x01",
		"HTTP/1.1 200 OK\r\n\r\n-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nDate: x\n-----BEGIN PGP SIGNATURE-----\n\n-----END PGP SIGNATURE-----\n")
}
