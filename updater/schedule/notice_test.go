package schedule

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/plain"
	"ipivs.com/valtctl/updater"
	"ipivs.com/valtctl/updater/window"
)

// hook is a web server that takes notices.
type hook struct {
	*httptest.Server
	got    []Notice
	raw    [][]byte
	tokens []string
	answer int
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{answer: http.StatusNoContent}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var n Notice
		if err := json.Unmarshal(body, &n); err != nil || r.Method != http.MethodPost {
			t.Errorf("%s with %q: %v", r.Method, body, err)
		}
		h.got, h.raw, h.tokens = append(h.got, n), append(h.raw, body), append(h.tokens, r.Header.Get("Authorization"))
		if h.answer/100 == 3 {
			w.Header().Set("Location", "https://elsewhere.example/")
		}
		w.WriteHeader(h.answer)
	}))
	t.Cleanup(h.Close)
	return h
}

func file(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func notice(ways ...string) *Notice {
	return &Notice{Kind: "update", Site: "st-marys", Subject: "VALT st-marys: the site has 6.5.0", Text: "media1 updated\n", Time: time.Date(2026, 11, 15, 9, 0, 0, 0, time.UTC),
		Report: json.RawMessage(`{"to":"6.5.0"}`), Ways: ways}
}

func TestAWebhookGetsTheNoticeWithItsReport(t *testing.T) {
	h := newHook(t)
	p := Post{HTTP: http.DefaultTransport, To: site.Notify{Webhook: &site.Webhook{URL: h.URL, TokenFile: file(t, "s3cret\n")}}}
	n := notice(ways(p.To)...)
	if err := p.Send(t.Context(), n, map[string]bool{}); err != nil || len(n.Ways) > 0 {
		t.Fatalf("%v, still to go by %v", err, n.Ways)
	}
	got := h.got[0]
	if got.Schema != noticeSchema || got.Subject != n.Subject || got.Text != n.Text || !strings.Contains(string(got.Report), "6.5.0") || got.Ways != nil || h.tokens[0] != "Bearer s3cret" {
		t.Errorf("it got %+v with %q", got, h.tokens[0])
	}
}

// A notice that cannot be delivered stays to be sent, and no secret is in the error.
func TestWhatCannotBeDeliveredStays(t *testing.T) {
	for _, answer := range []int{500, 403, 302} {
		h := newHook(t)
		h.answer = answer
		address := h.URL + "/services/SECRET-in-the-address"
		p := Post{HTTP: http.DefaultTransport, To: site.Notify{Webhook: &site.Webhook{URLFile: file(t, address+"\n")}}}
		n := notice(byWebhook)
		err := p.Send(t.Context(), n, map[string]bool{})
		if err == nil || !slices.Equal(n.Ways, []string{byWebhook}) || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("answer %d: %v, to go by %v", answer, err, n.Ways)
		}
		h.Close()
		if err := p.Send(t.Context(), n, map[string]bool{}); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("with nobody there: %v", err)
		}
	}
}

// One way that fails does not hold up the other, and is not tried for every notice.
func TestTheWaysDoNotWaitForEachOther(t *testing.T) {
	h := newHook(t)
	p := Post{HTTP: http.DefaultTransport, To: site.Notify{Webhook: &site.Webhook{URL: h.URL},
		Mail: &site.Mail{Server: site.Endpoint{Host: "127.0.0.1", Port: 1}, Security: site.MailPlain, From: "valt@b.example", To: []string{"it@b.example"}}}}
	failed := map[string]bool{}
	first, second := notice(ways(p.To)...), notice(ways(p.To)...)
	if err := p.Send(t.Context(), first, failed); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("nobody takes mail there: %v", err)
	}
	if err := p.Send(t.Context(), second, failed); err != nil {
		t.Errorf("the mail server was asked again: %v", err)
	}
	if len(h.got) != 2 || !slices.Equal(first.Ways, []string{byMail}) || !slices.Equal(second.Ways, []string{byMail}) {
		t.Errorf("%d posted; to go by %v and %v", len(h.got), first.Ways, second.Ways)
	}
	p.To.Mail = nil // a way that the site file names no more is no way to go
	if err := p.Send(t.Context(), first, map[string]bool{}); err != nil || len(first.Ways) > 0 {
		t.Errorf("%v, to go by %v", err, first.Ways)
	}
}

func TestMailHasTheReportAttached(t *testing.T) {
	msg, err := message(&site.Mail{From: "valt@b.example", To: []string{"it@b.example", "ada@b.example"}}, notice(byMail))
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if _, err := msg.WriteTo(&text); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Subject: VALT st-marys: the site has 6.5.0", "Date: Sun, 15 Nov 2026 09:00:00", "<it@b.example>", "<ada@b.example>", "media1 updated", `filename="report.json"`} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the mail lacks %q:\n%s", want, text.String())
		}
	}
}

