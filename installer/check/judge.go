package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/probe"
)

// severity orders verdicts: of several questions to one far end the worst answer counts.
var severity = []probe.Verdict{
	probe.Works, probe.Unknown, probe.Refused, probe.WrongContent, probe.Proxy, probe.Certificate, probe.WrongClock,
	probe.Intercepted, probe.Filtered, probe.NoName,
}

// Subject is a flow in a few words.
func Subject(f network.Flow) string {
	port := strings.ToUpper(string(f.Protocol))
	if f.Port != 0 {
		port = fmt.Sprintf("%s/%d", f.Protocol, f.Port)
	}
	return fmt.Sprintf("%s → %s, %s", name(f.Source), name(f.Destination), port)
}

// name is a party as people know it.
func name(p network.Party) string {
	switch p.Kind {
	case network.KindNetwork:
		return p.Name + " (" + p.Address + ")"
	case network.KindCamera, network.KindService, network.KindCloud:
		return p.Name + " " + p.Address
	case network.KindVendor:
		if p.Address != p.Name {
			return p.Name + " (here " + p.Address + ")"
		}
	}
	return p.Name
}

// judge makes a result of what was asked and answered.
func (p Prober) judge(t *trial, on *Listening) Result {
	f := t.flow
	r := Result{ID: f.ID, Topic: Network, Subject: Subject(f), Flow: &f}
	if t.by != controller {
		r.Host = t.by
	}
	if t.by == "" {
		r.Status, r.Verdict, r.Cause, r.Fix, r.Untried = Unknown, probe.Unknown, t.why, p.howToTry(f), true
		return r
	}
	worst := t.worst()
	r.Verdict, r.Cause, r.Evidence, r.Lost, r.Took = worst.Verdict, worst.Cause, slices.Clone(worst.Evidence), worst.Lost, worst.Took
	r.NotAfter, r.Untried = worst.NotAfter, worst.Verdict == probe.Unknown
	if t.ours {
		r.Evidence = append(r.Evidence, "valtctl itself listened on "+f.Destination.Name+", since nothing else does yet")
	}
	if r.Verdict == probe.Filtered {
		locate(&r, worst, on)
	}
	if r.Verdict == probe.Refused {
		p.refused(&r, on.state(f))
	}
	r.Status = status(r.Verdict, f.Basis)
	if worst.Clock != nil {
		r.Offset = &worst.Offset
		cameraClock(&r)
	}
	if r.Status != Pass && len(worst.Lacks) > 0 {
		r.Fix = fmt.Sprintf("have %s brought up to date with the vendor's, or name another in network.endpoints; it lacks %s", f.Destination.Address, list(worst.Lacks))
	}
	for _, o := range t.answer {
		r.Elsewhere = append(r.Elsewhere, o.Elsewhere...)
	}
	if r.Status != Pass && r.Fix == "" && len(worst.Elsewhere) > 0 {
		r.Fix = fixElsewhere(f, worst)
	}
	if r.Status != Pass && r.Fix == "" {
		r.Fix = fix(f, r.Verdict, r.Lost)
	}
	return r
}

// cameraClock warns of a camera whose clock is wrong: many burn the time into the picture,
// and that is what a court sees.
func cameraClock(r *Result) {
	if r.Status != Pass || r.Flow.Destination.Kind != network.KindCamera || r.Offset.Abs() <= cameraClockWarn {
		return
	}
	r.Status = Warn
	r.Cause = fmt.Sprintf("the camera's clock is %s %s's by %s", aheadOf(*r.Offset), r.Host, r.Offset.Abs().Round(time.Second))
	r.Fix = "set the camera's time server (NTP) and time zone in its own settings"
}

// worst is the answer that counts.
func (t *trial) worst() probe.Outcome {
	worst := probe.Outcome{Verdict: probe.Unknown, Cause: "it was not tried"}
	for i, o := range t.answer {
		if o.Verdict == "" {
			o.Verdict, o.Cause = probe.Unknown, "no answer came back from "+t.by
		}
		if i == 0 || slices.Index(severity, o.Verdict) > slices.Index(severity, worst.Verdict) {
			worst = o
		}
	}
	return worst
}

// locate says where the packets of a filtered flow were lost. The asking machine has seen
// whether they left; the far end, where it is ours, whether they came.
func locate(r *Result, o probe.Outcome, on *Listening) {
	f := *r.Flow
	if r.Lost == probe.AtSource {
		return
	}
	came, known := on.came(f, o)
	switch {
	case !known:
	case came:
		r.Lost = probe.AtDestination
		if o.Silent || o.Cause == "" {
			r.Cause = fmt.Sprintf("it arrives at %s, and its own firewall drops it there", f.Destination.Name)
		}
		r.Evidence = append(r.Evidence, "the first packet was seen on "+f.Destination.Name+"'s interface")
	default:
		r.Lost = probe.OnTheWay
		if o.Silent || o.Cause == "" {
			r.Cause = fmt.Sprintf("it never arrives at %s: something on the way drops it", f.Destination.Name)
		}
		r.Evidence = append(r.Evidence, "no packet of it was seen on "+f.Destination.Name+"'s interface")
	}
}

// refused tells a closed port that is only closed because nobody listens there yet from
// one that something closes.
func (p Prober) refused(r *Result, s *probe.PortState) {
	dest := ourEnd(*r.Flow)
	switch {
	case dest == "":
	case p.Hosts[dest] == nil:
		r.Verdict = probe.Unknown
		r.Cause = fmt.Sprintf("nothing listens there, and %s could not be reached to listen in its place", dest)
		r.Fix = "let valtctl reach " + dest + ", then: valtctl check network"
	case p.NoListen:
		r.Verdict = probe.Unknown
		r.Cause = "nothing listens there yet; that the host says so shows that packets get there and back"
		r.Fix = "to prove it run valtctl check network without --no-listen"
	case s != nil && s.Err != "":
		r.Verdict = probe.Unknown
		r.Cause = fmt.Sprintf("nothing listens there, and valtctl could not either: %s", s.Err)
		r.Fix = "free the port on " + dest + " and check again"
	}
}

// status is what a verdict means for the site. An advisory row never fails it.
func status(v probe.Verdict, basis network.Basis) Status {
	switch {
	case v == probe.Works:
		return Pass
	case v == probe.Unknown:
		return Unknown
	case basis == network.Advisory:
		return Warn
	}
	return Fail
}
