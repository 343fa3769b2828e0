//go:build linux

package survey

import (
	"os"
	"testing"
	"time"

	"ipivs.com/valtctl/repos/safepath"
)

func TestWriteTestHasNoNameWhileItRuns(t *testing.T) {
	folder := t.TempDir()
	dir, err := opened(safepath.Under(""), folder)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	f, _, err := nameless(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(aligned()); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Errorf("a kill would leave %v %v", left, err)
	}
}

// slow is a clock that a write test reads: a second goes by with every look.
func slow() func() time.Time {
	now := noted()
	return func() time.Time {
		now = now.Add(time.Second)
		return now
	}
}

func TestWriteTestEndsAfterItsTimeOrItsBytes(t *testing.T) {
	for name, c := range map[string]struct {
		now  func() time.Time
		want int64
	}{"bytes": {noted, writeBytes}, "time": {slow(), 0}} {
		t.Run(name, func(t *testing.T) {
			var w Write
			if err := measure(t.Context(), safepath.Under(""), t.TempDir(), &w, c.now); err != nil {
				t.Fatal(err)
			}
			if w.Bytes != c.want {
				t.Errorf("wrote %d bytes, want %d", w.Bytes, c.want)
			}
		})
	}
}

func TestFoldersOfOneDiskAreMeasuredOnce(t *testing.T) {
	e := hostOf(t, programs{}, map[string]string{"/a/x": "", "/b/x": ""})
	reply := take(t, e, Request{Write: []string{"/a", "/b", "/none"}})
	if len(reply.Writes) != 3 || reply.Writes[0].Bytes == 0 || reply.Writes[1].Err == "" || reply.Writes[2].Err == "" {
		t.Errorf("%+v", reply.Writes)
	}
}
