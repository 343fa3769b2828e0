package lease

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/repos/durable/durabletest"
	"ipivs.com/valtctl/repos/problem"
)

// host is one host with a boot clock that a test sets.
type host struct {
	*Store
	t    *testing.T
	boot string
	up   time.Duration
}

// Admit has a run with this token do nothing.
func (h *host) Admit(token int64) error { return h.While(token, func() error { return nil }) }

func newHost(t *testing.T) *host {
	h := &host{t: t, boot: "first", up: time.Hour}
	h.Store = &Store{Dir: t.TempDir(), Memory: t.TempDir(), Now: time.Now, Boot: func() (string, time.Duration, error) { return h.boot, h.up, nil }}
	return h
}

func (h *host) take(run string, token int64) (agent.LeaseReply, error) {
	return h.Do(agent.LeaseRequest{Action: agent.LeaseTake, Who: "pat@" + run, Run: run, Token: token, Seconds: 60})
}

// brk breaks the lease, and returns what the host begins anew from.
func (h *host) brk(reason string) (int64, error) {
	token := Fresh()
	_, err := h.Do(agent.LeaseRequest{Action: agent.LeaseBreak, Who: "kim", Reason: reason, Token: token})
	return token, err
}

func (h *host) mustTake(run string) agent.LeaseReply {
	h.t.Helper()
	r, err := h.take(run, 0)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func (h *host) renew(run string, token int64) error {
	_, err := h.Do(agent.LeaseRequest{Action: agent.LeaseRenew, Run: run, Token: token, Seconds: 60})
	return err
}

func TestOneRunAtATime(t *testing.T) {
	h := newHost(t)
	first := h.mustTake("a")
	if first.Token != 1 || first.Left != 60 {
		t.Errorf("%+v", first)
	}
	_, err := h.take("b", 0)
	if problem.KindOf(err) != problem.Locked || !strings.Contains(err.Error(), "pat@a") || !strings.Contains(fmt.Sprintf("%+v", problem.All(err)[0].Fix), "lock break") {
		t.Errorf("a second run took it: %v", err)
	}
	h.up += 50 * time.Second
	if err := h.renew("a", first.Token); err != nil {
		t.Error(err)
	}
	h.up += 50 * time.Second
	if _, err := h.take("b", 0); problem.KindOf(err) != problem.Locked {
		t.Error("a renewed lease was taken:", err)
	}
	if _, err := h.Do(agent.LeaseRequest{Action: agent.LeaseRelease, Run: "a", Token: first.Token}); err != nil {
		t.Error(err)
	}
	if second := h.mustTake("b"); second.Token != 2 {
		t.Errorf("%+v", second)
	}
	if _, err := h.Do(agent.LeaseRequest{Action: agent.LeaseRelease, Run: "a", Token: first.Token}); err != nil {
		t.Error("giving it back twice:", err)
	}
	if shown, _ := h.Do(agent.LeaseRequest{Action: agent.LeaseShow}); shown.Run != "b" {
		t.Errorf("the first run gave back the second one's: %+v", shown)
	}
}

func TestAPausedHolderLosesIt(t *testing.T) {
	for name, between := range map[string]func(h *host){
		"expired":           func(h *host) { h.up += time.Hour },
		"expired and taken": func(h *host) { h.up += time.Hour; h.mustTake("b") },
		"the host rebooted": func(h *host) { h.boot, h.up = "second", time.Second },
		"broken": func(h *host) {
			if _, err := h.brk("laptop lost"); err != nil {
				h.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			first := h.mustTake("a")
			between(h)
			if err := h.renew("a", first.Token); problem.KindOf(err) != problem.Locked {
				t.Error("it was renewed:", err)
			}
		})
	}
}

func TestAnOldTokenChangesNothing(t *testing.T) {
	h := newHost(t)
	first := h.mustTake("a")
	h.up += time.Hour
	second := h.mustTake("b")
	if err := h.Admit(second.Token); err != nil {
		t.Error(err)
	}
	for _, old := range []int64{first.Token, 0} {
		if err := h.Admit(old); problem.KindOf(err) != problem.Locked {
			t.Errorf("the token %d was let in: %v", old, err)
		}
	}
}

func TestAReinstalledHostHandsOutNoOldToken(t *testing.T) {
	media := newHost(t)
	if err := media.Admit(41); err != nil {
		t.Fatal(err)
	}
	highest, err := media.Highest()
	if err != nil {
		t.Fatal(err)
	}
	app := newHost(t) // with nothing on its disk
	if got, err := app.take("a", highest); err != nil || got.Token != 42 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestBreakingSaysWhy(t *testing.T) {
	h := newHost(t)
	h.mustTake("a")
	if _, err := h.brk(""); problem.KindOf(err) != problem.Input {
		t.Error("it was broken without a reason:", err)
	}
	token, err := h.brk("laptop lost")
	if err != nil {
		t.Fatal(err)
	}
	shown, err := h.Do(agent.LeaseRequest{Action: agent.LeaseShow})
	if err != nil || shown.Left != 0 || !strings.Contains(shown.Broken, "pat@a of run a, by kim: laptop lost") {
		t.Errorf("%+v, %v", shown, err)
	}
	if next := h.mustTake("b"); next.Token != token+1 {
		t.Errorf("%+v", next)
	}
}

func TestTheRolloutOutlivesItsLease(t *testing.T) {
	h := newHost(t)
	first, err := h.Do(agent.LeaseRequest{Action: agent.LeaseTake, Run: "a", Seconds: 60, Rollout: json.RawMessage(`{"to":"6.4.2"}`)})
	if err != nil {
		t.Fatal(err)
	}
	h.boot = "second"
	next := h.mustTake("b")
	if string(next.Rollout) != `{"to":"6.4.2"}` {
		t.Errorf("%+v", next)
	}
	_, err = h.Do(agent.LeaseRequest{Action: agent.LeaseRenew, Run: "b", Token: next.Token, Seconds: 60, Rollout: json.RawMessage("null")})
	if shown, _ := h.Do(agent.LeaseRequest{Action: agent.LeaseShow}); err != nil || shown.Rollout != nil {
		t.Errorf("%+v, %v; taken with %+v", shown, err, first)
	}
	if _, err := h.Do(agent.LeaseRequest{Action: agent.LeaseTake, Run: "b", Seconds: 60, Rollout: make([]byte, maxRollout+1)}); err == nil {
		t.Error("more was kept than may be")
	}
}

func TestOfManyAtOnceOneTakesIt(t *testing.T) {
	h := newHost(t)
	var wg sync.WaitGroup
	won := make(chan string, 20)
	for i := range 20 {
		wg.Go(func() {
			run := fmt.Sprint("run-", i)
			if _, err := h.take(run, 0); err == nil {
				won <- run
			} else if problem.KindOf(err) != problem.Locked {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Errorf("%d runs hold it", len(won))
	}
}

// A token that was admitted stays the least that is, whoever asks at the same time.
func TestTheFenceNeverFalls(t *testing.T) {
	for range 50 {
		h := newHost(t)
		var wg sync.WaitGroup
		var admitted atomic.Int64
		for token := int64(1); token <= 8; token++ {
			wg.Go(func() {
				if h.Admit(token) == nil {
					for {
						was := admitted.Load()
						if token <= was || admitted.CompareAndSwap(was, token) {
							return
						}
					}
				}
			})
		}
		wg.Wait()
		if high, err := h.Highest(); err != nil || high != admitted.Load() {
			t.Fatalf("%d was admitted, and the fence is at %d, %v", admitted.Load(), high, err)
		}
	}
}

// What an admitted run does is done before another one is admitted.
func TestNobodyIsAdmittedWhileSomebodyActs(t *testing.T) {
	h := newHost(t)
	acting, next := make(chan struct{}), make(chan error, 1)
	order := make(chan string, 2)
	err := h.While(5, func() error {
		go func() {
			close(acting)
			next <- h.While(6, func() error { order <- "six"; return nil })
		}()
		<-acting
		time.Sleep(50 * time.Millisecond) // as long as it likes: the other waits
		order <- "five"
		return nil
	})
	if err := errors.Join(err, <-next); err != nil {
		t.Fatal(err)
	}
	if first, second := <-order, <-order; first != "five" || second != "six" {
		t.Error(first, second)
	}
	if err := h.While(5, func() error { t.Error("an outranked run acts"); return nil }); problem.KindOf(err) != problem.Locked {
		t.Error(err)
	}
}

// Whatever became of the lease's file, a person can break it, and the site can be changed again.
func TestADamagedLeaseCanBeBroken(t *testing.T) {
	h := newHost(t)
	first := h.mustTake("a")
	if err := os.WriteFile(h.leaseFile(), []byte(`{"who":"pat`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.take("b", 0); err == nil {
		t.Error("a lease of which nothing is known was taken")
	}
	if _, err := h.brk("power cut"); err != nil {
		t.Fatal(err)
	}
	if next, err := h.take("b", 0); err != nil || next.Token <= first.Token {
		t.Errorf("%+v, %v", next, err)
	}
}

// What cannot be read says nothing of who may change the host: nobody may.
func TestAnUnreadableFenceLetsNobodyIn(t *testing.T) {
	h := newHost(t)
	if err := h.Admit(3); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.fenceFile(), []byte(`{"highest":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.While(9, func() error { t.Error("it was admitted"); return nil }); err == nil {
		t.Error("nobody was told")
	}
	if _, err := h.take("a", 0); err == nil {
		t.Error("a lease was given out")
	}
}

// A power cut anywhere leaves a fence that is no lower than what was admitted.
func TestAPowerCutLowersNoFence(t *testing.T) {
	for at := 1; ; at++ {
		cut := false
		for seed := range uint64(6) {
			h := newHost(t)
			if err := h.Admit(3); err != nil {
				t.Fatal(err)
			}
			disk := durabletest.New(t, h.Dir)
			disk.Fail(func(c durabletest.Call) error {
				if c.N == at {
					cut = true
					return syscall.EIO
				}
				return nil
			})
			admitted := h.Admit(4) == nil
			disk.Fail(nil)
			disk.PowerCut(seed)
			high, err := h.Highest()
			if err != nil || high < 3 || admitted && high < 4 {
				t.Errorf("call %d, seed %d: the fence is at %d, %v; 4 was admitted: %v", at, seed, high, err, admitted)
			}
		}
		if !cut {
			return
		}
	}
}
