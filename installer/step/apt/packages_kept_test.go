package apt

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/apt"
)

// However many updates there were, only what one of the last could go back with is kept.
func TestFormerPackagesDoNotPileUp(t *testing.T) {
	h := &step.Machine{Root: t.TempDir()}
	if err := os.MkdirAll(h.Path(keptDebs), 0o700); err != nil {
		t.Fatal(err)
	}
	shared := apt.Package{Name: "shared", Version: "1", Architecture: "amd64"}
	for n := range 100 {
		own := apt.Package{Name: "valt", Version: fmt.Sprint(n), Architecture: "amd64"}
		text, err := json.Marshal(prepared{Before: []apt.Package{own, shared}})
		if err != nil {
			t.Fatal(err)
		}
		plan := h.Path(path.Join(keptDebs, fmt.Sprintf("prepared-%016x.json", n)))
		at := time.Unix(int64(n), 0)
		if err := errors.Join(os.WriteFile(plan, text, 0o600), os.Chtimes(plan, at, at),
			os.WriteFile(h.Path(keptDeb(own)), nil, 0o600), os.WriteFile(h.Path(keptDeb(shared)), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		if err := clearKept(h); err != nil {
			t.Fatal(err)
		}
	}
	left, err := filepath.Glob(h.Path(keptDebs) + "/*")
	if err != nil || len(left) != 2*keptPlans+1 {
		t.Errorf("%d files are kept: %v, %v", len(left), left, err)
	}
	for n := 100 - keptPlans; n < 100; n++ {
		if _, err := os.Stat(h.Path(keptDeb(apt.Package{Name: "valt", Version: fmt.Sprint(n), Architecture: "amd64"}))); err != nil {
			t.Error(err)
		}
	}
}
