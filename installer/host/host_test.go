package host

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/survey"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// looking is a step that wants a secret and may fail to look.
type looking struct{ secret string }

func (l looking) Inspect(_ context.Context, m *step.Machine) (step.Finding, error) {
	value, err := m.Secret(l.secret)
	return step.Finding{Change: true, Diff: strings.Repeat("+", len(value))}, err
}

func (looking) Apply(context.Context, *step.Machine) error {
	return errors.New("inspecting applies nothing")
}

func side(t *testing.T) *Side {
	t.Helper()
	root := t.TempDir()
	now := func() time.Time { return time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC) }
	return &Side{Now: now, Launcher: txn.Launcher{Root: root, Store: txn.NewStore(root, now)},
		Kinds: step.NewRegistry([]step.Kind{{Name: "look", New: func(raw json.RawMessage) (step.Step, error) {
			var name string
			err := json.Unmarshal(raw, &name)
			return looking{name}, err
		}}})}
}

// A call without its handler is answered with an error by every host.
func TestEveryCallIsAnswered(t *testing.T) {
	for field, value := range reflect.ValueOf(side(t).Handlers()).Fields() {
		if field.Name == "Controller" || field.Name == "Loopback" || field.Name == "Still" {
			continue // no calls: the agent's own, where it carries a bundle or is restricted
		}
		if value.Kind() == reflect.Func && value.IsNil() {
			t.Errorf("no host answers the call %s: give it a handler in Handlers() of installer/host/host.go", field.Name)
		}
	}
}

func TestInspectAnswersForEveryStepAndKeepsSecretsInMemory(t *testing.T) {
	s := side(t)
	reply, err := s.inspect(t.Context(), agent.InspectRequest{
		Steps: []step.Spec{
			{ID: "a", Kind: "look", Params: json.RawMessage(`"licence"`)},
			{ID: "b", Kind: "look", Params: json.RawMessage(`"other"`)},
			{ID: "c", Kind: "unheard-of", Params: json.RawMessage(`{}`)},
		},
		Secrets: map[string][]byte{"licence": []byte("KEY-1")},
	})
	if err != nil || len(reply.Findings) != 3 {
		t.Fatalf("%+v, %v", reply, err)
	}
	a, b, c := reply.Findings[0], reply.Findings[1], reply.Findings[2]
	if a.ID != "a" || !a.Finding.Change || a.Finding.Diff != "+++++" || a.Problems != nil {
		t.Errorf("%+v", a)
	}
	if len(b.Problems) != 1 || !strings.Contains(b.Problems[0].Cause, `no secret "other"`) {
		t.Errorf("%+v", b)
	}
	if len(c.Problems) != 1 || !strings.Contains(c.Problems[0].Cause, "unheard-of") {
		t.Errorf("%+v", c)
	}
	if left, err := os.ReadDir(s.Launcher.Root); err != nil || len(left) != 0 {
		t.Errorf("looking left %v, %v", left, err)
	}
}

