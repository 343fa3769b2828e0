package engine

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/icholy/digest"
)

const testPassword = "let me in, said nobody"

// startEngine runs an engine on free ports. stop ends it as SIGTERM does; it is called
// at the test's end if not before.
func startEngine(t *testing.T, o options) (e *engine, stop func()) {
	t.Helper()
	o.ports = ports{"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"}
	o.password, o.poll, o.writeEvery, o.now = testPassword, time.Hour, time.Hour, time.Now
	if o.recordings == "" {
		o.recordings = t.TempDir()
	}
	if o.allow == nil {
		o.allow = []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	}
	e, err := newEngine(o, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.serve(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("stopping the engine: %v", err)
		}
	}
	t.Cleanup(stop)
	return e, stop
}

func (e *engine) url(port, path string) string {
	return "http://" + e.listeners[port].Addr().String() + path
}

// ask sends one REST request with the password given and returns status and body.
func ask(t *testing.T, method, url, password, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &digest.Transport{Username: restUser, Password: password}}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func TestVersionPageNeedsNoLogin(t *testing.T) {
	e, _ := startEngine(t, options{})
	for _, port := range []string{"version", "stream"} {
		if err := health(t.Context(), e.url(port, "/any/path")); err != nil {
			t.Errorf("%s: %v", port, err)
		}
	}
	if err := health(t.Context(), e.url("rest", "/")); err == nil {
		t.Error("the REST interface passes for the version page")
	}
}

func TestRESTAsksForThePassword(t *testing.T) {
	e, _ := startEngine(t, options{})
	url := e.url("rest", vhostPath+"/applications/live/monitoring/current")
	plain, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	plain.Body.Close()
	if plain.StatusCode != http.StatusUnauthorized || !digest.IsDigest(plain.Header.Get("WWW-Authenticate")) {
		t.Errorf("without a password: %s, %q", plain.Status, plain.Header.Get("WWW-Authenticate"))
	}
	if status, _ := ask(t, http.MethodGet, url, "wrong", ""); status != http.StatusUnauthorized {
		t.Errorf("with a wrong password: %d", status)
	}
	status, body := ask(t, http.MethodGet, url, testPassword, "")
	var said struct {
		TotalConnections *int `json:"totalConnections"`
		StandIn          bool `json:"standIn"`
	}
	if err := json.Unmarshal([]byte(body), &said); err != nil || status != http.StatusOK {
		t.Fatalf("with the password: %d %s %v", status, body, err)
	}
	if said.TotalConnections == nil || *said.TotalConnections != 0 || !said.StandIn {
		t.Errorf("monitoring: %s", body)
	}
}

func TestRESTRefusesAnOldNonceAsStale(t *testing.T) {
	now := time.Now()
	d := newDigestAuth(testPassword, func() time.Time { return now })
	request, _ := http.NewRequest(http.MethodGet, "http://engine/v2", nil)
	credentials, err := digest.Digest(d.challenge(d.nonce(now)), digest.Options{Method: "GET", URI: "/v2", Count: 1, Username: restUser, Password: testPassword})
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", credentials.String())
	if ok, stale := d.check(request); !ok || stale {
		t.Errorf("a fresh nonce: ok %v, stale %v", ok, stale)
	}
	now = now.Add(nonceLife)
	if ok, stale := d.check(request); ok || !stale {
		t.Errorf("an old nonce: ok %v, stale %v", ok, stale)
	}
}

func TestRESTAnswersOnlyTheAllowList(t *testing.T) {
	e, _ := startEngine(t, options{allow: []netip.Addr{netip.MustParseAddr("192.0.2.1")}})
	if status, _ := ask(t, http.MethodGet, e.url("rest", "/v2/machine/monitoring/current"), testPassword, ""); status != http.StatusForbidden {
		t.Errorf("from an address that is not on the list: %d", status)
	}
}

