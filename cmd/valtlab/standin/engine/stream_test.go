package engine

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/description"
	"github.com/bluenviron/gortsplib/v4/pkg/format"
)

// shake is the client's side of the RTMP handshake. It returns what keeps S2 from
// being right, if anything does.
func shake(t *testing.T, conn net.Conn) string {
	t.Helper()
	c := make([]byte, 1+handshakeSize)
	c[0] = rtmpVersion
	rand.Read(c[9:])
	if _, err := conn.Write(c); err != nil {
		t.Fatal(err)
	}
	s := make([]byte, 1+2*handshakeSize)
	if _, err := io.ReadFull(conn, s); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(s[1 : 1+handshakeSize]); err != nil {
		t.Fatal(err)
	}
	switch {
	case s[0] != rtmpVersion:
		return "S0 has another version"
	case string(s[1+handshakeSize:]) != string(c[1:]):
		return "S2 does not echo C1"
	}
	return ""
}

func selfSigned(t *testing.T) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestRTMPHandshakePlainAndInsideTLS(t *testing.T) {
	e, _ := startEngine(t, options{certificate: selfSigned(t)})
	plain, err := net.Dial("tcp", e.listeners["stream"].Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	sealed, err := tls.Dial("tcp", e.listeners["streamTLS"].Addr().String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer sealed.Close()
	for name, conn := range map[string]net.Conn{"plain": plain, "TLS": sealed} {
		if wrong := shake(t, conn); wrong != "" {
			t.Errorf("%s: %s", name, wrong)
		}
	}
	for e.rtmp.connections.Load() != 2 { // bounded by the test's own deadline
		time.Sleep(time.Millisecond)
	}
	if _, body := ask(t, http.MethodGet, e.url("rest", vhostPath+"/applications/live/monitoring/current"), testPassword, ""); !strings.Contains(body, `"totalConnections":2`) {
		t.Errorf("two clients watch, and the monitoring says %s", body)
	}
}

func TestRTMPRefusesAnotherVersion(t *testing.T) {
	in := strings.NewReader("\x06" + strings.Repeat("x", handshakeSize))
	if err := handshake(in, io.Discard); err == nil || !strings.Contains(err.Error(), "version 6") {
		t.Errorf("error: %v", err)
	}
}

func TestWebPortSpeaksBothHTTPAndHTTPS(t *testing.T) {
	e, _ := startEngine(t, options{certificate: selfSigned(t)})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	for _, scheme := range []string{"http://", "https://"} {
		answer, err := client.Get(scheme + e.listeners["web"].Addr().String() + "/")
		if err != nil {
			t.Errorf("%s: %v", scheme, err)
			continue
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || !strings.Contains(string(body), "stand-in") {
			t.Errorf("%s: %s %v", scheme, body, err)
		}
	}
}

// onlyCamera is a camera with one H.265 stream.
type onlyCamera struct{ stream *gortsplib.ServerStream }

func (c *onlyCamera) OnDescribe(*gortsplib.ServerHandlerOnDescribeCtx) (*base.Response, *gortsplib.ServerStream, error) {
	return &base.Response{StatusCode: base.StatusOK}, c.stream, nil
}

func TestCamerasAnswerIsSeenInREST(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := free.Addr().String()
	free.Close()
	camera := &onlyCamera{}
	server := &gortsplib.Server{Handler: camera, RTSPAddress: at}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	camera.stream = &gortsplib.ServerStream{Server: server, Desc: &description.Session{Medias: []*description.Media{{
		Type: description.MediaTypeVideo, Formats: []format.Format{&format.H265{PayloadTyp: 96}}}}}}
	if err := camera.stream.Initialize(); err != nil {
		t.Fatal(err)
	}
	defer camera.stream.Close()
	e, _ := startEngine(t, options{cameras: []string{at, "127.0.0.1:1"}})
	e.streams.ask(t.Context(), 0)
	e.streams.ask(t.Context(), 1)
	_, body := ask(t, http.MethodGet, e.url("rest", vhostPath+"/applications/live/instances/_definst_"), testPassword, "")
	for _, want := range []string{`"isConnected":true`, `"describe":"video H265"`, "DESCRIBE, ", `"isConnected":false`, "connection refused"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q in %s", want, body)
		}
	}
	if got := nameOf("10.0.9.11:554") + " " + nameOf("10.0.9.11:8554"); got != "10.0.9.11 10.0.9.11_8554" {
		t.Errorf("stream names: %s", got)
	}
}

func TestRunRefusesArguments(t *testing.T) {
	if err := Run(t.Context(), []string{"faster"}); err == nil {
		t.Error("an argument is taken")
	}
	if _, err := newEngine(options{recordings: "/nowhere", now: time.Now}, slog.Default()); err == nil {
		t.Error("it starts without a place to record to")
	}
}
