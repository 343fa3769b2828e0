package txn

import (
	"strings"
	"testing"
)

// A host whose change makes it restart again and again goes back, instead of trying for ever.
func TestAHostThatRestartsAgainAndAgainGoesBack(t *testing.T) {
	h, r, secrets := update(t)
	id := h.create(r, secrets)
	boots := 0
	h.during["container"] = func() { // the host dies in the middle of it
		boots++
		panic(crash{})
	}
	var result Result
	for range 20 {
		got, crashed := h.execute(id)
		if !crashed {
			result = got
			break
		}
		h.reboot()
	}
	if result.Outcome != RolledBack || boots != maxBoots || !strings.Contains(result.Err().Error(), "restarted 6 times") {
		t.Errorf("after %d boots: %+v, %v", boots, result, result.Err())
	}
	isOld(t, h, id)
}
