package problem

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"
)

func TestErrorSaysWhatWasBeingDoneToWhatAndWhy(t *testing.T) {
	for name, c := range map[string]struct {
		err  *Error
		want string
	}{
		"whole":      {&Error{Doing: "pulling", Object: "docker.ipivs.com/valt/web", Err: errors.New("401")}, "pulling docker.ipivs.com/valt/web: 401"},
		"no cause":   {&Error{Doing: "reading", Object: "site.yaml"}, "reading site.yaml"},
		"only cause": {&Error{Err: errors.New("plain")}, "plain"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.err.Error(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestStrongestKindDecidesTheExitCode(t *testing.T) {
	of := func(k Kind) error { return &Error{Kind: k, Doing: "x"} }
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"nothing special":     {errors.New("x"), 1},
		"input":               {of(Input), 2},
		"check":               {of(Check), 3},
		"halted over check":   {errors.Join(of(Check), of(Halted)), 4},
		"locked over halted":  {errors.Join(of(Locked), of(Halted), of(Check)), 5},
		"input over locked":   {errors.Join(of(Locked), of(Input)), 2},
		"trust over input":    {errors.Join(of(Input), of(Trust), of(Failed)), 6},
		"wrapped and joined":  {fmt.Errorf("host a: %w", errors.Join(errors.New("y"), fmt.Errorf("z: %w", of(Trust)))), 6},
		"a person's own stop": {errors.Join(of(Trust), of(Interrupted)), 130},
	} {
		t.Run(name, func(t *testing.T) {
			if got := KindOf(c.err).ExitCode(); got != c.want {
				t.Errorf("exit code %d, want %d", got, c.want)
			}
		})
	}
}

func TestEveryProblemIsListedOnce(t *testing.T) {
	first := &Error{Kind: Input, Doing: "reading", Object: "a", Fix: "write b"}
	all := All(errors.Join(first, fs.ErrNotExist, fmt.Errorf("host m1: %w", &Error{Kind: Trust, Doing: "checking", Object: "c", Fix: "ask"})))
	if len(all) != 3 {
		t.Fatalf("%d problems: %v", len(all), all)
	}
	if all[0] != first || all[1].Kind != Failed || all[2].Kind != Trust {
		t.Errorf("kinds or order lost: %+v", all)
	}
	if got := all[2].Error(); got != "host m1: checking c" || all[2].Fix != "ask" {
		t.Errorf("what was wrapped around a problem is lost: %q, fix %q", got, all[2].Fix)
	}
	host := All(fmt.Errorf("host m1: %w", errors.Join(errors.New("x"), first)))
	if len(host) != 2 || host[0].Error() != "host m1: x" || host[1].Error() != "host m1: reading a" || host[1].Fix != "write b" {
		t.Errorf("the host is lost from joined problems: %v", host)
	}
	if All(nil) != nil {
		t.Error("no error is no problem")
	}
}
