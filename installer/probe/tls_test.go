package probe

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

const day1 = 24 * time.Hour

// counted is a handler that remembers what it was asked.
func counted(t *testing.T, certs ...tls.Certificate) (addr string, asked chan string) {
	asked = make(chan string, 16)
	return web(t, func(w http.ResponseWriter, r *http.Request) {
		asked <- r.Method + " " + r.URL.Path
		http.NotFound(w, r)
	}, certs...), asked
}

func TestTLSThatVerifies(t *testing.T) {
	ca := newAuthority(t, "Practice CA")
	addr, _ := counted(t, ca.current(t, "registry.example"))
	o := machine(ca).ask(t, addr, Spec{Ask: AskHTTPS, Name: "registry.example."})
	want(t, o, Works)
	if o.Issuer != "CN=Practice CA" || o.NotAfter == nil || time.Until(*o.NotAfter) > time.Hour {
		t.Errorf("issuer %q, until %v", o.Issuer, o.NotAfter)
	}
	wantEvidence(t, o, `certificate 1: "CN=registry.example", issued by "CN=Practice CA"`)

	t.Run("by the site's own authority", func(t *testing.T) {
		m := machine()
		m.req.Trust = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
		want(t, m.ask(t, addr, Spec{Ask: AskHTTPS, Name: "registry.example"}), Works)
	})
	t.Run("through an authority between", func(t *testing.T) {
		between := &authority{key: newKey(t)}
		between.cert = ca.sign(t, &x509.Certificate{IsCA: true, BasicConstraintsValid: true,
			NotBefore: time.Now().Add(-day1), NotAfter: time.Now().Add(day1)}, ca.cert, between.key)
		addr, _ := counted(t, between.current(t, "registry.example"))
		want(t, machine(ca).ask(t, addr, Spec{Ask: AskHTTPS, Name: "registry.example"}), Works)
	})
}

func TestTLSThatDoesNotVerify(t *testing.T) {
	ca, squid := newAuthority(t, "Practice CA"), newAuthority(t, "Squid CA")
	self := newAuthority(t, "valt.example")
	self.cert = self.sign(t, &x509.Certificate{Subject: self.cert.Subject, DNSNames: []string{"valt.example"},
		NotBefore: time.Now().Add(-day1), NotAfter: time.Now().Add(day1)}, self.cert, self.key)
	signedByItself := tls.Certificate{Certificate: [][]byte{self.cert.Raw}, PrivateKey: self.key}
	day2 := func(d time.Duration) string { return day(time.Now().Add(d))[:10] }
	for _, c := range []struct {
		name  string
		cert  tls.Certificate
		off   time.Duration
		want  Verdict
		words string
	}{
		{"intercepted", squid.current(t, "valt.example"), 0, Intercepted, `TLS is intercepted: the certificate is issued by "CN=Squid CA"`},
		{"intercepted, and expired", squid.issue(t, "valt.example", -2*day1, -day1), 0, Intercepted, `"CN=Squid CA"`},
		{"intercepted, and not yet valid", squid.issue(t, "valt.example", day1, 2*day1), 0, Intercepted, `"CN=Squid CA"`},
		{"intercepted, for another name", squid.current(t, "portal.example"), 0, Intercepted, `and is for "portal.example"`},
		{"intercepted, while the clock is off", squid.current(t, "valt.example"), -day1, Intercepted, `"CN=Squid CA"`},
		{"intercepted by Squid, which does not trust it either", newAuthority(t, `Not trusted by "Squid CA"`).current(t, "valt.example"), 0, Intercepted, `by "CN=Not trusted by \"Squid CA\""`},
		{"signed by itself", signedByItself, 0, Intercepted, `is signed by itself ("CN=valt.example"), more like the far end's own`},
		{"wrong name", ca.current(t, "www.example"), 0, Certificate, `the certificate is for "www.example", not for "valt.example"`},
		{"wrong name, and expired", ca.issue(t, "www.example", -2*day1, -day1), 0, Certificate, `not for "valt.example"`},
		{"expired", ca.issue(t, "valt.example", -9*day1, -day1), 0, Certificate, "the certificate expired on " + day2(-day1)},
		{"expired before the authority was there", ca.issue(t, "valt.example", -90*day1, -60*day1), 0, Certificate, "expired on"},
		{"expired long ago, and the clock is off", ca.issue(t, "valt.example", -20*day1, -9*day1), day1, Certificate, "expired on"},
		{"not yet valid", ca.issue(t, "valt.example", day1, 2*day1), 0, Certificate, "is not valid before " + day2(day1)},
		{"clock behind", ca.current(t, "valt.example"), -day1 + 2*time.Minute, WrongClock, "this machine's clock is 23h58m behind"},
		{"clock ahead", ca.current(t, "valt.example"), 3 * day1, WrongClock, "this machine's clock is 3 days ahead"},
		{"clock at the epoch", ca.current(t, "valt.example"), -20000 * day1, WrongClock, "20000 days behind"},
	} {
		t.Run(c.name, func(t *testing.T) {
			addr, asked := counted(t, c.cert)
			o := machine(ca).off(c.off).ask(t, addr, Spec{Ask: AskHTTPS, Name: "valt.example", Path: "/secret"})
			want(t, o, c.want, c.words)
			if o.Issuer == "" || o.NotAfter == nil {
				t.Error("the outcome does not say what was shown")
			}
			if told := o.Clock != nil && (o.Offset+c.off).Abs() < time.Minute; c.want == WrongClock && !told {
				t.Errorf("clock %v, offset %v", o.Clock, o.Offset)
			}
			close(asked)
			for line := range asked {
				if line != "HEAD /" {
					t.Errorf("%s was sent to who did not verify", line)
				}
			}
		})
	}
}

