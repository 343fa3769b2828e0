package survey

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/icholy/digest"
)

// streaming is a media engine's REST interface with one recorder in a state, behind
// digest authentication as the real one has it.
func streaming(t *testing.T, password, state string) *httptest.Server {
	t.Helper()
	challenge := &digest.Challenge{Realm: "engine", Nonce: "n", Algorithm: "MD5", QOP: []string{"auth"}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, err := digest.ParseCredentials(r.Header.Get("Authorization"))
		proves := false
		if err == nil {
			want, err := digest.Digest(challenge, digest.Options{Method: r.Method, URI: given.URI, Count: given.Nc, Cnonce: given.Cnonce, Username: "valt", Password: password})
			proves = err == nil && want.Response == given.Response
		}
		switch {
		case !proves:
			w.Header().Set("WWW-Authenticate", challenge.String())
			w.WriteHeader(http.StatusUnauthorized)
		case strings.HasSuffix(r.URL.Path, "/applications"):
			fmt.Fprint(w, `{"applications":[{"id":"live"}]}`)
		case strings.HasSuffix(r.URL.Path, "/live/instances/_definst_/streamrecorders") && state != "":
			fmt.Fprintf(w, `{"streamrecorder":[{"recorderName":"lobby","recorderState":%q}]}`, state)
		default:
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

func TestNothingIsWrittenWhileARecordingMayRun(t *testing.T) {
	const file = "/etc/valt/secrets/engine"
	engine := tableHead + listening("1F97")
	for name, c := range map[string]struct {
		tcp, password, state string
		noWrite              bool
		skipped              string // is part of why; empty: it is measured
	}{
		"no engine":           {tcp: tableHead + listening("01BB")},
		"asked not to":        {noWrite: true, skipped: "asked not to"},
		"it records":          {tcp: engine, password: "right\n", state: "Recording in Progress", skipped: `lobby is "Recording in Progress"`},
		"it waits for stream": {tcp: engine, password: "right\n", state: "Waiting for stream", skipped: "lobby"},
		"it has stopped":      {tcp: engine, password: "right\n", state: "Recording Stopped"},
		"it has no recorder":  {tcp: engine, password: "right\n"},
		"wrong password":      {tcp: engine, password: "wrong", state: "Recording Stopped", skipped: "401"},
		"no password":         {tcp: engine, skipped: "no password"},
		"another engine's":    {tcp: tableHead + listening("078F"), skipped: "no password"},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"/proc/net/tcp": c.tcp, "/srv/valt/kept": "x"}
			if c.password != "" {
				files[file] = c.password
			}
			e := hostOf(t, programs{}, files)
			e.EngineREST = streaming(t, "right", c.state).URL
			reply := take(t, e, Request{Write: []string{"/srv/valt"}, NoWrite: c.noWrite, EnginePasswords: []string{file}})
			switch {
			case c.skipped == "" && (reply.WriteSkipped != "" || len(reply.Writes) != 1):
				t.Errorf("not measured: %q %+v %v", reply.WriteSkipped, reply.Writes, reply.Problems)
			case c.skipped != "" && (!strings.Contains(reply.WriteSkipped, c.skipped) || len(reply.Writes) > 0):
				t.Errorf("skipped because %q: %+v", reply.WriteSkipped, reply.Writes)
			}
			if strings.Contains(reply.WriteSkipped, "right") {
				t.Error("the password is told")
			}
			if left, err := os.ReadDir(e.Machine.Root + "/srv/valt"); err != nil || len(left) != 1 {
				t.Errorf("in the folder afterwards: %v %v", left, err)
			}
		})
	}
}

func TestBrokenRESTInterfaceIsNoLeaveToWrite(t *testing.T) {
	for name, answer := range map[string]string{"no JSON": "<html>", "an error": ""} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if answer == "" {
					w.WriteHeader(http.StatusInternalServerError)
				}
				fmt.Fprint(w, answer)
			}))
			defer server.Close()
			e := hostOf(t, programs{}, map[string]string{"/proc/net/tcp": tableHead + listening("1F97"), "/p": "right"})
			e.EngineREST = server.URL
			if reply := take(t, e, Request{Write: []string{"/"}, EnginePasswords: []string{"/p"}}); reply.WriteSkipped == "" {
				t.Error("it was written")
			}
		})
	}
}