func TestRecorderLifeOverREST(t *testing.T) {
	dir := t.TempDir()
	e, stop := startEngine(t, options{recordings: dir})
	base := e.url("rest", vhostPath+"/applications/live/instances/_definst_/streamrecorders")
	e.recorders.stream("lobby", true)
	for _, c := range []struct {
		method, path, body string
		status             int
		contains           string
	}{
		{http.MethodPost, "", `{"recorderName":"lobby"}`, http.StatusCreated, "Recorder Created"},
		{http.MethodPost, "/lobby", "", http.StatusConflict, "there already"},
		{http.MethodPost, "/later", "", http.StatusCreated, ""},
		{http.MethodPost, "/..%2Fetc", "", http.StatusBadRequest, "name is letters"},
		{http.MethodPost, "", "{", http.StatusBadRequest, "reading the body"},
		{http.MethodGet, "", "", http.StatusOK, recorderActive},
		{http.MethodGet, "/later", "", http.StatusOK, recorderWaiting},
		{http.MethodPut, "/nobody/actions/stopRecording", "", http.StatusNotFound, "no such recorder"},
		{http.MethodPut, "/lobby/actions/stopRecording", "", http.StatusOK, "stopped"},
		{http.MethodGet, "/lobby", "", http.StatusNotFound, "no such recorder"},
	} {
		status, body := ask(t, c.method, base+c.path, testPassword, c.body)
		if status != c.status || !strings.Contains(body, c.contains) {
			t.Errorf("%s %s: %d %s; want %d and %q", c.method, c.path, status, body, c.status, c.contains)
		}
	}
	stop()
	if got := states(t, dir); len(got) != 1 || got[0] != stateComplete {
		t.Errorf("states on the disk: %q; a recorder that was stopped in time is complete, one that waited left nothing", got)
	}
}

// states are those of all recordings in dir.
func states(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "live", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var s recordState
		if err := json.Unmarshal(text, &s); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		all = append(all, s.State)
	}
	return all
}

func TestRecordingIsLostWhenTheEngineIsStopped(t *testing.T) {
	dir := t.TempDir()
	e, stop := startEngine(t, options{recordings: dir})
	e.recorders.stream("lobby", true)
	if err := e.recorders.create("lobby"); err != nil {
		t.Fatal(err)
	}
	stop()
	if got := states(t, dir); len(got) != 1 || got[0] != stateLost {
		t.Errorf("states on the disk: %q", got)
	}
}

func TestRecordingIsLostWhenTheEngineWasKilled(t *testing.T) {
	dir := t.TempDir()
	killed, err := openRecorders(dir, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	killed.stream("lobby", true)
	if err := killed.create("lobby"); err != nil {
		t.Fatal(err)
	}
	if got := states(t, dir); len(got) != 1 || got[0] != stateRecording {
		t.Fatalf("states on the disk: %q", got)
	}
	startEngine(t, options{recordings: dir}) // nobody told the first one that it ends
	if got := states(t, dir); len(got) != 1 || got[0] != stateLost {
		t.Errorf("states on the disk: %q", got)
	}
}

func TestRecordingGrowsAndEndsWithItsStream(t *testing.T) {
	dir := t.TempDir()
	r, err := openRecorders(dir, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.create("lobby"); err != nil {
		t.Fatal(err)
	}
	r.stream("lobby", true)
	before := r.list()[0]
	r.append()
	if after := r.list()[0]; after.state != recorderActive || after.size <= before.size {
		t.Errorf("before %+v, after %+v", before, after)
	}
	r.stream("lobby", false)
	if got := r.list(); len(got) != 0 {
		t.Errorf("recorders after the stream stopped: %+v", got)
	}
	if got := states(t, dir); len(got) != 1 || got[0] != stateComplete {
		t.Errorf("states on the disk: %q", got)
	}
}

func TestEngineDoesNotStartWithoutTheRecordingsFolder(t *testing.T) {
	_, err := newEngine(options{recordings: filepath.Join(t.TempDir(), "absent"), now: time.Now}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "opening the recordings") {
		t.Errorf("error: %v", err)
	}
}

func TestEngineNamesThePortThatIsTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	at := taken.Addr().String()
	_, err = newEngine(options{recordings: t.TempDir(), now: time.Now, ports: ports{at, at, at, at, at, at}}, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "port") || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("error: %v", err)
	}
}
