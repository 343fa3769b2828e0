package camera

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
)

func startCamera(t *testing.T, login bool) (rtsp, page string) {
	t.Helper()
	probe, err := net.Listen("tcp", "127.0.0.1:0") // gortsplib does not tell which port it got
	if err != nil {
		t.Fatal(err)
	}
	rtsp = probe.Addr().String()
	probe.Close()
	clock := func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }
	c, err := start(options{"lobby", rtsp, "127.0.0.1:0", login, clock})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("stopping the camera: %v", err)
		}
	})
	return rtsp, c.page.Addr().String()
}

func TestCameraIsPlayedOverRTSP(t *testing.T) {
	rtsp, _ := startCamera(t, false)
	u, err := base.ParseURL("rtsp://" + rtsp + "/any/path")
	if err != nil {
		t.Fatal(err)
	}
	tcp := gortsplib.TransportTCP
	c := gortsplib.Client{Scheme: "rtsp", Host: u.Host, Transport: &tcp}
	if err := c.Start2(); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answer, err := c.Options(u)
	if err != nil {
		t.Fatal(err)
	}
	if got := answer.Header["Server"][0]; got != "valtlab-camera/lobby" {
		t.Errorf("Server: %q", got)
	}
	if got := answer.Header["Date"][0]; got != "Sun, 01 Mar 2026 12:00:00 GMT" {
		t.Errorf("Date: %q", got)
	}
	shown, _, err := c.Describe(u)
	if err != nil {
		t.Fatal(err)
	}
	if got := shown.Medias[0].Formats[0].Codec(); got != "H264" {
		t.Errorf("codec: %q", got)
	}
	if err := c.SetupAll(shown.BaseURL, shown.Medias); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Play(nil); err != nil {
		t.Errorf("playing: %v", err)
	}
}

func TestCameraHasAPageWithADate(t *testing.T) {
	_, page := startCamera(t, false)
	answer, err := http.Get("http://" + page + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(body), "lobby: a camera of the practice site") {
		t.Errorf("page: %s", body)
	}
	if answer.Header.Get("Date") == "" {
		t.Error("the page has no Date")
	}
}

func TestCameraWithALoginAsksForItWhateverTheQuestion(t *testing.T) {
	rtsp, page := startCamera(t, true)
	conn, err := net.Dial("tcp", rtsp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "OPTIONS * RTSP/1.0\r\nCSeq: 7\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 1024)
	n, err := conn.Read(said)
	if got := string(said[:n]); err != nil || !strings.HasPrefix(got, "RTSP/1.0 401 ") || !strings.Contains(got, "CSeq: 7\r\n") || !strings.Contains(got, `Basic realm="lobby"`) {
		t.Errorf("OPTIONS: %q, %v", got, err)
	}
	answer, err := http.Get("http://" + page + "/")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("the page: %s", answer.Status)
	}
}
