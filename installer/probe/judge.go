package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// attempt is one try to reach an address, and what was seen of it.
type attempt struct {
	protocol uint8
	to       netip.AddrPort
	local    uint16 // port that it started from; 0: not known
	err      error  // nil: it came about
	trace    trace
	watched  bool       // what the trace does not have was not there
	unable   error      // why packets could not be watched at all
	silent   netip.Addr // the next hop, if it does not answer on its own network
}

// ruling is what an attempt comes to.
type ruling struct {
	verdict  Verdict
	cause    string
	evidence []string
	lost     Place
	silence  bool // nothing at all came back
}

// judge rules as nmap does (its manual, "Port Scanning Basics": a RST is closed; silence
// and ICMP unreachable are filtered), and says besides where the packets were lost. What
// was seen of packets goes before what the system made of it: it says "refused" both for
// a RST and for an ICMP port unreachable, whoever sent it.
func judge(a attempt) ruling {
	r := a.rule()
	if a.err == nil {
		return r
	}
	r.evidence = append(r.evidence, fmt.Sprintf("%s: %v", a.to, a.err))
	if a.unable != nil {
		r.evidence = append(r.evidence, fmt.Sprintf("which packets left and came is not known: %v", a.unable))
	}
	return r
}

func (a attempt) rule() ruling {
	stayed := a.watched && !a.trace.Left && a.protocol == protocolTCP
	switch {
	case a.err == nil:
		return ruling{verdict: Works}
	case errors.Is(a.err, context.Canceled):
		return ruling{verdict: Unknown, cause: "the check was ended before an answer came"}
	case a.silent.IsValid() && !a.trace.Left:
		return a.noNeighbour()
	case a.trace.Rejected != nil:
		return a.rejected(stayed)
	case a.trace.Rst && stayed:
		return ruling{verdict: Filtered, lost: AtSource, cause: "this machine's own firewall resets what goes out to it"}
	case a.trace.Rst:
		return ruling{verdict: Refused, cause: "nothing listens on the port",
			evidence: []string{fmt.Sprintf("RST from %s (TTL %d)", a.to, a.trace.RstTTL)}}
	case errors.Is(a.err, errRefused):
		return ruling{verdict: Refused, cause: "nothing listens on the port, or something rejects the connection as if so"}
	}
	return a.unanswered(stayed)
}

// unanswered rules where no packet says anything against the connection.
func (a attempt) unanswered(stayed bool) ruling {
	switch {
	case errors.Is(a.err, errNotPermitted) || errors.Is(a.err, errAccess):
		return ruling{verdict: Filtered, lost: AtSource, cause: "this machine's own firewall or routes do not let it out"}
	case errors.Is(a.err, errNoNetwork) || errors.Is(a.err, errNoHost) || errors.Is(a.err, errBlackhole):
		r := ruling{verdict: Filtered, cause: "there is no way to the address"}
		if stayed {
			r.lost, r.cause = AtSource, "this machine has no route to the address"
		}
		return r
	case timedOut(a.err) && a.trace.Answered:
		return ruling{verdict: Filtered, lost: AtSource, cause: "the answer came, and this machine's own firewall dropped it",
			evidence: []string{fmt.Sprintf("SYN-ACK from %s reached this machine", a.to)}}
	case timedOut(a.err) && stayed:
		return ruling{verdict: Filtered, lost: AtSource, cause: "this machine's own firewall drops what goes out to it",
			evidence: []string{"no packet to it left this machine"}}
	case timedOut(a.err) && a.trace.Left:
		return ruling{verdict: Filtered, lost: OnTheWay, silence: true, cause: "dropped on the way or at the destination: nothing came back",
			evidence: []string{"the packets left this machine"}}
	case timedOut(a.err):
		return ruling{verdict: Filtered, cause: "dropped: nothing came back", silence: true}
	}
	return ruling{verdict: Unknown, cause: "it could not be asked"}
}

// noNeighbour is what looks like a filter and is a machine that is off, or a wrong address.
func (a attempt) noNeighbour() ruling {
	if a.silent == a.to.Addr() {
		return ruling{verdict: Filtered, cause: "no machine has that address on this network, or it is off: it does not answer ARP"}
	}
	return ruling{verdict: Filtered, cause: fmt.Sprintf("the gateway %s to it does not answer ARP", a.silent)}
}

// rejected says by whom. UDP has no other way than ICMP to say that nothing listens.
func (a attempt) rejected(stayed bool) ruling {
	u := a.trace.Rejected
	r := ruling{verdict: Filtered, evidence: []string{u.String()}}
	const portUnreachable = 3
	switch {
	case u.By == a.to.Addr() && a.protocol == protocolUDP && u.Code == portUnreachable:
		r.verdict, r.cause = Refused, "nothing listens on the port"
	case a.trace.Self && (stayed || u.By != a.to.Addr()):
		r.lost, r.cause = AtSource, "this machine's own firewall or routes reject what goes out to it"
	case u.By == a.to.Addr():
		r.lost, r.cause = AtDestination, "rejected by the destination's own firewall"
	default:
		r.lost, r.cause = OnTheWay, fmt.Sprintf("rejected on the way by %s", u.By)
	}
	return r
}

// timedOut says whether the wait ended without an answer, ours or the system's.
func timedOut(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || (errors.As(err, &n) && n.Timeout())
}
