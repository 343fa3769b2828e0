package txn

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

func TestCreateRefusesWhatItCannotRunAndWritesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*Request)
		want  []string
	}{
		"another schema":         {func(r *Request) { r.Schema = "valtctl/txn/v9" }, []string{"valtctl/txn/v9"}},
		"no steps":               {func(r *Request) { r.Steps = nil }, []string{"there are none"}},
		"unknown policy":         {func(r *Request) { r.Policy = "hope" }, []string{"hope"}},
		"unknown kind":           {func(r *Request) { r.Steps[0].Kind = "magic" }, []string{`no step kind "magic"`}},
		"unknown parameters":     {func(r *Request) { r.Steps[1].Params = []byte(`{}`) }, []string{"licence", "without a key"}},
		"same id twice":          {func(r *Request) { r.Steps[1].ID = "packages" }, []string{"two steps"}},
		"needs what is later":    {func(r *Request) { r.Steps[0].Needs = []string{"unit"} }, []string{`needs "unit"`}},
		"fetch needs apply":      {func(r *Request) { r.Steps[3].Half = step.Fetch }, []string{`needs "container"`}},
		"unknown half":           {func(r *Request) { r.Steps[3].Half = "later" }, []string{"later"}},
		"several things at once": {func(r *Request) { r.Schema, r.Steps[3].Half = "x", "later" }, []string{`"x"`, "later"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			request, secrets := install(t)
			c.spoil(&request)
			_, err := h.store().Create(request, secrets, h.kinds())
			if problem.KindOf(err) != problem.Input {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in %q", want, err)
				}
			}
			if entries, _ := os.ReadDir(h.root); len(entries) != 0 {
				t.Error("something was written:", entries)
			}
		})
	}
}

