package cases

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/scenario"
)

func TestMomentIsReachedByItsHostAlone(t *testing.T) {
	line := func(kind, host, index string) []byte {
		return []byte(`{"schema":"valtctl/v1","kind":"event","event":{"kind":"` + kind + `","host":"` + host + `","index":` + index + `}}`)
	}
	for _, c := range []struct {
		name string
		m    moment
		line []byte
		want bool
	}{
		{"its step", moment{host: "app1", index: 7}, line("step", "app1", "7"), true},
		{"a later step, where its own changed nothing", moment{host: "app1", index: 7}, line("progress", "app1", "9"), true},
		{"an earlier step", moment{host: "app1", index: 7}, line("step", "app1", "6"), false},
		{"another host's", moment{host: "app1", index: 7}, line("step", "media1", "7"), false},
		{"the begin", moment{host: "app1"}, line("start", "app1", "0"), true},
		{"a step, when the begin is wanted", moment{host: "app1"}, line("step", "app1", "3"), false},
		{"too late", moment{host: "app1", index: 7}, line("done", "app1", "0"), true},
		{"no event", moment{host: "app1"}, []byte("{"), false},
	} {
		if got := c.m.reached(c.line); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestProductIsKilledAtItsMoment(t *testing.T) {
	product := filepath.Join(t.TempDir(), "valtctl")
	script := "#!/bin/sh\necho '{\"event\":{\"kind\":\"start\",\"host\":\"app1\"}}'\nexec sleep 1000\n"
	if err := os.WriteFile(product, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	e := newEnv(&scenario.Env{Lab: &lab.Lab{}, Valtctl: product, State: t.TempDir()})
	m := moment{host: "app1", after: time.Millisecond}
	u, err := e.launch(t.Context(), m, "install")
	if err != nil {
		t.Fatal(err)
	}
	if err := u.await(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if err := u.kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if u.command.ProcessState.Exited() {
		t.Errorf("it ended by itself: %v", u.command.ProcessState)
	}
}

func TestProductThatEndsTooSoonIsAnError(t *testing.T) {
	e := newEnv(&scenario.Env{Lab: &lab.Lab{}, Valtctl: "/bin/false", State: t.TempDir()})
	m := moment{host: "app1"}
	u, err := e.launch(t.Context(), m, "install")
	if err != nil {
		t.Fatal(err)
	}
	if err := u.await(t.Context(), m); err == nil {
		t.Error("the moment never came, and that is no error")
	}
}

// A product that ends while the moment's while passes is struck anew, sooner each time.
func TestMomentThatIsTooLateComesSooner(t *testing.T) {
	product := filepath.Join(t.TempDir(), "valtctl")
	script := "#!/bin/sh\necho '{\"event\":{\"kind\":\"start\",\"host\":\"app1\",\"index\":9}}'\n"
	if err := os.WriteFile(product, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	e := newEnv(scenario.NewEnv(nil, scenario.Options{Out: io.Discard}))
	e.Lab, e.Valtctl, e.State = &lab.Lab{}, product, t.TempDir()
	prepared := 0
	m := moment{host: "app1", index: 9, after: time.Hour}
	_, last, err := e.strike(t.Context(), m, func() error { prepared++; return nil }, "install")
	if err == nil { // the last moment has no while to pass, so it may be met
		err = errTooLate
	}
	if !errors.Is(err, errTooLate) || last.index != 0 || prepared < 5 {
		t.Errorf("prepared %d times, the last moment %s: %v", prepared, last, err)
	}
}
