package schedule

import (
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/keyuse"
	"ipivs.com/valtctl/installer/site"
)

// watched is a lonely site with a media server that tells of the key, over the agent's own
// protocol.
type watched struct {
	*lonely
	record *keyuse.Record
	asked  int
	away   bool
}

func newWatched(t *testing.T) *watched {
	t.Helper()
	w := &watched{lonely: newLonely(t)}
	text := strings.ReplaceAll(lonelySite, "URL", w.hook.URL)
	text = strings.Replace(text, "updates:", "  - { name: media1, address: 10.0.4.21, roles: [media], recordings: /srv/valt }\nupdates:", 1)
	s, err := site.Parse(filepath.Join(w.o.StateDir, "site.yaml"), []byte(text), "")
	if err != nil {
		t.Fatal(err)
	}
	w.o.Site = s
	w.o.Dial = func(_ context.Context, h site.Host, _ func(done, total int64)) (io.ReadWriteCloser, error) {
		if h.Name != "media1" || w.away {
			return nil, w.err
		}
		here, there := net.Pipe()
		go func() {
			_ = agent.Serve(context.WithoutCancel(t.Context()), there, agent.Handlers{Facts: func(context.Context, agent.FactsRequest) (agent.FactsReply, error) {
				w.asked++
				return agent.FactsReply{Facts: facts.Facts{Hostname: "media1"}, KeyUse: w.record}, nil
			}})
		}()
		return here, nil
	}
	return w
}

func TestAKeyThatIsUsedOutsideItsHoursIsToldOnce(t *testing.T) {
	w := newWatched(t)
	const noon = "2026-11-03 12:"
	w.look(t.Context(), noon+"00 -0600")
	w.told()
	tried := func(text string, count int, reason keyuse.Reason) keyuse.Use {
		at := at(t, text)
		return keyuse.Use{First: at, Last: at.Add(time.Minute), Count: count, Who: "the schedule's key of app1", Call: keyuse.Update, Release: "6.6.0", Refused: reason,
			Text: "it is outside of the maintenance windows"}
	}
	w.record = &keyuse.Record{Uses: []keyuse.Use{tried(noon+"01 -0600", 3, keyuse.OutsideHours), tried(noon+"01 -0600", 1, keyuse.Tried), tried(noon+"01 -0600", 1, "")}}
	w.look(t.Context(), noon+"05 -0600") // it was asked five minutes ago
	w.told()
	w.away = true
	w.look(t.Context(), noon+"16 -0600")
	w.told()
	w.away = false
	_, s := w.look(t.Context(), noon+"32 -0600")
	w.told("the schedule's key was refused on media1")
	if n := w.hook.got[0]; !n.Problem || n.Kind != "key" || strings.Count(n.Text, "\n- ") != 1 ||
		!strings.Contains(n.Text, "2026-11-03 18:01:00 UTC, and 3 times until 2026-11-03 18:02:00: media1 was asked for an update to 6.6.0: it is outside") {
		t.Errorf("the notice is %+v", n)
	}
	if s.ToldUses["media1"].IsZero() {
		t.Error("that it was told is forgotten")
	}
	w.look(t.Context(), noon+"50 -0600")
	w.told("refused on media1")
	w.record.Uses = append([]keyuse.Use{tried(noon+"55 -0600", 1, keyuse.Foreign)}, w.record.Uses...)
	w.look(t.Context(), "2026-11-03 13:10 -0600")
	w.told("refused on media1", "refused on media1")
	if w.asked == 0 {
		t.Error("nobody was asked")
	}
}

// A clock that is set back does not keep the others from being asked.
func TestAClockThatIsSetBackDoesNotStopTheWatch(t *testing.T) {
	w := newWatched(t)
	w.look(t.Context(), "2027-11-11 12:00 -0600")
	w.look(t.Context(), "2026-11-11 12:00 -0600")
	if w.asked != 2 {
		t.Errorf("it was asked %d times", w.asked)
	}
	if _, err := os.Stat(w.o.Files.State); err != nil {
		t.Error(err)
	}
}

func TestAheadIsWhenTheScheduleLooksAhead(t *testing.T) {
	w := sundays(t)
	for when, want := range map[string]bool{
		"2026-11-12 01:59 -0600": false, // three nights and a minute before Sunday's window
		"2026-11-12 02:00 -0600": true,
		"2026-11-14 23:00 -0600": true,
		"2026-11-15 12:00 -0600": false, // after it
		"2027-01-03 12:00 -0600": false, // a blackout
		"2027-01-07 02:00 -0600": true,
	} {
		if got := Ahead(w, at(t, when)); got != want {
			t.Errorf("at %s it is %v", when, got)
		}
	}
}
