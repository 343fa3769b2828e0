package wowza_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/wowza"
	"ipivs.com/valtctl/installer/wowza/wowzatest"
)

func TestWhatAnEngineDoes(t *testing.T) {
	root := t.TempDir()
	e := wowzatest.New(t, root)
	e.Record("lobby", "Recording in Progress")
	e.Record("attic", "Recording Stopped")
	e.Record("yard", "Waiting for stream")
	s, err := wowza.Look(t.Context(), e.Access, root)
	if err != nil {
		t.Fatal(err)
	}
	if !s.Running || s.Connections != 3 || s.Licence != "electronic" || s.Version != "4.8" || s.Uptime.Duration() != time.Minute {
		t.Errorf("%+v", s)
	}
	if len(s.Streams) != 2 || s.Streams[0] != (wowza.Stream{Application: "live", Name: "lobby", Connected: true}) {
		t.Errorf("%+v", s.Streams)
	}
	busy := map[string]bool{}
	for _, r := range s.Busy() {
		busy[r.Name] = true
	}
	if len(busy) != 2 || !busy["lobby"] || !busy["yard"] {
		t.Errorf("a stop would cut %v: a recorder that waits counts, one that has stopped does not", busy)
	}
}

func TestAnEngineThatIsNotThereRecordsNothing(t *testing.T) {
	root := t.TempDir()
	e := wowzatest.New(t, root)
	e.Stop()
	s, err := wowza.Look(t.Context(), e.Access, root)
	if err != nil || s.Running || len(s.Busy()) > 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestAnEngineThatStreamsAndDoesNotSayWhatIsNotQuiet(t *testing.T) {
	root := t.TempDir()
	e := wowzatest.New(t, root)
	e.Stop()
	l, err := net.Listen("tcp", "127.0.0.1:1935")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err := wowza.Look(t.Context(), e.Access, root); err == nil || !strings.Contains(err.Error(), "1935") {
		t.Errorf("it was taken for quiet: %v", err)
	}
}

func TestWhatCannotBeAskedIsNotQuiet(t *testing.T) {
	for name, spoil := range map[string]func(e *wowzatest.Engine, root string){
		"no password file": func(e *wowzatest.Engine, _ string) { e.Access.PasswordFile = "/nowhere" },
		"an empty one": func(e *wowzatest.Engine, root string) {
			if err := os.WriteFile(filepath.Join(root, e.Access.PasswordFile), []byte("\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"another password": func(e *wowzatest.Engine, root string) {
			if err := os.WriteFile(filepath.Join(root, e.Access.PasswordFile), []byte("SECRET-wrong"), 0o600); err != nil {
				t.Fatal(err)
			}
		},
		"no JSON": func(e *wowzatest.Engine, _ string) { e.Answer("<html>") },
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			e := wowzatest.New(t, root)
			spoil(e, root)
			_, err := wowza.Quiet(t.Context(), e.Access, root, time.Millisecond)
			if err == nil || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestQuietTakesTwoReadings(t *testing.T) {
	root := t.TempDir()
	e := wowzatest.New(t, root)
	e.OnLook(func(n int) {
		if n == 2 { // begun between the two
			e.Record("lobby", "Recording in Progress")
		}
	})
	busy, err := wowza.Quiet(t.Context(), e.Access, root, time.Millisecond)
	if err != nil || len(busy) != 1 || busy[0].Name != "lobby" {
		t.Errorf("%v, %v", busy, err)
	}
	e.Record("lobby", "")
	if busy, err := wowza.Quiet(t.Context(), e.Access, root, time.Millisecond); err != nil || len(busy) != 0 {
		t.Errorf("%v, %v", busy, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	e.OnLook(func(int) { cancel() })
	if _, err := wowza.Quiet(ended, e.Access, root, time.Hour); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
