package schedule

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/check"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/site"
)

// lonely is a site whose only host cannot be reached, and a schedule that looks after it.
type lonely struct {
	t    *testing.T
	o    Options
	now  time.Time
	hook *hook
	err  error // of connecting
}

const lonelySite = `
site: st-marys
name: valt.example
ssl: false
release: { url: "https://127.0.0.1:1/valt/" }
registry: { username: st-marys, password_file: registry }
clients: [10.0.0.0/16]
hosts:
  - { name: app1, address: 10.0.4.10, roles: [app] }
updates: { timezone: America/Chicago, windows: ["Sun 02:00-05:00"], notify: { webhook: { url: "URL" } } }
`

func newLonely(t *testing.T) *lonely {
	t.Helper()
	l := &lonely{t: t, hook: newHook(t), err: errors.New("no route to app1")}
	dir := t.TempDir()
	for name, text := range map[string]string{"site.yaml": strings.ReplaceAll(lonelySite, "URL", l.hook.URL), "registry": "SECRET-registry\n",
		"enabled.json": `{"since":"2026-11-02T00:00:00Z","who":"ada"}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := site.Load(filepath.Join(dir, "site.yaml"), "")
	if err != nil {
		t.Fatal(err)
	}
	connect := func(context.Context, site.Host, func(done, total int64)) (io.ReadWriteCloser, error) {
		return nil, l.err
	}
	clock := func() time.Time { return l.now }
	base := fleet.Options{Site: s, Dial: connect, StateDir: dir, Run: "run-1", Who: "the schedule", Now: clock, Observer: event.Silent{}}
	l.o = Options{Options: base, Post: Post{To: s.Updates.Notify, HTTP: l.hook.Client().Transport},
		Files: Files{State: filepath.Join(dir, "state.json"), Notices: filepath.Join(dir, "notices.json"), Pause: filepath.Join(dir, "pause.json"), Enabled: filepath.Join(dir, "enabled.json")},
		Check: func() (installer.CheckOptions, error) {
			return installer.CheckOptions{Options: base, NoListen: true}, nil
		}}
	return l
}

// look is one look at the clock.
func (l *lonely) look(ctx context.Context, now string) (*RunResult, State) {
	l.t.Helper()
	l.now = at(l.t, now)
	result, err := Run(ctx, l.o)
	if err != nil && ctx.Err() == nil {
		l.t.Fatalf("at %s: %v", now, err)
	}
	state, err := l.o.Files.Load()
	if err != nil {
		l.t.Fatal(err)
	}
	return result, state
}

func (l *lonely) told(want ...string) {
	l.t.Helper()
	if len(l.hook.got) != len(want) {
		l.t.Fatalf("%d notices came, want %d: %+v", len(l.hook.got), len(want), l.hook.got)
	}
	for i, part := range want {
		if n := l.hook.got[i]; !strings.Contains(n.Subject+"\n"+n.Text, part) {
			l.t.Errorf("notice %d does not say %q: %s\n%s", i, part, n.Subject, n.Text)
		}
	}
}

func TestAWindowInWhichNothingCanBeginIsTriedAgainAndToldOnce(t *testing.T) {
	l := newLonely(t)
	_, s := l.look(t.Context(), "2026-11-08 02:46 -0600")
	if s.Attempt == nil || s.Attempt.Ended.IsZero() || !strings.Contains(s.Attempt.Outcome, "no route to app1") {
		t.Fatalf("the attempt is %+v", s.Attempt)
	}
	l.told("no route to app1")
	for _, now := range []string{"2026-11-08 02:51 -0600", "2026-11-08 03:02 -0600", "2026-11-08 03:20 -0600"} {
		l.look(t.Context(), now)
	}
	l.told("the update could not begin")
	_, s = l.look(t.Context(), "2026-11-08 09:00 -0600") // it was used, so it was not missed
	if s.Missed.Equal(s.Attempt.Window) || len(l.hook.got) != 1 {
		t.Errorf("a window that was tried is called missed: %+v", l.hook.got)
	}
	l.look(t.Context(), "2026-11-15 02:46 -0600")
	l.told("could not begin", "could not begin")
}

func TestLookingAheadTellsWhatCannotBeReached(t *testing.T) {
	l := newLonely(t)
	result, s := l.look(t.Context(), "2026-11-05 02:01 -0600")
	if len(s.Found) == 0 || s.Looked.IsZero() || result.Decisions[0].Do != LookAhead {
		t.Fatalf("%+v, %+v", result, s)
	}
	l.told("no route to app1")
	if !l.hook.got[0].Problem || !strings.Contains(string(l.hook.got[0].Report), string(check.Unknown)) {
		t.Errorf("the notice is %+v", l.hook.got[0])
	}
	l.look(t.Context(), "2026-11-05 02:06 -0600")
	l.told("will not work")
}

// What was cut off, by a reboot or by a person, has found nothing, and is done again.
func TestALookThatIsCutOffTellsNothing(t *testing.T) {
	l := newLonely(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, s := l.look(ctx, "2026-11-05 02:01 -0600"); len(s.Found) > 0 || !s.Looked.IsZero() {
		t.Errorf("%+v", s)
	}
	if _, s := l.look(ctx, "2026-11-08 02:46 -0600"); s.Attempt != nil {
		t.Errorf("%+v", s.Attempt)
	}
	l.told()
}

func TestAPausedWindowIsNotMissed(t *testing.T) {
	l := newLonely(t)
	if err := writeJSON(l.o.Files.Pause, Pause{Who: "ada", Reason: "trial"}); err != nil {
		t.Fatal(err)
	}
	_, s := l.look(t.Context(), "2026-11-08 02:46 -0600")
	if s.Attempt == nil || !strings.Contains(s.Attempt.Outcome, "trial") {
		t.Fatalf("the window is noted as %+v", s.Attempt)
	}
	if err := os.Remove(l.o.Files.Pause); err != nil {
		t.Fatal(err)
	}
	l.look(t.Context(), "2026-11-09 12:00 -0600")
	l.told()
}

func TestNoticesWaitUntilTheyCanBeDelivered(t *testing.T) {
	l := newLonely(t)
	l.hook.answer = 503
	l.now = at(t, "2026-11-09 12:00 -0600")
	if _, err := Run(t.Context(), l.o); err == nil {
		t.Error("that nobody could be told is no error")
	}
	l.hook.answer, l.hook.got = 204, nil
	_, s := l.look(t.Context(), "2026-11-09 12:05 -0600")
	l.told("a maintenance window was missed")
	if len(s.Unsent) > 0 {
		t.Errorf("%d wait to be sent again", len(s.Unsent))
	}
	l.look(t.Context(), "2026-11-09 12:10 -0600")
	l.told("missed")
}
