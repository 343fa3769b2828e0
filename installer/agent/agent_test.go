package agent

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/support"
	"ipivs.com/valtctl/installer/survey"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/installer/wowza"
	"ipivs.com/valtctl/repos/apt"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// pair is a controller and an agent on the two ends of a pipe. ended gives what Serve
// returned.
func pair(t testing.TB, h Handlers) (c *Client, ended chan error) {
	t.Helper()
	here, there := net.Pipe()
	ended = make(chan error, 1)
	go func() { ended <- Serve(t.Context(), there, h) }()
	c, err := NewClient(t.Context(), here, "app1", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, ended
}

func TestTypedCalls(t *testing.T) {
	spec := step.Spec{ID: "file/motd", Kind: "file", Half: step.Apply, Params: json.RawMessage(`{"path":"/etc/motd"}`)}
	found := StepFinding{ID: spec.ID, Finding: step.Finding{Change: true, Diff: "+hello", Disrupts: step.Container},
		Problems: problem.Records(&problem.Error{Kind: problem.Trust, Doing: "reading", Object: "x", Err: errors.New("no"), Fix: "do"})}
	seen := release.State{Roles: map[string]release.RoleState{"root": {Version: 2}}}
	var gotInspect InspectRequest
	var gotStart TxnStartRequest
	var gotRestart TxnRestartRequest
	c, _ := pair(t, Handlers{
		Facts: func(_ context.Context, r FactsRequest) (FactsReply, error) {
			return FactsReply{Facts: facts.Facts{Hostname: fmt.Sprint(r.Full)}, Fence: 7, TrustedState: &seen}, nil
		},
		Inspect: func(_ context.Context, r InspectRequest) (InspectReply, error) {
			gotInspect = r
			return InspectReply{Findings: []StepFinding{found}}, nil
		},
		TxnStart: func(_ context.Context, r TxnStartRequest) (TxnReply, error) {
			gotStart = r
			return TxnReply{ID: "t1"}, nil
		},
		TxnRestart: func(_ context.Context, r TxnRestartRequest) (TxnReply, error) {
			gotRestart = r
			return TxnReply{ID: r.ID}, nil
		},
		TxnList: func(context.Context, TxnListRequest) (TxnListReply, error) {
			return TxnListReply{Transactions: []txn.Summary{{ID: "t1", State: txn.StateWaiting}}}, nil
		},
	})
	same := func(name string, got, want any, err error) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	secrets := map[string][]byte{"key": {0, 1, 255}}
	f, err := c.Facts(t.Context(), FactsRequest{Full: true})
	same("facts", f, FactsReply{Facts: facts.Facts{Hostname: "true"}, Fence: 7, TrustedState: &seen}, err)
	inspect := InspectRequest{Steps: []step.Spec{spec}, Secrets: secrets}
	i, err := c.Inspect(t.Context(), inspect)
	same("inspect", i, InspectReply{Findings: []StepFinding{found}}, err)
	same("inspect's request", gotInspect, inspect, nil)
	start := TxnStartRequest{Request: txn.Request{Host: "media1", Steps: []step.Spec{spec}}, Secrets: secrets}
	s, err := c.TxnStart(t.Context(), start)
	same("txn.start", s, TxnReply{ID: "t1"}, err)
	same("txn.start's request", gotStart, start, nil)
	restart := TxnRestartRequest{ID: "t9", Secrets: secrets}
	r, err := c.TxnRestart(t.Context(), restart)
	same("txn.restart", r, TxnReply{ID: "t9"}, err)
	same("txn.restart's request", gotRestart, restart, nil)
	l, err := c.TxnList(t.Context())
	same("txn.list", l, TxnListReply{Transactions: []txn.Summary{{ID: "t1", State: txn.StateWaiting}}}, err)
}

func TestEveryMethodSaysThatItIsNotServed(t *testing.T) {
	c, _ := pair(t, Handlers{})
	ctx := t.Context()
	calls := map[string]func() error{
		methodFacts:      func() error { _, err := c.Facts(ctx, FactsRequest{}); return err },
		methodInspect:    func() error { _, err := c.Inspect(ctx, InspectRequest{}); return err },
		methodTxnStart:   func() error { _, err := c.TxnStart(ctx, TxnStartRequest{}); return err },
		methodTxnRestart: func() error { _, err := c.TxnRestart(ctx, TxnRestartRequest{}); return err },
		methodTxnList:    func() error { _, err := c.TxnList(ctx); return err },
		methodTxnFollow:  func() error { _, err := c.TxnFollow(ctx, TxnFollowRequest{}, nil); return err },
		methodLogs:       func() error { return c.Logs(ctx, LogsRequest{}, io.Discard) },
		methodProbe:      func() error { return c.Probe(ctx, probe.Request{}, nil) },
		methodListen:     func() error { return c.Listen(ctx, probe.ListenRequest{}, nil) },
		methodSurvey:     func() error { _, err := c.Survey(ctx, survey.Request{}); return err },
		methodAnswer:     func() error { return c.Answer(ctx, step.Answer{}) },
		methodTxnConfirm: func() error { return c.TxnConfirm(ctx, TxnConfirmRequest{}) },
		methodEngine:     func() error { _, err := c.Engine(ctx, wowza.Access{}); return err },
		methodSolve:      func() error { _, err := c.Solve(ctx, apt.Question{}); return err },
		methodProve:      func() error { _, err := c.Prove(ctx, ProveRequest{}); return err },
		methodSupport:    func() error { return c.Support(ctx, support.Request{}, nil) },
		methodLease:      func() error { _, err := c.Lease(ctx, LeaseRequest{}); return err },
		methodBackups:    func() error { _, err := c.Backups(ctx, BackupsRequest{}); return err },
		methodRevoke:     func() error { _, err := c.Revoke(ctx, RevokeRequest{}); return err },
	}
	for name, call := range calls {
		if err := call(); err == nil || !strings.Contains(err.Error(), "does not serve") {
			t.Errorf("%s: %v", name, err)
		}
	}
	served := Handlers{}.methods(nil)
	if len(served) != len(calls) {
		t.Errorf("the agent has %d methods, the client calls %d", len(served), len(calls))
	}
}

func TestProblemsCrossTheWire(t *testing.T) {
	first := &problem.Error{Kind: problem.Trust, Doing: "pulling", Object: "docker.ipivs.com/valt/web", Err: errors.New("401"), Fix: "log in"}
	second := &problem.Error{Kind: problem.Locked, Doing: "locking", Object: "the host"}
	c, _ := pair(t, Handlers{
		Facts: func(context.Context, FactsRequest) (FactsReply, error) {
			return FactsReply{}, fmt.Errorf("host app1: %w", errors.Join(first, second))
		},
		TxnList: func(context.Context, TxnListRequest) (TxnListReply, error) {
			return TxnListReply{}, fmt.Errorf("reading: %w", io.ErrUnexpectedEOF)
		},
		Logs: func(_ context.Context, _ LogsRequest, out io.Writer) error {
			fmt.Fprint(out, "so far")
			return first
		},
	})
	_, err := c.Facts(t.Context(), FactsRequest{})
	all := problem.All(err)
	if len(all) != 2 || all[0].Kind != problem.Trust || all[1].Kind != problem.Locked || all[0].Fix != "log in" {
		t.Fatalf("got %+v", all)
	}
	if got, want := all[0].Error(), "host app1: "+first.Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := c.TxnList(t.Context()); err == nil || err.Error() != "reading: unexpected EOF" {
		t.Errorf("a plain error came as %v", err)
	}
	var out bytes.Buffer
	err = c.Logs(t.Context(), LogsRequest{}, &out)
	if got := problem.All(err); out.String() != "so far" || len(got) != 1 || got[0].Object != first.Object {
		t.Errorf("logs gave %q, %v", out.String(), err)
	}
}

func TestEventsComeInOrderAndAllBeforeTheEnd(t *testing.T) {
	const events = 20000
	c, _ := pair(t, Handlers{TxnFollow: func(_ context.Context, r TxnFollowRequest, event func(txn.Event) error) (TxnFollowReply, error) {
		for i := r.From; i < events; i++ {
			if err := event(txn.Event{Record: &journal.Record{Seq: i}}); err != nil {
				return TxnFollowReply{}, err
			}
		}
		return TxnFollowReply{Result: txn.Result{Outcome: txn.Done, Changed: 3}}, nil
	}})
	next := int64(5)
	reply, err := c.TxnFollow(t.Context(), TxnFollowRequest{ID: "t1", From: 5}, func(e txn.Event) error {
		if e.Record == nil || e.Record.Seq != next {
			t.Fatalf("event %d came as %+v", next, e)
		}
		next++
		return nil
	})
	if err != nil || next != events || reply.Result.Changed != 3 {
		t.Errorf("followed to %d of %d: %+v, %v", next, events, reply.Result, err)
	}
}

// TestCancelReachesTheHost: a call that was given up ends there too, and others go on.
func TestCancelReachesTheHost(t *testing.T) {
	begun, ended := make(chan struct{}, 2), make(chan error, 2)
	waits := func(ctx context.Context) error {
		begun <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}
	c, _ := pair(t, Handlers{
		Inspect: func(ctx context.Context, _ InspectRequest) (InspectReply, error) { return InspectReply{}, waits(ctx) },
		TxnFollow: func(ctx context.Context, _ TxnFollowRequest, _ func(txn.Event) error) (TxnFollowReply, error) {
			return TxnFollowReply{}, waits(ctx)
		},
		TxnList: func(context.Context, TxnListRequest) (TxnListReply, error) { return TxnListReply{}, nil },
	})
	for name, call := range map[string]func(context.Context) error{
		"a call":      func(ctx context.Context) error { _, err := c.Inspect(ctx, InspectRequest{}); return err },
		"a following": func(ctx context.Context) error { _, err := c.TxnFollow(ctx, TxnFollowRequest{}, nil); return err },
	} {
		ctx, cancel := context.WithCancel(t.Context())
		given := make(chan error, 1)
		go func() { given <- call(ctx) }()
		<-begun
		cancel()
		if err := <-given; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v", name, err)
		}
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("%s: the host's ended with %v", name, err)
		}
		if _, err := c.TxnList(t.Context()); err != nil {
			t.Errorf("%s: the next call: %v", name, err)
		}
	}
}