func TestCreateRefusesNamesThatMakeNoFile(t *testing.T) {
	h := newHost(t)
	request, _ := install(t)
	for _, name := range []string{"", ".", "..", strings.Repeat("x", 300)} {
		if _, err := h.store().Create(request, map[string][]byte{name: nil}, h.kinds()); problem.KindOf(err) != problem.Input {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestSecretsStayInTheirFolder(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	secrets["../../../etc/passwd"] = []byte("root::0:0")
	id := h.create(request, secrets)
	if _, err := os.Stat(filepath.Join(h.root, "etc")); err == nil {
		t.Error("a secret was written elsewhere")
	}
	got, err := h.store().secret(id, "../../../etc/passwd")
	if err != nil || string(got) != "root::0:0" {
		t.Error(got, err)
	}
	file := h.store().secretFile(id, "licence")
	for path, want := range map[string]os.FileMode{file: 0o600, filepath.Dir(file): 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Error(path, info.Mode(), err)
		}
	}
}

func TestASecondTransactionIsRefusedByName(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	id := h.create(request, secrets)
	_, err := h.store().Create(request, secrets, h.kinds())
	if problem.KindOf(err) != problem.Locked || !strings.Contains(err.Error(), id) {
		t.Fatal(err)
	}
	if fix := problem.All(err)[0].Fix; !strings.Contains(fix, "valtctl resume") {
		t.Error(fix)
	}
}

func TestIDsSortByTimeAndAreSafe(t *testing.T) {
	at := time.Date(2026, 11, 22, 23, 59, 59, 0, time.FixedZone("", 3600))
	older, newer := newID(at), newID(at.Add(time.Second))
	if !isID(older) || !isID(newer) || older >= newer {
		t.Error(older, newer)
	}
	h := newHost(t)
	for _, id := range []string{"", ".", "..", "../x", older + "/..", older + "\n", "x" + older} {
		if _, err := h.store().Execute(t.Context(), id, h.machine(), h.kinds()); problem.KindOf(err) != problem.Input {
			t.Errorf("%q: %v", id, err)
		}
	}
	if _, err := h.store().Execute(t.Context(), older, h.machine(), h.kinds()); problem.KindOf(err) != problem.Input {
		t.Error("one that does not exist:", err)
	}
}

func TestAWaitingTransactionTakesItsSecretsAgain(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	id := h.create(request, secrets)
	h.reboot()
	if s := h.summary(id); s.State != StateWaiting || s.Half != step.Fetch {
		t.Fatalf("%+v", s)
	}
	if result := h.finish(id); result.Outcome != Waiting || len(h.state) != 0 {
		t.Fatalf("%+v, %v", result, h.state)
	}
	err := h.store().Restart(id, nil)
	if problem.KindOf(err) != problem.Input || !strings.Contains(err.Error(), "licence") {
		t.Fatal("without its secrets:", err)
	}
	if err := h.store().Restart(id, secrets); err != nil {
		t.Fatal(err)
	}
	if s := h.summary(id); s.State != StateInterrupted {
		t.Errorf("%+v", s)
	}
	if result := h.finish(id); !result.Complete() {
		t.Errorf("%+v", result)
	}
	h.same(installed())
}

// What a newer version began and this one understands in parts is left to that one: half of it could
// be neither done nor taken back.
func TestWhatANewerVersionBeganIsNotGoneOnWithByAnOlder(t *testing.T) {
	for name, change := range map[string]func(*Request){
		"a kind of step": func(r *Request) { r.Steps[1].Kind = "rehearse" },
		"a parameter":    func(r *Request) { r.Steps[1].Params = []byte(`{"rehearsed":true}`) },
		"a schema":       func(r *Request) { r.Schema = "valtctl/txn/v2" },
	} {
		t.Run(name, func(t *testing.T) {
			h, r, secrets := update(t)
			id := h.create(r, secrets)
			if err := h.store().Understood(id, h.kinds()); err != nil {
				t.Fatal("as this version began it:", err)
			}
			change(&r)
			if err := writeJSON(h.store().requestFile(id), r, 0o600); err != nil {
				t.Fatal(err)
			}
			err := h.store().Understood(id, h.kinds())
			if problem.KindOf(err) != problem.Input || !strings.Contains(err.Error(), "another version of valtctl began it") {
				t.Error(err)
			}
		})
	}
}

// What a newer version wrote in a way that is not understood here is neither damaged nor over.
func TestARecordOfANewerVersionIsNotCalledDamaged(t *testing.T) {
	h, r, secrets := update(t)
	id := h.create(r, secrets)
	h.confirmWhenAsked(id)
	h.finish(id)
	content, err := os.ReadFile(h.store().journalFile(id))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
	digest := sha256.Sum256([]byte(lines[len(lines)-1]))
	for what, rest := range map[string]string{"beside": `"kind":"audited","step":"","data":null,"by":["pat"]`, "otherwise": `"kind":{"name":"audited"},"step":"","data":null`} {
		line := fmt.Sprintf(`{"seq":%d,"time":"2026-11-22T03:00:00Z","prev":"%x",%s}`+"\n", len(lines)+1, digest, rest)
		if err := os.WriteFile(h.store().journalFile(id), append(content[:len(content):len(content)], line...), 0o600); err != nil {
			t.Fatal(err)
		}
		if s := h.audit(id); s.State == StateDamaged || s.State != StateDone && !strings.Contains(s.Words(), "a newer valtctl wrote") {
			t.Errorf("%s: %s: %s", what, s.State, s.Words())
		} else if (what == "beside") != (s.State == StateDone) {
			t.Errorf("%s: it is %s", what, s.State)
		}
	}
}

// TestARunningTransactionGetsTheSecretsOfNow: of those that it still has, and no others.
func TestARunningTransactionGetsTheSecretsOfNow(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	id := h.create(request, secrets)
	renew := func(key string) func() {
		return func() {
			if err := h.store().Restart(id, map[string][]byte{"licence": []byte(key), "other": []byte("x")}); err != nil {
				t.Error(err)
			}
		}
	}
	h.during["packages"], h.during["container"] = renew("KEY-5678"), func() {
		renew("KEY-9999")()
		for _, name := range []string{"licence", "other"} {
			if _, err := h.store().secret(id, name); !errors.Is(err, step.ErrSecretGone) {
				t.Errorf("%s is there after the fetch half: %v", name, err)
			}
		}
	}
	if result := h.finish(id); !result.Complete() {
		t.Errorf("%+v", result)
	}
	if got := h.state["licence"]; got != "KEY-5678" {
		t.Errorf("it used %q", got)
	}
	if n := len(h.records(id)); n != 2+1+2*4 { // begin and end, the halves' border, two a step
		t.Errorf("%d records", n)
	}
}

func TestWhatIsLackingToGoOnIsToldWithTheWayToBringIt(t *testing.T) {
	err := checkSupplied(Request{Host: "media1", Secrets: []string{"bundle", "licence"}}, map[string][]byte{"licence": {1}})
	told := problem.All(err)
	if len(told) != 1 || !strings.Contains(told[0].Error(), "now: bundle") || !strings.Contains(told[0].Fix, "--bundle FILE") {
		t.Errorf("%v", err)
	}
}

func TestRestartLeavesARunningTransactionAlone(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	id := h.create(request, secrets)
	h.during["packages"] = func() {
		if err := h.store().Restart(id, nil); err != nil {
			t.Error(err)
		}
	}
	h.finish(id)
	if err := h.store().Restart(id, secrets); problem.KindOf(err) != problem.Input {
		t.Error("one that is over:", err)
	}
}

func TestListHasTheNewestFirst(t *testing.T) {
	h := newHost(t)
	request, secrets := install(t)
	first := h.create(request, secrets)
	h.finish(first)
	h.moment += 60
	second := h.create(request, secrets)
	if err := os.Mkdir(filepath.Join(h.root, "/var/lib/valtctl/txn/.new-123"), 0o700); err != nil {
		t.Fatal(err)
	}
	all, err := h.store().List(0)
	if err != nil || len(all) != 2 || all[0].ID != second || all[1].ID != first {
		t.Fatal(all, err)
	}
	if all[1].Started.IsZero() || all[1].Ended.IsZero() || all[1].Result.Changed != 4 || all[0].State != StateInterrupted {
		t.Errorf("%+v", all)
	}
	if newest, err := h.store().List(1); err != nil || len(newest) != 1 || newest[0].ID != second {
		t.Error(newest, err)
	}
}
