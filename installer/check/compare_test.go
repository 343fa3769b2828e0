package check

import (
	"bytes"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/probe"
)

func addrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, s := range texts {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

func TestCompareNamesWhatChangedWorstFirst(t *testing.T) {
	before := &Report{Topics: []Topic{Network}, Results: []Result{
		{ID: "a", Topic: Network, Status: Pass}, {ID: "b", Topic: Network, Status: Fail, Verdict: probe.Filtered},
		{ID: "c", Topic: Network, Status: Pass}, {ID: "gone", Topic: Network, Status: Pass}, {ID: "same", Topic: Network, Status: Warn},
		{ID: "other", Topic: Network, Status: Fail, Verdict: probe.Filtered},
	}}
	now := &Report{Topics: []Topic{Network, Hosts}, Results: []Result{
		{ID: "a", Topic: Network, Status: Fail}, {ID: "b", Topic: Network, Status: Pass}, {ID: "c", Topic: Network, Status: Warn},
		{ID: "new", Topic: Network, Status: Pass}, {ID: "same", Topic: Network, Status: Warn},
		{ID: "other", Topic: Network, Status: Fail, Verdict: probe.NoName}, {ID: "h", Topic: Hosts, Status: Fail},
	}}
	var ids []string
	for _, c := range Compare(before, now) {
		ids = append(ids, c.ID)
	}
	if want := []string{"a", "other", "c", "b", "new", "gone"}; !slices.Equal(ids, want) {
		t.Errorf("changes %v, want %v", ids, want)
	}
	if same := Compare(now, now); len(same) != 0 {
		t.Errorf("a report differs from itself: %v", same)
	}
}

func TestSavedReportIsReadBack(t *testing.T) {
	r := &Report{Site: "s", Topics: []Topic{Network}, Results: []Result{{ID: "a", Topic: Network, Status: Fail, Cause: "x"}}}
	var file bytes.Buffer
	if err := WriteSaved(&file, r); err != nil {
		t.Fatal(err)
	}
	back, err := ReadSaved(&file)
	if err != nil || len(back.Results) != 1 || back.Results[0].Cause != "x" || !back.Failed() {
		t.Errorf("read back %+v, %v", back, err)
	}
	for name, text := range map[string]string{"not JSON": "x", "something else": `{"site":"a"}`, "nothing": ""} {
		if _, err := ReadSaved(strings.NewReader(text)); err == nil {
			t.Errorf("%s was taken for a report", name)
		}
	}
}
