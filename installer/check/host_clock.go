package check

import (
	"fmt"
	"slices"
	"time"

	"ipivs.com/valtctl/installer/network"
)

// Offsets of clocks that are spoken of, and that break TLS, signatures and recordings'
// times (docs/assumptions.md).
const (
	clockWarn = time.Second
	clockFail = 5 * time.Minute
	// HTTP tells seconds, and a camera may take one to answer.
	cameraClockWarn = time.Minute
	vendorClockWarn = 5 * time.Second
)

// judgeClock compares a host's clock with the controller's, which is not known to be
// right itself.
func judgeClock(v view) finding {
	f := finding{subject: "the clock of " + v.Host.Name}
	if v.ClockOffset == nil {
		f.status, f.cause, f.fix = Unknown, "it was not compared", "run valtctl check again"
		return f
	}
	by := *v.ClockOffset
	f = off(f, by.Abs())
	f.evidence = []string{fmt.Sprintf("%s this machine's clock by %s", aheadOf(by), by.Abs().Round(time.Millisecond))}
	if f.status == Pass {
		return f
	}
	f.cause = fmt.Sprintf("it is %s this machine's clock by %s", aheadOf(by), by.Abs().Round(time.Millisecond))
	f.fix = "set it right: sudo timedatectl set-ntp true, and name the time servers in network.ntp"
	if spread, many := spread(v.in.Hosts); many && spread <= clockWarn {
		// The hosts agree with one another: the odd one out is not among them.
		f.status = Warn
		f.cause += ", and all hosts agree, so it is this machine's that seems wrong"
		f.fix = "set the clock of this machine"
	}
	return f
}

// judgeVendorClock compares a host's clock with what the vendor's servers say of the time:
// the only ones here that are not the customer's.
func judgeVendorClock(v view) finding {
	if v.VendorOffset == nil {
		return finding{} // no flow was tried, or nobody told
	}
	by := -*v.VendorOffset
	f := finding{subject: "the clock of " + v.Host.Name + " beside the vendor's servers", status: Pass}
	f.evidence = []string{fmt.Sprintf("%s theirs by %s", aheadOf(by), by.Abs().Round(time.Second))}
	if by.Abs() <= vendorClockWarn {
		return f
	}
	f = off(f, by.Abs())
	f.cause = fmt.Sprintf("it is %s what they say by %s", aheadOf(by), by.Abs().Round(time.Second))
	f.fix = "set it right: sudo timedatectl set-ntp true, and name the time servers in network.ntp"
	return f
}

// VendorOffsets are how far the vendor's servers are ahead of each host, by the median of
// what they told: one wrong server of many is no reason to doubt a host.
func VendorOffsets(results []Result) map[string]time.Duration {
	told := map[string][]time.Duration{}
	for _, r := range results {
		if r.Flow != nil && r.Offset != nil && r.Flow.Destination.Kind == network.KindVendor && r.Host != "" {
			told[r.Host] = append(told[r.Host], *r.Offset)
		}
	}
	medians := map[string]time.Duration{}
	for host, all := range told {
		slices.Sort(all)
		medians[host] = all[len(all)/2]
	}
	return medians
}

func off(f finding, by time.Duration) finding {
	switch {
	case by > clockFail:
		f.status = Fail
	case by > clockWarn:
		f.status = Warn
	default:
		f.status = Pass
	}
	return f
}

func aheadOf(by time.Duration) string {
	if by < 0 {
		return "behind"
	}
	return "ahead of"
}

// spread is how far apart the hosts' clocks are; many says whether there are several.
func spread(hosts []HostSeen) (apart time.Duration, many bool) {
	first, last, n := ends(hosts)
	if n < 2 {
		return 0, false
	}
	return *last.ClockOffset - *first.ClockOffset, true
}

// ends are the hosts whose clocks are farthest behind and ahead, of n that are known.
func ends(hosts []HostSeen) (first, last HostSeen, n int) {
	for _, h := range hosts {
		if h.ClockOffset == nil {
			continue
		}
		if n == 0 || *h.ClockOffset < *first.ClockOffset {
			first = h
		}
		if n == 0 || *h.ClockOffset > *last.ClockOffset {
			last = h
		}
		n++
	}
	return first, last, n
}

// judgeClocks compares the hosts with one another.
func judgeClocks(v view) finding {
	apart, many := spread(v.in.Hosts)
	if !many {
		return finding{}
	}
	first, last, n := ends(v.in.Hosts)
	text := fmt.Sprintf("%s is behind %s by %s", first.Host.Name, last.Host.Name, apart.Round(time.Millisecond))
	f := off(finding{subject: fmt.Sprintf("the clocks of %d hosts beside one another", n), evidence: []string{text}}, apart)
	if f.status != Pass {
		f.cause, f.fix = text, "name the same time servers for all hosts in network.ntp, and see on each: timedatectl"
	}
	return f
}

func judgeTimeService(v view) finding {
	t := v.Survey.Time
	f := pass("what keeps the clock of " + v.Host.Name)
	if t.Name != "" {
		f.evidence = append(f.evidence, t.Name)
	}
	if len(t.Servers) > 0 {
		f.evidence = append(f.evidence, "servers: "+list(t.Servers))
	}
	if v.Facts.Clock.Synchronized || t.Synchronized != nil && *t.Synchronized {
		return f
	}
	f.status, f.cause = Warn, "it is not synchronised"
	f.fix = "see why its time servers do not answer: timedatectl timesync-status"
	if t.Name == "chrony" {
		f.fix = "see why its time servers do not answer: chronyc -n sources; chronyc -n authdata"
	}
	if len(v.Facts.Clock.NTS) > 0 {
		f.fix += "; those with NTS need TCP 4460 beside UDP 123"
	}
	if t.Name == "" {
		f.cause, f.fix = "it is not synchronised, and no time service runs", "sudo timedatectl set-ntp true; valtctl install sets it up as well"
	}
	return f
}