// An older program, which a controller of its version brings, goes on with nothing that it understands in
// parts: nothing is written of it, and nothing started.
func TestAnOlderProgramLeavesWhatANewerOneBegan(t *testing.T) {
	s := side(t)
	id, err := s.Launcher.Store.Create(txn.Request{Schema: txn.Schema, Host: "media1", Policy: txn.Allow,
		Steps: []step.Spec{{ID: "a", Kind: "look", Half: step.Apply, Params: json.RawMessage(`"licence"`)}}}, nil, s.Kinds)
	if err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(s.Launcher.Root, "/var/lib/valtctl/txn", id)
	request, err := os.ReadFile(filepath.Join(folder, "request.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "request.json"), bytes.Replace(request, []byte(`"look"`), []byte(`"rehearse"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.goOn(t.Context(), agent.TxnRestartRequest{ID: id}); err == nil || !strings.Contains(err.Error(), `knows no step kind "rehearse"`) {
		t.Error(err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestTheNewestTrustedStateIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tuf", "state.json")
	version := func(timestamp int64) *release.State {
		return &release.State{Roles: map[string]release.RoleState{"timestamp": {Version: timestamp}}}
	}
	kept := func(what string, want int64) {
		t.Helper()
		if got, err := readState(path); err != nil || !reflect.DeepEqual(got, version(want)) {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
	for _, offered := range []int64{5, 5, 9} {
		if err := keepState(path, version(offered)); err != nil {
			t.Fatal(err)
		}
		kept("a newer one", offered)
	}
	if err := keepState(path, version(4)); problem.KindOf(err) != problem.Trust {
		t.Errorf("an older repository than the host has seen: %v", err)
	}
	kept("an older one", 9)
	if err := keepState(path, nil); err != nil {
		t.Errorf("a controller without a state: %v", err)
	}
	if err := os.WriteFile(path, []byte(`{"roles":`), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := keepState(path, version(3)); err != nil {
		t.Fatal(err)
	}
	kept("a torn file", 3)
}

// A newer root takes a host back to no older releases, and who may sign is remembered: with a
// newer root and new keys a timestamp may start again, and only then.
func TestANewerRootTakesNoHostBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tuf", "state.json")
	state := func(root, timestamp, releases int64, keys ...string) *release.State {
		return &release.State{Roles: map[string]release.RoleState{
			"root": {Version: root}, "timestamp": {Version: timestamp, Keys: keys, Needed: 1}, "releases": {Version: releases}}}
	}
	for _, step := range []struct {
		what    string
		offered *release.State
		taken   bool
	}{
		{"the first, of a former version", state(1, 900, 250), true},
		{"who may sign", state(1, 900, 250, "t1"), true},
		{"a newer root with older releases", state(2, 900, 10, "t1"), false},
		{"the same, all keys new", state(2, 1, 10, "t2"), false},
		{"a newer root, an older timestamp of the same key", state(2, 1, 250, "t1"), false},
		{"a newer root, a timestamp of a new key", state(2, 1, 250, "t2"), true},
		{"the former root again", state(1, 901, 251, "t1"), false},
	} {
		before, err := readState(path)
		if err != nil {
			t.Fatal(err)
		}
		err = keepState(path, step.offered)
		if taken := err == nil; taken != step.taken || !taken && problem.KindOf(err) != problem.Trust {
			t.Errorf("%s: %v", step.what, err)
		}
		want := before
		if step.taken {
			want = step.offered
		}
		if got, err := readState(path); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("after %s the host has seen %+v, %v", step.what, got, err)
		}
	}
}

func TestLinesOfSeveralLogsStayWhole(t *testing.T) {
	var out bytes.Buffer
	shared := &lineWriter{out: &out}
	web, db := shared.of("web"), shared.of("db")
	for _, w := range []struct {
		to   interface{ Write([]byte) (int, error) }
		text string
	}{{web, "one\ntw"}, {db, "first\n"}, {web, "o\n"}} {
		if n, err := w.to.Write([]byte(w.text)); n != len(w.text) || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if want := "web        one\ndb         first\nweb        two\n"; out.String() != want {
		t.Errorf("got %q", out.String())
	}
}

func TestATransactionThatIsNotThereIsNotFollowed(t *testing.T) {
	s := side(t)
	_, err := s.follow(t.Context(), agent.TxnFollowRequest{ID: "20261122T020000Z-00000000"}, nil)
	if problem.KindOf(err) != problem.Input {
		t.Errorf("got %v", err)
	}
	if reply, err := s.list(t.Context(), agent.TxnListRequest{}); err != nil || len(reply.Transactions) != 0 {
		t.Errorf("%+v, %v", reply, err)
	}
}

func TestSurveyIsAnsweredOverTheWire(t *testing.T) {
	s := side(t)
	s.Launcher.Run = step.Exec{}
	reply, err := s.Handlers().Survey(t.Context(), survey.Request{Certificates: []string{"/none.pem"}})
	if err != nil || len(reply.Certificates) != 1 || !reply.Certificates[0].Missing {
		t.Fatalf("%+v, %v", reply, err)
	}
	raw, err := json.Marshal(reply)
	var read survey.Reply
	if err := errors.Join(err, json.Unmarshal(raw, &read)); err != nil || !read.Certificates[0].Missing {
		t.Errorf("%s, %v", raw, err)
	}
	if left, err := os.ReadDir(s.Launcher.Root); err != nil || len(left) != 0 {
		t.Errorf("asking left %v, %v", left, err)
	}
}
