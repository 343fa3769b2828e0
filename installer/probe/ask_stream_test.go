package probe

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"golang.org/x/crypto/ssh"
)

func TestSSH(t *testing.T) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{NoClientAuth: true, ServerVersion: "SSH-2.0-Practice"}
	config.AddHostKey(signer)
	server := func(conn net.Conn) { ssh.NewServerConn(conn, config) }
	for _, c := range []struct {
		name   string
		handle func(net.Conn)
		want   Verdict
		words  string
	}{
		{"a server", server, Works, ""},
		{"a server that greets first", raw("Authorised use only.\r\nSSH-2.0-x\r\n"), Works, ""},
		{"a server of old", raw("SSH-1.5-x\r\n"), WrongContent, "nobody uses any more: SSH-1.5-x"},
		{"a server with too many", raw("Exceeded MaxStartups\r\n"), WrongContent, "turns connections away"},
		{"a server that punishes this address", raw("Not allowed at this time\r\n"), WrongContent, "takes no connections from this address for a while (PerSourcePenalties"},
		{"a web server", raw("HTTP/1.1 400 Bad Request\r\n\r\n"), WrongContent, "does not speak SSH: it answers as HTTP does"},
		{"silence", mute, WrongContent, "accepts connections and then says nothing"},
		{"closed", func(net.Conn) {}, WrongContent, "accepts connections and"},
		{"talk without end", raw(strings.Repeat("hello\r\n", 9000)), WrongContent, "more than a right answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			machine().wantInSilence(t, serve(t, c.handle), Spec{Ask: AskSSH}, c.want, c.words)
		})
	}
	wantEvidence(t, machine().ask(t, serve(t, server), Spec{Ask: AskSSH}), "SSH-2.0-Practice")
}

// rtmpServer is the server's side of the handshake; done gets what C2 was, if it came.
func rtmpServer(done chan<- bool) func(net.Conn) {
	return func(conn net.Conn) {
		c0c1 := make([]byte, 1+rtmpMessage)
		if _, err := io.ReadFull(conn, c0c1); err != nil || c0c1[0] != rtmpVersion {
			return
		}
		s := make([]byte, 1+2*rtmpMessage)
		s[0] = rtmpVersion
		rand.Read(s[1+rtmpFixed : 1+rtmpMessage])
		copy(s[1+rtmpMessage:], c0c1[1:])
		for part := range 3 { // as networks deliver it
			conn.Write(s[part*1000 : min(len(s), part*1000+1000)])
		}
		conn.Write(s[3000:])
		c2 := make([]byte, rtmpMessage)
		_, err := io.ReadFull(conn, c2)
		done <- err == nil && bytes.Equal(c2, s[1:1+rtmpMessage])
	}
}

func TestRTMP(t *testing.T) {
	const no = "accepts connections but does not answer the RTMP handshake"
	done := make(chan bool, 2)
	want(t, machine().ask(t, serve(t, rtmpServer(done)), Spec{Ask: AskRTMP}), Works)
	if !<-done {
		t.Error("the server did not get its own message back")
	}
	for _, c := range []struct {
		name   string
		handle func(net.Conn)
		words  string
	}{
		{"a web server", raw("HTTP/1.1 400 Bad Request\r\n\r\n"), no + ": it answers as HTTP does"},
		{"a TLS server", raw("\x15\x03\x03\x00\x02\x02\x0a"), no + ": it answers as TLS does"},
		{"silence", mute, no + ": it says nothing"},
		{"closed", func(net.Conn) {}, no + ": it closes the connection"},
		{"half a handshake", func(conn net.Conn) { conn.Write(make([]byte, 0)); raw("\x03abc")(conn); mute(conn) }, no + ": it begins one and stops"},
		{"half a handshake and the end", raw("\x03abc"), no + ": it begins one and ends it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			machine().wantInSilence(t, serve(t, c.handle), Spec{Ask: AskRTMP}, WrongContent, c.words)
		})
	}
	t.Run("a real web server", func(t *testing.T) {
		machine().wantInSilence(t, web(t, http.NotFound), Spec{Ask: AskRTMP}, WrongContent, no)
	})
}

