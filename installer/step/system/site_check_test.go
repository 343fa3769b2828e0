package system

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
	"ipivs.com/valtctl/repos/testneeds"
)

// switched is a host in a transaction that can be taken back.
func switched(t *testing.T) *step.Machine {
	t.Helper()
	return &step.Machine{Root: t.TempDir(), Run: step.Exec{}, Now: time.Now, Keep: t.TempDir()}
}

// program puts a program of the site's on the host.
func program(t *testing.T, h *step.Machine, text string) string {
	t.Helper()
	const path = "/etc/valt/checks/own"
	if err := os.MkdirAll(filepath.Dir(h.Path(path)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.Path(path), []byte("#!/bin/sh\n"+text+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestASitesOwnCheckIsAskedUntilItPasses(t *testing.T) {
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	s := steptest.MakeStep(t, SiteCheckKind(), SiteCheckParams{Name: "booking", URL: server.URL + "/api/rooms", Required: true, Within: "30s"})
	h := switched(t)
	if found, err := s.Inspect(t.Context(), h); err != nil || !found.Change || !strings.Contains(found.Diff, "booking: booking:") && !strings.Contains(found.Diff, "503") {
		t.Errorf("%+v, %v", found, err)
	}
	if err := s.Apply(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if found, err := s.Inspect(t.Context(), h); err != nil || found.Change {
		t.Errorf("%+v, %v", found, err)
	}
}

// A required one that does not pass is an error, a wanted one is told; neither is waited for
// longer than its time, whatever the program does.
func TestASitesOwnCheckThatDoesNotPass(t *testing.T) {
	for name, text := range map[string]string{"fails": "echo three rooms are missing >&2; exit 3", "hangs": "exec sleep 1000"} {
		for _, required := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				h := switched(t)
				var told []string
				h.Tell = func(text string) { told = append(told, text) }
				s := steptest.MakeStep(t, SiteCheckKind(), SiteCheckParams{Name: "rooms", Program: program(t, h, text), Required: required, Within: "300ms"})
				err := s.Apply(t.Context(), h)
				if required {
					if err == nil || !strings.Contains(err.Error(), "rooms") || name == "fails" && !strings.Contains(err.Error(), "three rooms are missing") {
						t.Error(err)
					}
					return
				}
				if err != nil || len(told) != 1 || !strings.Contains(told[0], "wanted and not required") {
					t.Errorf("%v, told %v", err, told)
				}
				if found, err := s.Inspect(t.Context(), h); err != nil || found.Change || len(found.Notes) != 1 {
					t.Errorf("%+v, %v", found, err)
				}
			})
		}
	}
}

// Before a switch nothing is asked: a dry run has no business with the site's programs.
func TestASitesOwnCheckIsAskedInAChangeAlone(t *testing.T) {
	h := switched(t)
	mark := filepath.Join(t.TempDir(), "ran")
	s := steptest.MakeStep(t, SiteCheckKind(), SiteCheckParams{Name: "rooms", Program: program(t, h, "touch "+mark+"; exit 1"), Required: true, Within: "1s"})
	h.Keep = ""
	if found, err := s.Inspect(t.Context(), h); err != nil || found.Change {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("it was run")
	}
}

// A program that others than root may change is not run as root.
func TestAProgramThatOthersMayChangeIsNotRun(t *testing.T) {
	testneeds.Of(t, testneeds.Root)
	for name, spoil := range map[string]func(h *step.Machine, path string) error{
		"the file":   func(h *step.Machine, path string) error { return os.Chmod(h.Path(path), 0o777) },
		"its folder": func(h *step.Machine, path string) error { return os.Chmod(filepath.Dir(h.Path(path)), 0o777) },
		"its owner":  func(h *step.Machine, path string) error { return os.Chown(h.Path(path), 12345, 12345) },
		"a link": func(h *step.Machine, path string) error {
			if err := os.Rename(h.Path(path), h.Path(path)+"-real"); err != nil {
				return err
			}
			return os.Symlink(filepath.Base(path)+"-real", h.Path(path))
		},
		"no program": func(h *step.Machine, path string) error { return os.Chmod(h.Path(path), 0o644) },
		"not there":  func(h *step.Machine, path string) error { return os.Remove(h.Path(path)) },
	} {
		t.Run(name, func(t *testing.T) {
			h := switched(t)
			path := program(t, h, "exit 0")
			own := step.OwnProgram{Path: path, Within: time.Minute}
			if err := own.Run(t.Context(), h); err != nil {
				t.Fatal(err)
			}
			if err := spoil(h, path); err != nil {
				t.Fatal(err)
			}
			if err := own.Run(t.Context(), h); err == nil || !strings.Contains(err.Error(), "/etc/valt/checks") {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestSiteCheckParametersThatAreRefused(t *testing.T) {
	for name, raw := range map[string]string{
		"neither":    `{"name":"x","within":"1s"}`,
		"both":       `{"name":"x","url":"http://a/","program":"/a","within":"1s"}`,
		"no time":    `{"name":"x","url":"http://a/"}`,
		"a climb":    `{"name":"x","program":"/etc/../tmp/x","within":"1s"}`,
		"no address": `{"name":"x","url":"file:///etc/shadow","within":"1s"}`,
	} {
		if _, err := SiteCheckKind().New([]byte(raw)); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
