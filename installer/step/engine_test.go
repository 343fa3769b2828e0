package step

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"
)

// hungEngine takes every connection and answers nothing, as a dockerd that is stopped does.
func hungEngine(t *testing.T, answer http.HandlerFunc) *client.Client {
	t.Helper()
	dir, err := os.MkdirTemp("", "engine") // a short name: a socket's is at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answer != nil {
			answer(w, r)
		}
		select {
		case <-r.Context().Done():
		case <-ended:
		}
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { close(ended); server.Close() })
	engine, err := engineClient(filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	return engine
}

// Nothing waits for ever for an engine that hangs, and that it hangs is not that it is not there.
func TestEveryCallToAnEngineHasADeadline(t *testing.T) {
	r, err := http.NewRequest(http.MethodGet, "http://engine/v1.44/containers/x/json", nil)
	if err != nil {
		t.Fatal(err)
	}
	hang := func(r *http.Request) (*http.Response, error) {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	calls := &engineCalls{roundTrip(hang), func(*http.Request) time.Duration { return 10 * time.Millisecond }}
	_, err = calls.RoundTrip(r)
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "did not answer GET /v1.44/containers/x/json within 10ms") {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := calls.RoundTrip(r.WithContext(ended)); !errors.Is(err, context.Canceled) {
		t.Error("a call that its caller gave up:", err)
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAHungEngineIsNoMissingEngine(t *testing.T) {
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, &tooSlow{"x", time.Second})
	defer cancel()
	_, err := hungEngine(t, nil).ContainerInspect(ctx, "x")
	if err == nil || client.IsErrConnectionFailed(err) {
		t.Errorf("%v", err)
	}
}

// An answer that stops in its middle ends, too.
func TestAnAnswerThatStopsInItsMiddleEnds(t *testing.T) {
	engine := hungEngine(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `[{"Id":`)
		w.(http.Flusher).Flush()
	})
	body := &engineAnswer{silence: 10 * time.Millisecond, what: "GET /x"}
	body.ctx, body.cancel = context.WithCancelCause(t.Context())
	body.ReadCloser = io.NopCloser(readFunc(func([]byte) (int, error) {
		<-body.ctx.Done()
		return 0, body.ctx.Err()
	}))
	if _, err := body.Read(make([]byte, 1)); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "GET /x") {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := engine.ContainerList(ctx, container.ListOptions{}); err == nil {
		t.Error("half an answer was taken")
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// A container that is given long to stop is waited for.
func TestHowLongAnEngineMayTake(t *testing.T) {
	for path, want := range map[string]time.Duration{
		"/v1.44/containers/x/json":       engineWithin,
		"/v1.44/containers/x/stop?t=120": 120*time.Second + engineWithin,
		"/v1.44/containers/x/stop":       stopByDefault + engineWithin,
		"/v1.44/images/load?quiet=1":     loadWithin,
		"/v1.44/images/create?x=y":       pullWithin,
	} {
		r, err := http.NewRequest(http.MethodPost, "http://engine"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := answerWithin(r); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
}
