package host

import (
	"os"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/repos/problem"
)

// A host takes one key, by its name; one that was revoked it takes no more, also where its name is
// handed out again.
func TestAHostTakesOneKeyUntilItIsRevoked(t *testing.T) {
	s := side(t)
	id := strings.Repeat("0a", 16)
	other := strings.Repeat("0b", 16)
	path := s.machine(nil).Path(facts.RestrictedKey)
	give := func(text string) {
		if err := os.MkdirAll(s.machine(nil).Path(facts.Restricted), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(when, key string) {
		t.Helper()
		if err := s.Accepts(key); problem.KindOf(err) != problem.Trust {
			t.Errorf("%s %q is taken: %v", when, key, err)
		}
	}
	refused("before it was enabled", id)
	refused("before it was enabled", "")
	give(id + "\n")
	if err := s.Accepts(id); err != nil {
		t.Error(err)
	}
	refused("with another one", other)
	refused("with one", "")
	got, err := s.revoke(t.Context(), agent.RevokeRequest{Keys: []string{other, "no key"}})
	if err != nil || got.Was != id {
		t.Errorf("%+v, %v", got, err)
	}
	refused("revoked", id)
	for _, key := range []string{id, other} {
		give(key + "\n")
		refused("revoked, and handed out again,", key)
	}
	if _, err := s.revoke(t.Context(), agent.RevokeRequest{}); err != nil {
		t.Error(err)
	}
	third := strings.Repeat("0c", 16)
	give(third + "\n")
	if err := s.Accepts(third); err != nil {
		t.Error("the next key is refused:", err)
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if s.Accepts(third) == nil {
		t.Error("which key it takes cannot be read, and it takes one")
	}
}