func TestRTMPS(t *testing.T) {
	ca, done := newAuthority(t, "Practice CA"), make(chan bool, 1)
	over := func(cert tls.Certificate) string {
		return serve(t, func(conn net.Conn) {
			rtmpServer(done)(tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}}))
		})
	}
	s := Spec{Ask: AskRTMPS, Name: "media.example"}
	want(t, machine(ca).ask(t, over(ca.current(t, "media.example")), s), Works)
	want(t, machine(ca).ask(t, over(ca.current(t, "other.example")), s), Certificate, "other.example")
	want(t, machine().ask(t, over(ca.current(t, "media.example")), s), Intercepted, "Practice CA")
	want(t, machine().ask(t, serve(t, raw("HTTP/1.1 400 Bad Request\r\n\r\n")), s), WrongContent, "does not speak TLS")
}

// camera answers RTSP as cameras do.
type camera struct{ at time.Time }

func (c camera) OnResponse(_ *gortsplib.ServerConn, r *base.Response) {
	r.Header["Server"] = base.HeaderValue{"Practice camera"}
	r.Header["Date"] = base.HeaderValue{c.at.UTC().Format(http.TimeFormat)}
}

func startCamera(t *testing.T, at time.Time) string {
	t.Helper()
	probe, err := net.Listen("tcp", "127.0.0.1:0") // gortsplib does not tell which port it got
	if err != nil {
		t.Fatal(err)
	}
	addr := probe.Addr().String()
	probe.Close()
	s := &gortsplib.Server{Handler: camera{at}, RTSPAddress: addr}
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return addr
}

func TestCamera(t *testing.T) {
	o := machine().ask(t, startCamera(t, time.Now().Add(-3*time.Hour)), Spec{Ask: AskRTSP})
	want(t, o, Works)
	wantEvidence(t, o, "answered 200 OK, Server: Practice camera")
	wantEvidence(t, o, "this machine's clock is 3h00m ahead")
	if o.Clock == nil || o.Offset > -2*time.Hour {
		t.Errorf("clock %v, offset %v", o.Clock, o.Offset)
	}
}

func TestRTSP(t *testing.T) {
	for _, c := range []struct {
		name   string
		handle func(net.Conn)
		want   Verdict
		words  string
	}{
		{"a login", raw("RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\nWWW-Authenticate: Digest realm=\"x\"\r\n\r\n"), Works, "it asks for a login"},
		{"another status", raw("RTSP/1.0 404 Not Found\r\nCSeq: 1\r\n\r\n"), WrongContent, "answers OPTIONS with 404 Not Found"},
		{"a web server", raw("HTTP/1.1 400 Bad Request\r\n\r\n"), WrongContent, "does not speak RTSP: it answers as HTTP does"},
		{"garbage", raw("RTSP/1.0 2000 OK\r\n\r\n"), WrongContent, "answers in broken RTSP"},
		{"half", func(conn net.Conn) { raw("RTSP/1.0 200 OK\r\n")(conn); mute(conn) }, WrongContent, "begins to answer and then stops"},
		{"silence", mute, WrongContent, "accepts connections and then says nothing"},
		{"closed", raw(""), WrongContent, "closes them without a word"},
	} {
		t.Run(c.name, func(t *testing.T) {
			machine().wantInSilence(t, serve(t, c.handle), Spec{Ask: AskRTSP}, c.want, c.words)
		})
	}
}

func FuzzRTSP(f *testing.F) {
	fuzzAsk(f, []Ask{AskRTSP}, "RTSP/1.0 200 OK\r\nCSeq: 1\r\nDate: Sun, 01 Mar 2026 12:00:00 GMT\r\n\r\n",
		"RTSP/1.0 401 x\r\n\r\n", "RTSP/1.0  \r\n", "HTTP/1.1 200 OK\r\n\r\nRTSP/1.0 200 OK\r\n\r\n")
}

func FuzzRTMPAndSSH(f *testing.F) {
	fuzzAsk(f, []Ask{AskRTMP, AskSSH}, "\x03"+strings.Repeat("x", 2*rtmpMessage), "\x03", "\x15\x03\x01", "SSH-2.0-x\r\n", "hello\nSSH-1.99-y")
}
