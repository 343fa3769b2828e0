// Package wowzatest gives tests a media engine's REST interface in this process: digest
// authentication, and one application whose recorders and streams a test sets. Tests of the
// client and of the drain share it, so that both meet the same answers. What a real engine's
// containers do is left to the practice site's scenarios.
package wowzatest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/icholy/digest"

	"ipivs.com/valtctl/installer/wowza"
)

// Password is the REST interface's.
const Password = "right"

// Engine is one engine.
type Engine struct {
	Access wowza.Access // its password file is below the root given to New

	server *httptest.Server
	mu     sync.Mutex
	busy   map[string]string // recorder to state
	looks  int
	onLook func(n int)
	answer string // of everything, instead; empty: nothing
}

// New starts one; root is the host's folder.
func New(t testing.TB, root string) *Engine {
	t.Helper()
	e := &Engine{busy: map[string]string{}}
	e.server = httptest.NewServer(http.HandlerFunc(e.serve))
	t.Cleanup(e.server.Close)
	const file = "/etc/valt/secrets/engine"
	if err := os.MkdirAll(filepath.Dir(filepath.Join(root, file)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, file), []byte(Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e.Access = wowza.Access{URL: e.server.URL, PasswordFile: file}
	return e
}

// Record sets a recorder's state; "" removes it.
func (e *Engine) Record(name, state string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.busy[name] = state; state == "" {
		delete(e.busy, name)
	}
}

// OnLook is called with the number of each reading of the recorders, before it is answered.
func (e *Engine) OnLook(do func(n int)) { e.onLook = do }

// Answer makes every question be answered by this text; empty: as before.
func (e *Engine) Answer(text string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = text
}

// Stop ends the engine.
func (e *Engine) Stop() { e.server.Close() }

func (e *Engine) serve(w http.ResponseWriter, r *http.Request) {
	challenge := &digest.Challenge{Realm: "engine", Nonce: "n", Algorithm: "MD5", QOP: []string{"auth"}}
	if !proves(challenge, r) {
		w.Header().Set("WWW-Authenticate", challenge.String())
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	e.mu.Lock()
	instead := e.answer
	e.mu.Unlock()
	if instead != "" {
		_, _ = w.Write([]byte(instead))
		return
	}
	answers := map[string]func() any{
		"/machine/monitoring/current": func() any {
			return map[string]any{"serverVersion": "4.8", "licenseType": "electronic", "serverUptime": 60}
		},
		"/applications":            func() any { return map[string]any{"applications": []any{map[string]any{"id": "live"}}} },
		"/live/monitoring/current": func() any { return map[string]any{"totalConnections": 3} },
		"/live/instances/_definst_": func() any {
			return map[string]any{"incomingStreams": []any{map[string]any{"name": "lobby", "isConnected": true}, map[string]any{"name": "yard", "isConnected": false}}}
		},
		"/live/instances/_definst_/streamrecorders": func() any { return map[string]any{"streamrecorder": e.recorders()} },
	}
	for end, answer := range answers {
		if strings.HasSuffix(r.URL.Path, end) {
			_ = json.NewEncoder(w).Encode(answer())
			return
		}
	}
	w.WriteHeader(http.StatusNotFound)
}

func proves(c *digest.Challenge, r *http.Request) bool {
	given, err := digest.ParseCredentials(r.Header.Get("Authorization"))
	if err != nil {
		return false
	}
	want, err := digest.Digest(c, digest.Options{Method: r.Method, URI: given.URI, Count: given.Nc, Cnonce: given.Cnonce, Username: wowza.DefaultUser, Password: Password})
	return err == nil && want.Response == given.Response
}

func (e *Engine) recorders() []any {
	e.mu.Lock()
	e.looks++
	n := e.looks
	e.mu.Unlock()
	if e.onLook != nil {
		e.onLook(n)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	all := []any{}
	for name, state := range e.busy {
		all = append(all, map[string]any{"recorderName": name, "recorderState": state})
	}
	return all
}
