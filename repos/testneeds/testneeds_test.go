package testneeds

import (
	"fmt"
	"testing"
)

// heard is a test that is told to skip or to fail.
type heard struct {
	testing.TB
	skipped, failed string
}

func (h *heard) Helper()                       {}
func (h *heard) Skipf(format string, a ...any) { h.skipped = fmt.Sprintf(format, a...) }
func (h *heard) Fatalf(format string, a ...any) {
	h.failed = fmt.Sprintf(format, a...)
}

func TestAMissingThingSkipsAndFailsWhereItIsPromised(t *testing.T) {
	gone, here := Program("no-such-program", "nothing"), File("/", "base-files")
	const words = "this test needs no-such-program (apt install nothing), /no/such/file (apt install x)"
	for promise, want := range map[string]heard{
		"":  {skipped: words},
		"1": {failed: words + ", and VALTCTL_TEST_EVERYTHING promises it"},
	} {
		t.Setenv(Everything, promise)
		var h heard
		if Of(&h, here, gone, File("/no/such/file", "x")); h != want {
			t.Errorf("with %q: %+v", promise, h)
		}
		var met heard
		if Of(&met, here); met != (heard{}) {
			t.Errorf("what is there is missed: %+v", met)
		}
	}
}
