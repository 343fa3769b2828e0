package lease

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/repos/problem"
)

// host is one host with a boot clock that a test sets.
type host struct {
	*Store
	t    *testing.T
	boot string
	up   time.Duration
}

func newHost(t *testing.T) *host {
	h := &host{t: t, boot: "first", up: time.Hour}
	h.Store = &Store{Dir: t.TempDir(), Now: time.Now, Boot: func() (string, time.Duration, error) { return h.boot, h.up, nil }}
	return h
}

func (h *host) take(run string, token int64) (agent.LeaseReply, error) {
	return h.Do(agent.LeaseRequest{Action: agent.LeaseTake, Who: "pat@" + run, Run: run, Token: token, Seconds: 60})
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
			if _, err := h.Do(agent.LeaseRequest{Action: agent.LeaseBreak, Who: "kim", Reason: "laptop lost"}); err != nil {
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
	if _, err := h.Do(agent.LeaseRequest{Action: agent.LeaseBreak, Who: "kim"}); problem.KindOf(err) != problem.Input {
		t.Error("it was broken without a reason:", err)
	}
	if _, err := h.Do(agent.LeaseRequest{Action: agent.LeaseBreak, Who: "kim", Reason: "laptop lost"}); err != nil {
		t.Fatal(err)
	}
	shown, err := h.Do(agent.LeaseRequest{Action: agent.LeaseShow})
	if err != nil || shown.Left != 0 || !strings.Contains(shown.Broken, "pat@a of run a, by kim: laptop lost") {
		t.Errorf("%+v, %v", shown, err)
	}
	if next := h.mustTake("b"); next.Token != 2 {
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