func TestExpiredIssuerIsNamed(t *testing.T) {
	ca := newAuthority(t, "Practice CA")
	between := &authority{key: newKey(t)}
	between.cert = ca.sign(t, &x509.Certificate{Subject: ca.cert.Subject, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-9 * day1), NotAfter: time.Now().Add(-day1)}, ca.cert, between.key)
	addr, _ := counted(t, between.issue(t, "valt.example", -8*day1, day1))
	o := machine(ca).ask(t, addr, Spec{Ask: AskHTTPS, Name: "valt.example"})
	want(t, o, Certificate, "the certificate of its issuer", "expired on")
}

func TestForgottenIntermediateIsThoughtOf(t *testing.T) {
	ca, between := newAuthority(t, "Practice CA"), newAuthority(t, "R11")
	key := newKey(t)
	leaf := between.sign(t, &x509.Certificate{DNSNames: []string{"valt.example"}, IssuingCertificateURL: []string{"http://r11.example/"},
		NotBefore: time.Now().Add(-day1), NotAfter: time.Now().Add(day1)}, between.cert, key)
	addr, _ := counted(t, tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key})
	o := machine(ca).ask(t, addr, Spec{Ask: AskHTTPS, Name: "valt.example"})
	want(t, o, Intercepted, `"CN=R11"`, "leaves out the certificate of that issuer")
}

func TestTLSWithoutATimeIsJudgedByOurs(t *testing.T) {
	ca := newAuthority(t, "Practice CA")
	config := &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "valt.example", -2*day1, -day1)}}
	addr := serve(t, func(conn net.Conn) { io.Copy(io.Discard, io.LimitReader(tls.Server(conn, config), 10)) })
	o := machine(ca).ask(t, addr, Spec{Ask: AskRTMPS, Name: "valt.example"})
	want(t, o, Certificate, "expired on")
	wantEvidence(t, o, "does not tell the time")
}

func TestWhatIsNotTLS(t *testing.T) {
	for _, c := range []struct {
		name   string
		handle func(net.Conn)
		want   Verdict
		words  string
	}{
		{"HTTP", raw(recorded(t, "nginx-https-port.http")), WrongContent, "does not speak TLS: it answers as HTTP does"},
		{"silence", mute, WrongContent, "accepts connections and then says nothing: TLS does not begin"},
		{"closed", raw(""), WrongContent, "closes them without a word: TLS does not begin"},
		{"cut because of the name", reset, Filtered, `the connection is reset as soon as TLS names "valt.example"`},
		{"refused in TLS's own words", raw("\x15\x03\x03\x00\x02\x02\x28"), WrongContent, "the TLS handshake fails: remote error: tls: handshake failure"},
		{"a version of old", func(conn net.Conn) {
			tls.Server(conn, &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}).HandshakeContext(context.Background())
		}, WrongContent, "the TLS handshake fails"},
	} {
		t.Run(c.name, func(t *testing.T) {
			machine().wantInSilence(t, serve(t, c.handle), Spec{Ask: AskHTTPS, Name: "valt.example"}, c.want, c.words)
		})
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		40 * time.Second: "40s", 12 * time.Minute: "12m", 59*time.Minute + 50*time.Second: "1h00m",
		day1 - 2*time.Minute: "23h58m", 47 * time.Hour: "47h00m", 60 * day1: "60 days",
	} {
		if got := span(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
