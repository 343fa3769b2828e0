package step

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/client"
	"github.com/docker/go-connections/sockets"
)

// How long the engine may take to begin its answer. A dockerd that is stopped or stuck takes
// the connection and says nothing for ever.
const (
	engineWithin = time.Minute
	pullWithin   = 10 * time.Minute // the registry is asked before the answer begins
	loadWithin   = 2 * time.Hour    // an archive is read whole before the answer begins
	// engineSilence is how long an answer that has begun may bring nothing, but for a log that
	// is followed: a large layer is unpacked without a word.
	engineSilence = 30 * time.Minute
	stopByDefault = 10 * time.Second // a container's time to stop where nothing says another (docker stop(1))
)

// engineClient is a client of the engine at a unix socket, whose every call has a deadline.
func engineClient(socket string) (*client.Client, error) {
	transport := &http.Transport{}
	if err := sockets.ConfigureTransport(transport, "unix", socket); err != nil {
		return nil, fmt.Errorf("preparing to ask the engine: %w", err)
	}
	return client.NewClientWithOpts(client.WithHost("unix://"+socket),
		client.WithHTTPClient(&http.Client{Transport: &engineCalls{transport, answerWithin}, CheckRedirect: client.CheckRedirect}),
		client.WithAPIVersionNegotiation())
}

// engineCalls gives every call to an engine a deadline.
type engineCalls struct {
	under  http.RoundTripper
	within func(*http.Request) time.Duration // for an answer to begin
}

// tooSlow is why a call was given up. It is not that there is no engine.
type tooSlow struct {
	what   string
	within time.Duration
}

func (e *tooSlow) Error() string {
	return fmt.Sprintf("the engine did not answer %s within %s", e.what, e.within)
}

// Is says that it is a deadline: the client takes no other error of a call's end for its own.
func (e *tooSlow) Is(target error) bool { return target == context.DeadlineExceeded }

func (c *engineCalls) RoundTrip(r *http.Request) (*http.Response, error) {
	late := &tooSlow{r.Method + " " + r.URL.Path, c.within(r)}
	ctx, cancel := context.WithCancelCause(r.Context())
	timer := time.AfterFunc(late.within, func() { cancel(late) })
	reply, err := c.under.RoundTrip(r.WithContext(ctx))
	timer.Stop()
	if err != nil {
		cancel(nil)
		if errors.Is(context.Cause(ctx), late) {
			return nil, late
		}
		return nil, err
	}
	reply.Body = &engineAnswer{ReadCloser: reply.Body, ctx: ctx, cancel: cancel, silence: silenceOf(r), what: late.what}
	return reply, nil
}

// answerWithin is how long an engine may take to begin the answer to a call.
func answerWithin(r *http.Request) time.Duration {
	switch path := r.URL.Path; {
	case strings.HasSuffix(path, "/stop"), strings.HasSuffix(path, "/restart"):
		grace := stopByDefault
		if n, err := strconv.Atoi(r.URL.Query().Get("t")); err == nil && n >= 0 {
			grace = time.Duration(n) * time.Second
		}
		return grace + engineWithin
	case strings.HasSuffix(path, "/images/create"):
		return pullWithin
	case strings.HasSuffix(path, "/images/load"):
		return loadWithin
	}
	return engineWithin
}

// silenceOf is how long an answer may bring nothing; 0: for ever.
func silenceOf(r *http.Request) time.Duration {
	if strings.HasSuffix(r.URL.Path, "/logs") {
		return 0
	}
	return engineSilence
}

// engineAnswer ends a call whose answer stops in its middle.
type engineAnswer struct {
	io.ReadCloser
	ctx     context.Context
	cancel  context.CancelCauseFunc
	silence time.Duration
	what    string
}

func (a *engineAnswer) Read(p []byte) (int, error) {
	if a.silence == 0 {
		return a.ReadCloser.Read(p)
	}
	late := &tooSlow{a.what, a.silence}
	timer := time.AfterFunc(a.silence, func() { a.cancel(late) })
	n, err := a.ReadCloser.Read(p)
	timer.Stop()
	if err != nil && errors.Is(context.Cause(a.ctx), late) {
		err = late
	}
	return n, err
}

func (a *engineAnswer) Close() error {
	defer a.cancel(nil)
	return a.ReadCloser.Close()
}
