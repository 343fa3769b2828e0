package check

import (
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/survey"
)

func TestEveryNameServerOfAHostCounts(t *testing.T) {
	s := siteOf(t, threeHosts)
	if q := NameQuestion(s); q.Ask != probe.AskDNS || q.Host != "" || len(q.Names) != 11 {
		t.Errorf("asked %+v", q)
	}
	for name, odd := range nameOddities() {
		t.Run(name, func(t *testing.T) { expect(t, odd, JudgeHosts) })
	}
	if f := judgeNames(view{}); f.status != "" {
		t.Errorf("nobody was asked, and it says %+v", f)
	}
}

func nameOddities() map[string]oddity {
	answered := func(v probe.Verdict) func(*Input, *facts.Facts, *survey.Reply) {
		return func(in *Input, _ *facts.Facts, _ *survey.Reply) {
			in.Hosts[0].Names = &probe.Outcome{Verdict: v, Cause: "10.0.0.54 does not know docker.ipivs.com"}
		}
	}
	const id, server = "hosts/valt/names", "10.0.0.54"
	return map[string]oddity{
		"all answer":                {make: answered(probe.Works), id: id, status: Pass},
		"one does not answer":       {make: answered(probe.Filtered), id: id, status: Warn, cause: server},
		"one does not know a name":  {make: answered(probe.NoName), id: id, status: Fail, cause: server},
		"one answers what is wrong": {make: answered(probe.WrongContent), id: id, status: Fail, cause: server},
		"it cannot be told":         {make: answered(probe.Unknown), id: id, status: Unknown, cause: server},
	}
}

func TestClocksBesideTheVendors(t *testing.T) {
	told := func(host string, kind network.Kind, by time.Duration) Result {
		return Result{Host: host, Offset: &by, Flow: &network.Flow{Destination: network.Party{Kind: kind}}}
	}
	medians := VendorOffsets([]Result{
		told("app1", network.KindVendor, 0), told("app1", network.KindVendor, time.Second), told("app1", network.KindVendor, 48*time.Hour),
		told("media1", network.KindCamera, time.Hour), {Host: "media2"},
	})
	if len(medians) != 1 || medians["app1"] != time.Second {
		t.Errorf("medians %v: one wrong server counts, or a camera does", medians)
	}
	for name, odd := range vendorClockOddities() {
		t.Run(name, func(t *testing.T) { expect(t, odd, JudgeHosts) })
	}
	if f := judgeVendorClock(view{}); f.status != "" {
		t.Errorf("nobody told, and it says %+v", f)
	}
}

func vendorClockOddities() map[string]oddity {
	ahead := func(by time.Duration) func(*Input, *facts.Facts, *survey.Reply) {
		return func(in *Input, _ *facts.Facts, _ *survey.Reply) { in.Hosts[0].VendorOffset = &by }
	}
	const id = "hosts/valt/vendor-clock"
	return map[string]oddity{
		"a second ahead":      {make: ahead(time.Second), id: id, status: Pass},
		"four seconds behind": {make: ahead(-4 * time.Second), id: id, status: Pass},
		"a minute ahead":      {make: ahead(time.Minute), id: id, status: Warn, cause: "behind"},
		"a day ahead":         {make: ahead(24 * time.Hour), id: id, status: Fail, cause: "behind"},
	}
}

func TestCameraWithAWrongClockIsWarnedOf(t *testing.T) {
	s := siteOf(t, threeHosts)
	f := flowNamed(t, s, "camera.http/media1/10.0.9.11")
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for by, want := range map[time.Duration]Status{0: Pass, 30 * time.Second: Pass, -3 * time.Hour: Warn} {
		r := Prober{Site: s}.judge(trialOf(f, "media1", probe.Outcome{Verdict: probe.Works, Clock: &now, Offset: by}), NewListening())
		if r.Status != want || want == Warn && (!strings.Contains(r.Cause, "behind media1's by 3h0m0s") || r.Fix == "") {
			t.Errorf("%s off: %s, %q", by, r.Status, r.Cause)
		}
	}
}
