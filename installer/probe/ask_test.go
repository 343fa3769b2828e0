package probe

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// asker asks questions of servers in this process.
type asker struct {
	now   func() time.Time
	roots *x509.CertPool
	req   Request
}

func machine(trusted ...*authority) asker {
	pool := x509.NewCertPool()
	for _, a := range trusted {
		pool.AddCert(a.cert)
	}
	return asker{now: time.Now, roots: pool}
}

// off is the same machine with its clock wrong.
func (a asker) off(by time.Duration) asker {
	a.now = func() time.Time { return time.Now().Add(by) }
	return a
}

// longEnough ends a question that hangs.
const longEnough = 2 * time.Minute

// patiences are for questions that meet silence, one after the other until the outcome is
// right: what a busy machine does not say within the first it says within the last.
var patiences = []time.Duration{300 * time.Millisecond, 3 * time.Second, 30 * time.Second}

// ask connects to addr, or to the proxy that is there, and asks.
func (a asker) ask(t *testing.T, addr string, s Spec) Outcome {
	return a.askFor(t, longEnough, addr, s)
}

func (a asker) askFor(t *testing.T, within time.Duration, addr string, s Spec) Outcome {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	if number, _ := strconv.ParseUint(port, 10, 16); s.Port == 0 {
		s.Host, s.Port = host, uint16(number)
	}
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	var o Outcome
	converse(ctx, Env{Now: a.now, Roots: a.roots}, &a.req, s, conn, &o)
	return o
}

// wantInSilence asks whoever at some point says nothing more.
func (a asker) wantInSilence(t *testing.T, addr string, s Spec, v Verdict, words ...string) {
	t.Helper()
	var o Outcome
	for _, patience := range patiences {
		o = a.askFor(t, patience, addr, s)
		if o.Verdict == v && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(o.Cause, w) }) {
			break
		}
	}
	want(t, o, v, words...)
}

// want checks a verdict and words of the cause.
func want(t *testing.T, o Outcome, v Verdict, words ...string) {
	t.Helper()
	if o.Verdict != v {
		t.Errorf("verdict %s (%s; %q), want %s", o.Verdict, o.Cause, o.Evidence, v)
	}
	for _, word := range words {
		if !strings.Contains(o.Cause, word) {
			t.Errorf("cause %q does not say %q; evidence %q", o.Cause, word, o.Evidence)
		}
	}
	if strings.HasSuffix(o.Cause, ".") || strings.ContainsAny(o.Cause, "\r\n") {
		t.Errorf("cause %q is not one phrase", o.Cause)
	}
}

// wantEvidence checks that some line of evidence says something.
func wantEvidence(t *testing.T, o Outcome, words string) {
	t.Helper()
	if !strings.Contains(strings.Join(o.Evidence, "\n"), words) {
		t.Errorf("evidence %q does not say %q", o.Evidence, words)
	}
}

// serve hands every connection to a function and closes it after.
func serve(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				handle(conn)
			}()
		}
	}()
	return l.Addr().String()
}

// mute says nothing for as long as somebody listens.
func mute(conn net.Conn) {
	buffer := make([]byte, 4096)
	for {
		if _, err := conn.Read(buffer); err != nil {
			return
		}
	}
}

// reset ends a connection as a firewall does.
func reset(conn net.Conn) {
	buffer := make([]byte, 1)
	conn.Read(buffer)
	conn.(*net.TCPConn).SetLinger(0)
}

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-30 * 24 * time.Hour), NotAfter: time.Now().Add(30 * 24 * time.Hour)}
	a := &authority{key: newKey(t)}
	a.cert = a.sign(t, template, template, a.key)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) sign(t *testing.T, template, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	t.Helper()
	template.SerialNumber = big.NewInt(time.Now().UnixNano())
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// issue makes a certificate for a name, valid from one time from now to another.
func (a *authority) issue(t *testing.T, name string, from, to time.Duration) tls.Certificate {
	t.Helper()
	key := newKey(t)
	cert := a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(from), NotAfter: time.Now().Add(to)}, a.cert, key)
	return tls.Certificate{Certificate: [][]byte{cert.Raw, a.cert.Raw}, PrivateKey: key}
}

// current is a certificate that is valid now.
func (a *authority) current(t *testing.T, name string) tls.Certificate {
	return a.issue(t, name, -time.Hour, time.Hour)
}

// web serves HTTP, over TLS if there are certificates.
func web(t *testing.T, handle http.HandlerFunc, certs ...tls.Certificate) string {
	t.Helper()
	s := httptest.NewUnstartedServer(handle)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	if len(certs) > 0 {
		s.TLS = &tls.Config{Certificates: certs}
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// page answers everything in the same way.
func page(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		w.Write([]byte(body))
	}
}
