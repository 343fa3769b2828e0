package scenario

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// rehearsal runs a campaign of three scenarios of which the named one fails, and tells
// which were run and what was printed.
func rehearsal(t *testing.T, c Campaign, o Options, failing string) (ran []string, out string) {
	t.Helper()
	var all []Scenario
	for _, name := range []string{"first", "second", "third"} {
		all = append(all, Scenario{Name: name, Summary: name, Run: func(_ context.Context, e *Env) error {
			ran = append(ran, name)
			if name == failing {
				return errors.New("it is broken")
			}
			return nil
		}})
	}
	var text bytes.Buffer
	o.Out, o.Now = &text, func() time.Time { return time.Unix(0, 0) }
	passed, err := c.Run(t.Context(), all, nil, o)
	if err != nil {
		t.Fatal(err)
	}
	if passed != (failing == "") {
		t.Errorf("passed: %v, with %q failing", passed, failing)
	}
	return ran, text.String()
}

func product(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "valtctl")
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCampaignCountsAndGoesOnAfterAFailure(t *testing.T) {
	ran, out := rehearsal(t, Campaign{}, Options{Seed: 7, Valtctl: product(t, "a")}, "second")
	if !slices.Equal(ran, []string{"first", "second", "third"}) {
		t.Errorf("ran %v", ran)
	}
	if !strings.HasPrefix(out, "seed 7\n") || !strings.HasSuffix(out, "\nseed 7: 2 passed, 1 failed\n") {
		t.Errorf("printed:\n%s", out)
	}
}

func TestCampaignResumes(t *testing.T) {
	build, file := product(t, "a"), filepath.Join(t.TempDir(), "campaign.json")
	rehearsal(t, Campaign{File: file}, Options{Seed: 7, Valtctl: build}, "second")
	for _, c := range []struct {
		name     string
		campaign Campaign
		options  Options
		ran      int
	}{
		{"the same seed", Campaign{File: file, Resume: true, SeedGiven: true}, Options{Seed: 7, Valtctl: build}, 1},
		{"no seed given", Campaign{File: file, Resume: true}, Options{Seed: 9, Valtctl: build}, 1},
		{"another seed", Campaign{File: file, Resume: true, SeedGiven: true}, Options{Seed: 9, Valtctl: build}, 3},
		{"another build", Campaign{File: file, Resume: true}, Options{Seed: 7, Valtctl: product(t, "b")}, 3},
		{"a sample", Campaign{File: file, Resume: true}, Options{Seed: 7, Sample: true, Valtctl: build}, 3},
		{"not to be resumed", Campaign{File: file}, Options{Seed: 7, Valtctl: build}, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			kept, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if ran, out := rehearsal(t, c.campaign, c.options, ""); len(ran) != c.ran {
				t.Errorf("ran %v, want %d:\n%s", ran, c.ran, out)
			}
			if err := os.WriteFile(file, kept, 0o644); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestDamagedCampaignFileIsNamed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "campaign.json")
	if err := os.WriteFile(file, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Campaign{File: file, Resume: true}.Run(t.Context(), nil, nil, Options{Valtctl: product(t, "a"), Out: &bytes.Buffer{}})
	if err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
}

// The sample of a campaign runs what is apart beside what shares, and nothing beside what
// is alone; a whole one runs all in its order.
func TestCampaignRunsInParallel(t *testing.T) {
	for _, sample := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			var log []string
			note := func(text string) {
				mu.Lock()
				defer mu.Unlock()
				log = append(log, text)
			}
			scenario := func(name string, c Parallel) Scenario {
				return Scenario{Name: name, Parallel: c, Run: func(context.Context, *Env) error {
					note(name + " begins")
					time.Sleep(time.Minute)
					note(name + " ends")
					return nil
				}}
			}
			all := []Scenario{scenario("guest", Apart), scenario("first", Alone), scenario("second", Shares), scenario("third", Alone)}
			var out bytes.Buffer
			passed, err := Campaign{}.Run(t.Context(), all, nil, Options{Seed: 7, Sample: sample, Valtctl: product(t, "a"), Now: time.Now, Out: &out})
			if err != nil || !passed || strings.Count(out.String(), "\nPASS ") != 4 || !strings.HasSuffix(out.String(), "seed 7: 4 passed, 0 failed\n") {
				t.Fatalf("%v, %v:\n%s", passed, err, out.String())
			}
			where := func(text string) int { return slices.Index(log, text) }
			if !sample {
				if where("guest ends") > where("first begins") {
					t.Errorf("out of order: %q", log)
				}
				return
			}
			if where("guest begins") < where("first ends") || where("guest ends") > where("third begins") || where("guest begins") > where("second ends") {
				t.Errorf("in the wrong place: %q", log)
			}
		})
	}
}