func TestStateKeepsWhatMustNotBeForgotten(t *testing.T) {
	dir := t.TempDir()
	f := Files{State: filepath.Join(dir, "state.json"), Notices: filepath.Join(dir, "notices.json"), Pause: filepath.Join(dir, "pause.json"), Enabled: filepath.Join(dir, "enabled.json")}
	if s, err := f.Load(); err != nil || s.Attempt != nil {
		t.Fatalf("without files: %+v, %v", s, err)
	}
	since := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	write := func(name string, v any) {
		t.Helper()
		if err := writeJSON(name, v); err != nil {
			t.Fatal(err)
		}
	}
	write(f.Enabled, Enablement{Since: since, Who: "ada"})
	s, err := f.Load()
	if err != nil || !s.Since.Equal(since) {
		t.Fatalf("%+v, %v", s, err)
	}
	s.Halted, s.Skipped, s.Unsent, s.Attempt = "6.5.0", map[string]int{"media1": 2}, []Notice{*notice(byMail)}, &Attempt{Run: "r", Window: since}
	if err := f.Save(s); err != nil {
		t.Fatal(err)
	}
	write(f.Pause, Pause{Reason: "trial", Who: "ada"})
	s, err = f.Load()
	if err != nil || s.Halted != "6.5.0" || s.Skipped["media1"] != 2 || len(s.Unsent) != 1 || s.Attempt.Run != "r" || !s.Paused.holds(since) {
		t.Errorf("%+v, %v", s, err)
	}
	// Enabled anew: a person has looked at what halted.
	write(f.Enabled, Enablement{Since: since.Add(time.Hour)})
	if s, err = f.Load(); err != nil || s.Halted != "" || s.Skipped != nil || s.Attempt == nil {
		t.Errorf("%+v, %v", s, err)
	}
	if err := os.WriteFile(f.State, []byte("{torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Load(); err == nil {
		t.Error("a torn state is read as none, so a rollout that was cut off would be forgotten")
	}
}

// What hosts and servers say reaches people's mail and other programs as words, whoever says it:
// no header is begun by it, and nothing in it acts, also of a notice that waited.
func TestHostileWordsInANotice(t *testing.T) {
	for name, word := range map[string]string{
		"escape": "WORD\x1b]52;c;cm0K\a", "bidi": "WORD\u202Etxt.exe", "zero": "WORD\u200B\uFEFF\U000E0041", "eight bit": "WORD\u009b2J",
		"header": "WORD\r\nBcc: all@evil.example\r\n\r\nbody", "separator": "WORD\u2028x", "broken": "WORD\xff\xc3(",
	} {
		t.Run(name, func(t *testing.T) {
			r := &clockRun{result: &RunResult{}, Options: Options{Post: Post{To: site.Notify{Mail: &site.Mail{}}}}}
			r.Site, r.Clock = &site.Site{ID: "st-marys"}, func() time.Time { return time.Unix(0, 0) }
			report := &updater.Report{About: updater.About{Kind: updater.KindUpdate, To: word}, Halted: word, Hosts: []updater.HostRecord{{Host: "media1", Reason: word}}}
			r.notice("update", true, word, r.updateText(report, errors.New(word)), report)
			n := &r.state.Unsent[0]
			h := newHook(t)
			p := Post{HTTP: http.DefaultTransport, To: site.Notify{Webhook: &site.Webhook{URL: h.URL}}}
			n.Ways = []string{byWebhook}
			if err := p.Send(t.Context(), n, map[string]bool{}); err != nil {
				t.Fatal(err)
			}
			// One that an earlier valtctl left to be sent has the words as they came.
			if err := p.Send(t.Context(), &Notice{Subject: word, Text: word, Ways: []string{byWebhook}}, map[string]bool{}); err != nil {
				t.Fatal(err)
			}
			n.Ways = nil
			msg, err := message(&site.Mail{From: "valt@b.example", To: []string{"it@b.example"}}, n)
			if err != nil {
				t.Fatal(err)
			}
			var sent bytes.Buffer
			if _, err := msg.WriteTo(&sent); err != nil {
				t.Fatal(err)
			}
			head, _, _ := strings.Cut(sent.String(), "\r\n\r\n")
			if strings.Contains(head, "\nBcc:") {
				t.Errorf("it begins a header:\n%s", head)
			}
			for where, text := range map[string]string{"subject": n.Subject, "text": n.Text, "report": string(n.Report), "mail": strings.ReplaceAll(sent.String(), "\r\n", "\n"),
				"webhook": h.got[0].Subject + h.got[0].Text + string(h.raw[0]), "webhook, of earlier": string(h.raw[1])} {
				if where != "mail" && !strings.Contains(text, "WORD") {
					t.Errorf("nothing of it is in the %s: %q", where, text)
				}
				if plain.Text(text) != text {
					t.Errorf("the %s: %q", where, text)
				}
			}
		})
	}
}

// Whoever gets VALT's own mails is told once for each release which ones it will bring, whether it
// is announced by itself or once what was in its way is gone.
func TestTheNoticeOfAComingReleaseNamesTheMailsThatVALTWillSend(t *testing.T) {
	l := newLonely(t)
	open := at(t, "2026-11-08 02:00 -0600")
	for name, before := range map[string][]string{"at once": nil, "after trouble": {"a mirror is away"}} {
		r := &clockRun{Options: l.o, result: &RunResult{}}
		r.Clock, r.windows = l.o.Now, window.Schedule{Zone: open.Location()}
		r.state.Found = before
		a := ahead{wanted: "6.4.2", offline: []updater.Offline{{Host: "media1", Wave: 1, Expected: time.Minute}}}
		for range 2 {
			r.noticeAhead(Decision{Window: window.Span{Open: open}}, a, nil)
		}
		var text string
		for _, n := range r.state.Unsent {
			text += n.Text
		}
		if want := `about the cameras of media1 (wave 1, for about 1m0s) in the maintenance window that opens on ` + When(r.windows, open); strings.Count(text, "stream offline") != 1 || !strings.Contains(text, want) {
			t.Errorf("%s: %s", name, text)
		}
	}
}