func TestFollowerWhoFailsEndsTheFollowingAlone(t *testing.T) {
	full := errors.New("the terminal is gone")
	c, _ := pair(t, Handlers{
		TxnFollow: func(ctx context.Context, _ TxnFollowRequest, event func(txn.Event) error) (TxnFollowReply, error) {
			for ctx.Err() == nil {
				if err := event(txn.Event{}); err != nil {
					return TxnFollowReply{}, err
				}
			}
			return TxnFollowReply{}, ctx.Err()
		},
		TxnList: func(context.Context, TxnListRequest) (TxnListReply, error) { return TxnListReply{}, nil },
	})
	_, err := c.TxnFollow(t.Context(), TxnFollowRequest{}, func(txn.Event) error { return full })
	if !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	if _, err := c.TxnList(t.Context()); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

// TestNothingOutlivesTheChannel: a lost controller cancels what runs, and Serve returns after it.
func TestNothingOutlivesTheChannel(t *testing.T) {
	begun, finished := make(chan struct{}), false
	c, ended := pair(t, Handlers{Inspect: func(ctx context.Context, _ InspectRequest) (InspectReply, error) {
		close(begun)
		<-ctx.Done()
		finished = true
		return InspectReply{}, ctx.Err()
	}})
	given := make(chan error, 1)
	go func() {
		_, err := c.Inspect(t.Context(), InspectRequest{})
		given <- err
	}()
	<-begun
	c.mux.session.Close()
	if err := <-ended; err != nil || !finished {
		t.Errorf("Serve returned %v, the call had finished: %v", err, finished)
	}
	if err := <-given; err == nil || !strings.Contains(err.Error(), "app1") {
		t.Errorf("the call gave %v", err)
	}
	if _, err := c.TxnList(t.Context()); err == nil || !strings.Contains(err.Error(), "app1") {
		t.Errorf("a call after the end gave %v", err)
	}
}

func TestServeEndsWithItsContext(t *testing.T) {
	here, there := net.Pipe()
	defer here.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Serve(ctx, there, Handlers{}); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestStreamsBesideTheCalls(t *testing.T) {
	echo := func(_ context.Context, s net.Conn) {
		line, err := bufio.NewReader(s).ReadString('\n')
		fmt.Fprintf(s, "%s%v", strings.ToUpper(line), err)
	}
	c, _ := pair(t, Handlers{Streams: map[string]StreamHandler{"echo": echo}})
	s, err := c.Open("echo")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(s, "bytes in bulk")
	got, err := io.ReadAll(s)
	if string(got) != "BYTES IN BULK\n<nil>" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestHostOpensStreamsToTheController(t *testing.T) {
	here, there := net.Pipe()
	ready := make(chan Opener, 1)
	go Serve(t.Context(), there, Handlers{Controller: func(open Opener) { ready <- open }})
	c, err := NewClient(t.Context(), here, "app1", map[string]StreamHandler{"blobs": func(_ context.Context, s net.Conn) {
		line, _ := bufio.NewReader(s).ReadString('\n')
		fmt.Fprint(s, strings.ToUpper(line))
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := (<-ready)("blobs")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(s, "sha256")
	if got, err := io.ReadAll(s); string(got) != "SHA256\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestUnknownParametersAreRefused(t *testing.T) {
	c, _ := pair(t, Handlers{TxnList: func(context.Context, TxnListRequest) (TxnListReply, error) { return TxnListReply{}, nil }})
	_, err := call[TxnListReply](t.Context(), c, methodTxnList, map[string]int{"surprise": 1})
	if err == nil || !strings.Contains(err.Error(), "surprise") {
		t.Errorf("got %v", err)
	}
}

func BenchmarkCall(b *testing.B) {
	c, _ := pair(b, Handlers{Facts: func(context.Context, FactsRequest) (FactsReply, error) { return FactsReply{}, nil }})
	for b.Loop() {
		if _, err := c.Facts(b.Context(), FactsRequest{}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAFollowingThatIsGivenUpBeforeItIsAskedForEnds(t *testing.T) {
	c, _ := pair(t, Handlers{TxnFollow: func(ctx context.Context, _ TxnFollowRequest, _ func(txn.Event) error) (TxnFollowReply, error) {
		<-ctx.Done()
		return TxnFollowReply{}, ctx.Err()
	}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := c.TxnFollow(ctx, TxnFollowRequest{ID: "t1"}, func(txn.Event) error { return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// A connection that is not to be served any more is answered nothing, and ends by itself.
func TestAConnectionEndsOnceItIsNotToBeServed(t *testing.T) {
	var revoked atomic.Bool
	asked := 0
	c, ended := pair(t, Handlers{
		Facts: func(context.Context, FactsRequest) (FactsReply, error) { asked++; return FactsReply{}, nil },
		TxnFollow: func(ctx context.Context, _ TxnFollowRequest, _ func(txn.Event) error) (TxnFollowReply, error) {
			<-ctx.Done()
			return TxnFollowReply{}, ctx.Err()
		},
		Still: func() error {
			if revoked.Load() {
				return &problem.Error{Kind: problem.Trust, Doing: "refusing", Err: errors.New("it was revoked")}
			}
			return nil
		},
	})
	if _, err := c.Facts(t.Context(), FactsRequest{}); err != nil || asked != 1 {
		t.Fatal(asked, err)
	}
	streaming := make(chan error, 1)
	go func() {
		_, err := c.TxnFollow(t.Context(), TxnFollowRequest{ID: "t1"}, nil)
		streaming <- err
	}()
	revoked.Store(true)
	if _, err := c.Facts(t.Context(), FactsRequest{}); err == nil || asked != 1 {
		t.Errorf("it is answered: %v", err)
	}
	if err := <-streaming; err == nil {
		t.Error("what streams goes on")
	}
	<-ended
}

// An answer that is too long is told as such: without an answer its caller would wait for ever.
func TestAnAnswerThatIsTooLongIsAnError(t *testing.T) {
	c, _ := pair(t, Handlers{
		Facts: func(context.Context, FactsRequest) (FactsReply, error) {
			return FactsReply{Facts: facts.Facts{Hostname: strings.Repeat("x", MaxMessage)}}, nil
		},
		TxnList: func(context.Context, TxnListRequest) (TxnListReply, error) { return TxnListReply{}, nil },
	})
	if _, err := c.Facts(t.Context(), FactsRequest{}); err == nil || !strings.Contains(err.Error(), "answering facts") {
		t.Errorf("got %v", err)
	}
	if _, err := c.TxnList(t.Context()); err != nil {
		t.Errorf("the next call: %v", err)
	}
}

// Calls that are given up leave nothing behind that would count against the limits.
func TestManyCallsThatAreGivenUp(t *testing.T) {
	c, _ := pair(t, Handlers{
		TxnFollow: func(ctx context.Context, _ TxnFollowRequest, event func(txn.Event) error) (TxnFollowReply, error) {
			if err := event(txn.Event{}); err != nil {
				return TxnFollowReply{}, err
			}
			<-ctx.Done()
			return TxnFollowReply{}, ctx.Err()
		},
		TxnList: func(context.Context, TxnListRequest) (TxnListReply, error) { return TxnListReply{}, nil },
	})
	for range 2 * OfAController().Streams {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := c.TxnFollow(ctx, TxnFollowRequest{}, func(txn.Event) error { cancel(); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	if _, err := c.TxnList(t.Context()); err != nil {
		t.Errorf("the next call: %v", err)
	}
}
