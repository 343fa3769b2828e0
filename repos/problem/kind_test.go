package problem

import (
	"encoding/json"
	"testing"
)

// A kind is one constant and one row; what lacks a row would end with the wrong exit code.
func TestEveryKindHasARowOfItsOwn(t *testing.T) {
	names, ranks := map[string]Kind{}, map[int]Kind{}
	for k := range kinds {
		r := table[k]
		if r.name == "" || r.exit == 0 || r.rank == 0 {
			t.Errorf("problem kind %d (after %s) lacks its row in table of repos/problem/kind.go: give it a name, an exit code and a rank", k, max(0, k-1))
			continue
		}
		if other, twice := names[r.name]; twice {
			t.Errorf("kinds %d and %d are both called %q", other, k, r.name)
		}
		if other, twice := ranks[r.rank]; twice {
			t.Errorf("kinds %s and %s have one rank: which exit code holds where both apply?", other, k)
		}
		names[r.name], ranks[r.rank] = k, k
	}
}

// The names and codes are a contract: journals hold the names, scripts go by the codes.
func TestNamesAndExitCodesStay(t *testing.T) {
	want := map[string]int{"failed": 1, "input": 2, "check": 3, "halted": 4, "locked": 5, "trust": 6, "interrupted": 130}
	for k := range kinds {
		if want[k.String()] != k.ExitCode() {
			t.Errorf("kind %s ends with exit code %d, documented is %d (0: it is not documented yet)", k, k.ExitCode(), want[k.String()])
		}
		delete(want, k.String())
	}
	for name := range want {
		t.Errorf("kind %q is documented and gone", name)
	}
}

func TestKindsAreNamesWhereTheyAreKept(t *testing.T) {
	for k := range kinds {
		line, err := json.Marshal(Record{Kind: k})
		if err != nil {
			t.Fatal(err)
		}
		if want := `{"kind":"` + k.String() + `"}`; string(line) != want {
			t.Errorf("kind %s is written %s, want %s", k, line, want)
		}
		var again Record
		if err := json.Unmarshal(line, &again); err != nil || again.Kind != k {
			t.Errorf("%s is read as %s (%v)", line, again.Kind, err)
		}
	}
}

func TestKindsOfOldAndNewerJournals(t *testing.T) {
	for text, want := range map[string]Kind{
		`0`: Failed, `1`: Input, `2`: Check, `3`: Halted, `4`: Locked, `5`: Trust, `6`: Interrupted,
		`7`: Failed, `-1`: Failed, `"of-a-newer-valtctl"`: Failed, `null`: Failed,
	} {
		var got Kind
		if err := json.Unmarshal([]byte(text), &got); err != nil || got != want {
			t.Errorf("%s is read as %s (%v), want %s", text, got, err, want)
		}
	}
	var k Kind
	if err := json.Unmarshal([]byte(`{}`), &k); err == nil {
		t.Error("an object is taken for a kind")
	}
}
