package lease

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/repos/durable/durabletest"
	"ipivs.com/valtctl/repos/plain"
	"ipivs.com/valtctl/repos/problem"
)

// states are what may have become of a file of ours.
func states(t *testing.T) map[string]func(path string) {
	write := func(text string) func(string) {
		return func(path string) {
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	numbers := map[string]string{"the last number": fmt.Sprint(last), "beyond the last": fmt.Sprint(int64(last) + 1), "the last that there is": fmt.Sprint(int64(math.MaxInt64)),
		"none": "0", "negative": "-7", "the least that there is": fmt.Sprint(int64(math.MinInt64)), "too large": "9223372036854775808", "a fraction": "4.5", "a word": `"four"`, "without end": "1e999"}
	all := map[string]func(string){
		"gone": func(path string) { must(os.RemoveAll(path)) }, "empty": write(""), "torn": write(`{"highest":4`), "zeroes": write(strings.Repeat("\x00", 512)),
		"null": write("null"), "a list": write("[]"), "no fields": write("{}"), "two values": write(`{"highest":4}{"highest":5}`), "bytes": write("\xff\xfe\x00{"),
		"huge":            write(`{"highest":4,"x":"` + strings.Repeat("x", maxFile) + `"}`),
		"a folder":        func(path string) { must(os.RemoveAll(path)); must(os.Mkdir(path, 0o755)) },
		"a folder in use": func(path string) { must(os.RemoveAll(path)); must(os.MkdirAll(filepath.Join(path, "a", "b"), 0o755)) },
		"a folder again": func(path string) {
			must(os.MkdirAll(filepath.Join(aside(path), "x"), 0o755))
			must(os.RemoveAll(path))
			must(os.Mkdir(path, 0o755))
		},
		"a link to nothing": func(path string) { must(os.RemoveAll(path)); must(os.Symlink("nothing", path)) },
		"a link to itself":  func(path string) { must(os.RemoveAll(path)); must(os.Symlink(filepath.Base(path), path)) },
		"a pipe":            func(path string) { must(os.RemoveAll(path)); must(syscall.Mkfifo(path, 0o600)) },
	}
	for name, n := range numbers {
		all[name] = write(`{"highest":` + n + `,"token":` + n + `}`)
	}
	return all
}

// says are the states that are told otherwise: where there is nothing no run was seen, and any is
// let in; at the last number a former one is outranked.
var says = map[string]bool{"gone": true, "the last number": true}

// Whatever became of what a host remembers of runs, it lets no run in that it cannot place, one
// break leads out of it, and no former run acts after that.
func TestBreakingLeadsOutOfEveryState(t *testing.T) {
	for _, file := range []string{"fence.json", "lease.json", ".lease-guard", "fence.json lease.json .lease-guard"} {
		for name, spoil := range states(t) {
			t.Run(file+" "+name, func(t *testing.T) {
				h := newHost(t)
				former := h.mustTake("former")
				for f := range strings.FieldsSeq(file) {
					spoil(filepath.Join(h.Dir, f))
				}
				if file == "fence.json" && !says[name] {
					if err := h.While(former.Token+1, func() error { return nil }); err == nil || !fixedByABreak(err) {
						t.Errorf("a run was let in, or is told nothing of use: %v", err)
					}
				}
				token, err := h.brk("disk trouble")
				if err != nil {
					t.Fatal(err)
				}
				for _, old := range []int64{former.Token, former.Token + 1, last, math.MaxInt64, 0, -1} {
					if err := h.While(old, func() error { t.Errorf("a former run with %d acts", old); return nil }); err == nil {
						t.Errorf("the token %d was let in", old)
					}
				}
				if err := h.renew("former", former.Token); err == nil {
					t.Error("the former run renews its lease")
				}
				next, err := h.take("next", 0)
				if err != nil || next.Token != token+1 {
					t.Fatalf("%+v, %v", next, err)
				}
				acted := false
				if err := h.While(next.Token, func() error { acted = true; return nil }); err != nil || !acted {
					t.Errorf("the next run changes nothing: %v", err)
				}
				if err := h.renew("next", next.Token); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func fixedByABreak(err error) bool {
	return strings.Contains(problem.All(err)[0].Fix, "valtctl lock break --reason")
}

// A lease at the end of its numbers says so before nobody can change the site any more.
func TestTheNumbersEndWithAWayOut(t *testing.T) {
	for _, r := range []int64{last, last - 1, math.MaxInt64} {
		h := newHost(t)
		_, err := h.take("a", r)
		if r < last && err != nil || r >= last && (err == nil || !fixedByABreak(err) || !strings.Contains(err.Error(), "at their end")) {
			t.Errorf("after %d: %v", r, err)
		}
	}
}

// One who has seen a run takes the next thousand, and no number beyond.
func TestTokensGoASmallWay(t *testing.T) {
	h := newHost(t)
	if err := h.Admit(7); err != nil {
		t.Fatal(err)
	}
	if err := h.Admit(7 + Jump + 1); problem.KindOf(err) != problem.Failed || !fixedByABreak(err) {
		t.Errorf("a jump was taken: %v", err)
	}
	if _, err := h.take("a", 7+Jump); err == nil || !fixedByABreak(err) {
		t.Errorf("a jump was given out: %v", err)
	}
	if err := h.Admit(7 + Jump); err != nil {
		t.Error(err)
	}
}

// No former run is near to where a site begins anew, and numbers are left after it.
func TestSitesBeginAnewFarFromWhereTheyWere(t *testing.T) {
	seen := map[int64]bool{}
	for range 1000 {
		token := Fresh()
		if token < 1<<40 || token >= 1<<52 || seen[token] {
			t.Fatalf("a site begins anew from %d", token)
		}
		seen[token] = true
	}
	h := newHost(t)
	for _, token := range []int64{0, -1, last, math.MaxInt64} {
		if _, err := h.Do(agent.LeaseRequest{Action: agent.LeaseBreak, Reason: "x", Token: token}); err == nil {
			t.Errorf("it begins anew from %d", token)
		}
	}
}

// A full disk keeps nobody from breaking a lease: what is there is written over.
func TestAFullDiskLetsALeaseBeBroken(t *testing.T) {
	for _, file := range []string{"", "fence.json", "lease.json"} {
		for name, spoil := range states(t) {
			if file != "" && (name == "gone" || name == "huge") { // one that is not there needs room; a huge one is slow
				continue
			}
			t.Run(file+" "+name, func(t *testing.T) {
				h := newHost(t)
				former, err := h.Do(agent.LeaseRequest{Action: agent.LeaseTake, Who: "pat@desk", Run: "former", Seconds: 60, Rollout: json.RawMessage(`{"to":"6.4.2"}`)})
				if err != nil {
					t.Fatal(err)
				}
				folder := false
				if file != "" {
					spoil(filepath.Join(h.Dir, file))
					info, err := os.Lstat(filepath.Join(h.Dir, file))
					folder = err == nil && !info.Mode().IsRegular()
				}
				disk := durabletest.New(t, h.Dir)
				disk.Fail(func(c durabletest.Call) error {
					if c.Name == "write" && (strings.HasSuffix(c.Path, ".new") && !folder) {
						return syscall.ENOSPC
					}
					return nil
				})
				token, err := h.brk("disk trouble")
				if err != nil {
					t.Fatal(err)
				}
				if err := h.While(former.Token, func() error { return nil }); problem.KindOf(err) != problem.Locked {
					t.Errorf("the former run acts: %v", err)
				}
				disk.Fail(nil)
				next, err := h.take("next", 0)
				if err != nil || next.Token != token+1 || file == "" && string(next.Rollout) != `{"to":"6.4.2"}` {
					t.Errorf("%+v, %v", next, err)
				}
			})
		}
	}
}

// A power cut in the middle of a break leaves the former run outranked, or the host closed, or
// everything as it was; and the break can be made again.
func TestAPowerCutInABreak(t *testing.T) {
	for name, spoil := range map[string]func(string){"whole": func(string) {}, "a folder": states(t)["a folder in use"], "torn": states(t)["torn"]} {
		for at := 1; ; at++ {
			cut := false
			for seed := range uint64(4) {
				h := newHost(t)
				former := h.mustTake("former")
				spoil(h.fenceFile())
				disk := durabletest.New(t, h.Dir)
				disk.Fail(func(c durabletest.Call) error {
					if c.N == at {
						cut = true
						return syscall.EIO
					}
					return nil
				})
				_, first := h.brk("disk trouble")
				disk.Fail(nil)
				disk.PowerCut(seed)
				if err := h.While(former.Token, func() error { return nil }); err == nil && (first == nil || name != "whole") {
					t.Errorf("%s, call %d, seed %d: the former run acts; the break said %v", name, at, seed, first)
				}
				if _, err := h.brk("again"); err != nil {
					t.Errorf("%s, call %d, seed %d: %v", name, at, seed, err)
				}
				if _, err := h.take("next", 0); err != nil {
					t.Errorf("%s, call %d, seed %d: %v", name, at, seed, err)
				}
			}
			if !cut {
				break
			}
		}
	}
}

// While a person's run changes the site the key of unattended runs changes nothing, with no token.
func TestAPersonsRunKeepsTheKeyOut(t *testing.T) {
	h := newHost(t)
	key := *h.Store
	key.Key = true
	tell := func(s *Store, a agent.LeaseAction, token int64) error {
		_, err := s.Do(agent.LeaseRequest{Action: a, Who: "kim@desk", Run: "persons", Token: token, Seconds: maxAttended})
		return err
	}
	tries := func() error { // the very token of the person, a next one, and being announced with one
		var worked []int64
		for _, token := range []int64{5, 6, 7} {
			if key.While(token, func() error { return nil }) == nil || tell(&key, agent.LeaseFence, token) == nil {
				worked = append(worked, token)
			}
		}
		if len(worked) > 0 {
			return fmt.Errorf("the key is let in with %d", worked)
		}
		return nil
	}
	if err := tell(&key, agent.LeaseFence, 4); err != nil {
		t.Fatal(err)
	}
	if err := key.While(4, func() error { return nil }); err != nil {
		t.Fatal("nobody is there, and the key is kept out:", err)
	}
	if err := tell(h.Store, agent.LeaseFence, 5); err != nil {
		t.Fatal(err)
	}
	if err := tries(); err != nil {
		t.Error(err)
	}
	if err := tell(&key, agent.LeaseRelease, 5); err != nil {
		t.Fatal(err)
	}
	if err := tries(); err != nil {
		t.Error("the key ends a person's run itself:", err)
	}
	if err := h.While(5, func() error { return nil }); err != nil {
		t.Error("the person's own run is kept out:", err)
	}
	h.up += Attended - time.Second
	if err := tell(h.Store, agent.LeaseFence, 5); err != nil { // it goes on
		t.Fatal(err)
	}
	h.up += Attended - time.Second
	if err := tries(); err != nil {
		t.Error(err)
	}
	if err := tell(h.Store, agent.LeaseRelease, 5); err != nil {
		t.Fatal(err)
	}
	if err := key.While(6, func() error { return nil }); err != nil {
		t.Error("the person has left, and the key is kept out:", err)
	}
}

// A person's run that is gone without a word keeps the key out for a while; so does a break.
func TestAPersonsRunThatIsGoneKeepsTheKeyOutForAWhile(t *testing.T) {
	h := newHost(t)
	key := *h.Store
	key.Key = true
	token, err := h.brk("the key was stolen")
	if err != nil {
		t.Fatal(err)
	}
	if err := key.While(token+1, func() error { return nil }); problem.KindOf(err) != problem.Locked {
		t.Errorf("a break leaves the key: %v", err)
	}
	h.up += Attended
	key.Boot = h.Boot
	if err := key.While(token+1, func() error { return nil }); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(h.attendedFile(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := key.While(token+1, func() error { return nil }); err == nil {
		t.Error("whether a person is there cannot be read, and the key is let in")
	}
}

// Whatever stands in the files, nothing panics, nobody is let in by a number that no site gave
// out, and a break leads to a next run.
func FuzzFiles(f *testing.F) {
	for _, s := range []string{"", "{}", `{"highest":9007199254740991}`, `{"token":-1,"rollout":7}`, "\x00", `{"highest":3,"token":2,"run":"a","until_ns":1e18}`} {
		f.Add([]byte(s), []byte(s))
	}
	f.Fuzz(func(t *testing.T, fenceText, leaseText []byte) {
		h := newHost(t)
		for path, text := range map[string][]byte{h.fenceFile(): fenceText, h.leaseFile(): leaseText} {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		highest, err := h.Highest()
		if err == nil && (highest < 1 || highest > last) {
			t.Fatalf("the fence is at %d", highest)
		}
		if r, err := h.take("a", 0); err == nil && (r.Token <= highest || r.Token > last || r.Token > highest+Jump) {
			t.Fatalf("after %d it gives out %d", highest, r.Token)
		}
		token, err := h.brk("fuzzing")
		if err != nil {
			t.Fatal(err)
		}
		if next, err := h.take("next", 0); err != nil || next.Token != token+1 {
			t.Fatalf("%+v, %v", next, err)
		}
	})
}

// Whoever looks at what a host keeps of runs, with a program that obeys what it is shown, is shown what was
// said; and it is what was said.
func TestWhatAHostKeepsOfRunsCanBeLookedAt(t *testing.T) {
	const word = "pat\u009b2J\u202Exe\u200B\U000E0041\x1b[2J"
	h := newHost(t)
	h.mustTake(word)
	if _, err := h.brk(word); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"lease.json", "fence.json"} {
		text, err := os.ReadFile(filepath.Join(h.Dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if shown := plain.Text(string(text)); shown != string(text) {
			t.Errorf("%s has %s, of which a reader sees something else", file, shown)
		}
	}
	var l kept
	if err := read(filepath.Join(h.Dir, "lease.json"), &l); err != nil || strings.Count(l.Broken, word) < 2 {
		t.Errorf("it is %q now, %v", l.Broken, err)
	}
}
