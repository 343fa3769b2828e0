package check

import (
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/probe"
)

func TestEveryNameServerOfAHostCounts(t *testing.T) {
	s := siteOf(t, threeHosts)
	if q := NameQuestion(s); q.Ask != probe.AskDNS || q.Host != "" || len(q.Names) != 11 {
		t.Errorf("asked %+v", q)
	}
	for verdict, want := range map[probe.Verdict]Status{probe.Works: Pass, probe.Filtered: Warn, probe.NoName: Fail, probe.WrongContent: Fail, probe.Unknown: Unknown} {
		v := view{in: Input{Site: s}, HostSeen: HostSeen{Names: &probe.Outcome{Verdict: verdict, Cause: "10.0.0.54 does not know docker.ipivs.com"}}}
		f := judgeNames(v)
		if f.status != want || want != Pass && (f.fix == "" || !strings.Contains(f.cause, "10.0.0.54")) {
			t.Errorf("%s: %+v", verdict, f)
		}
	}
	if f := judgeNames(view{}); f.status != "" {
		t.Errorf("nobody was asked, and it says %+v", f)
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
	for by, want := range map[time.Duration]Status{time.Second: Pass, -4 * time.Second: Pass, time.Minute: Warn, 24 * time.Hour: Fail} {
		f := judgeVendorClock(view{HostSeen: HostSeen{VendorOffset: &by}})
		if f.status != want || want != Pass && !strings.Contains(f.cause, "behind") {
			t.Errorf("the vendor is ahead by %s: %+v", by, f)
		}
	}
	if f := judgeVendorClock(view{}); f.status != "" {
		t.Errorf("nobody told, and it says %+v", f)
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
