package engine

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// How an engine is ill is what the file says, from the moment when it is there.
func TestAnEngineIsIllAsItsFileSays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "unwell")
	e, _ := startEngine(t, options{unwell: file})
	// What the version page and the REST interface say; empty: nothing at all.
	says := func(port string) string {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url(port, "/v2/machine/monitoring/current"), nil)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := http.DefaultClient.Do(r)
		if err != nil {
			return ""
		}
		defer reply.Body.Close()
		text, err := io.ReadAll(reply.Body)
		if err != nil {
			t.Fatal(err)
		}
		return reply.Status + string(text)
	}
	for _, c := range []struct{ name, text, version, rest string }{
		{"ill", "", "is unwell", "401"}, // without a password
		{"mute", Mute + "\n", "", ""},
		{"confused", Confused, versionText(), "200 OK" + versionText()},
	} {
		if err := os.WriteFile(file, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		for port, want := range map[string]string{"version": c.version, "rest": c.rest} {
			if got := says(port); !strings.Contains(got, want) || want == "" && got != "" {
				t.Errorf("%s: its %s port says %q, not %q", c.name, port, got, want)
			}
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if got := says("version"); !strings.Contains(got, versionText()) {
		t.Errorf("a recovered engine says %q", got)
	}
}
