// Package probe asks the network questions from the machine it runs on: does this
// connection come about, does what answers speak the protocol it should, and if not, what
// stands in the way. It listens where nothing does yet, so that a path can be tried
// before anything is installed. The same code runs on hosts, called by the agent, and on
// the controller where that stands in for a client. What is to be asked, and what an
// answer means for a site, is for installer/check.
package probe

import (
	"time"
)

// Ask is what is asked of the far end, in the words of its protocol.
type Ask string

// The questions. An open port is enough for none of them but AskConnect.
const (
	AskConnect     Ask = "connect"      // that a TCP connection comes about
	AskOurs        Ask = "ours"         // our own listener answers with the token (Listen)
	AskSSH         Ask = "ssh"          // a version line (RFC 4253, section 4.2)
	AskHTTP        Ask = "http"         // any HTTP answer; a page made for everyone is a captive portal's
	AskHTTPS       Ask = "https"        // the same over verified TLS
	AskEither      Ask = "either"       // HTTP or HTTPS, as the vendor's page has it for 8000 and 8086
	AskRTMP        Ask = "rtmp"         // the handshake (RTMP specification 1.0, section 5.2)
	AskRTMPS       Ask = "rtmps"        // the same over verified TLS
	AskRTSP        Ask = "rtsp"         // an answer to OPTIONS (RFC 2326, section 10.1)
	AskRegistry    Ask = "registry"     // /v2/ of a registry (OCI distribution specification, "Determining Support")
	AskBlob        Ask = "blob"         // a blob of the registry, wherever it comes from (Spec.Path, Request.Login)
	AskApt         Ask = "apt"          // an InRelease that verifies
	AskNTS         Ask = "nts"          // keys over TLS, of a time server
	AskMetaRelease Ask = "meta-release" // changelogs' /meta-release-lts
	AskACME        Ask = "acme"         // a directory (RFC 8555, section 7.1.1)
	AskIKE         Ask = "ike"          // IKE_SA_INIT (RFC 7296, section 1.2), after four zero bytes on 4500 (RFC 3948)
	AskGRE         Ask = "gre"          // what ICMP says to a packet of protocol 47 (RFC 2784)
	AskESP         Ask = "esp"          // what ICMP says to a packet of protocol 50
	AskDNS         Ask = "dns"          // every name of Names at this server
	AskNTP         Ask = "ntp"          // the time (RFC 5905)
)

// Spec is one question.
type Spec struct {
	ID       string `json:"id"`
	Ask      Ask    `json:"ask"`
	Protocol string `json:"protocol"` // tcp, udp, gre, esp
	Host     string `json:"host"`     // name or IPv4 address
	Port     uint16 `json:"port,omitempty"`
	// Name is what TLS verifies and Host: says; empty: Host.
	Name string `json:"name,omitempty"`
	Path string `json:"path,omitempty"` // of an HTTP question, absolute; with AskApt the InRelease's
	TLS  bool   `json:"tls,omitempty"`  // of AskApt: over verified TLS
	// Proxy is the URL of an HTTP proxy to go through; empty: none.
	Proxy string `json:"proxy,omitempty"`
	// Keyring, with AskApt, is a key of Request.Keyrings, or the absolute path of a file on
	// the machine that asks; empty: not verified, and said.
	Keyring string `json:"keyring,omitempty"`
	// Offers, with AskApt, are packages that the index must have, "name=version".
	Offers []string `json:"offers,omitempty"`
	Token  string   `json:"token,omitempty"` // with AskOurs: what the listener was given
	Names  []string `json:"names,omitempty"` // with AskDNS: what is looked up
	// After is how long after the request this question starts: the site's rate.
	After time.Duration `json:"after,omitempty"`
}

// Request is what one machine is asked to ask, all at once.
type Request struct {
	Specs []Spec `json:"specs"`
	// Deadline is shared by lookup, dial and protocol of each question. 0: 3 s.
	Deadline time.Duration `json:"deadline,omitempty"`
	// Trust are authorities in PEM beside the machine's own.
	Trust    []byte            `json:"trust,omitempty"`
	Login    *Login            `json:"login,omitempty"`    // of AskBlob's registry; nil: it is asked without one
	Keyrings map[string][]byte `json:"keyrings,omitempty"` // OpenPGP, armored or binary, by name
}

// Verdict is what an answer comes to.
type Verdict string

// The verdicts.
const (
	Works        Verdict = "works"
	Refused      Verdict = "refused"       // the far end itself: nothing listens there
	Filtered     Verdict = "filtered"      // dropped, or rejected by something on the way
	NoName       Verdict = "no-name"       // the name does not resolve, or to what it cannot be
	Intercepted  Verdict = "intercepted"   // TLS ends at something that the machine does not trust for it
	Proxy        Verdict = "proxy"         // a proxy answered in the far end's place: 407, 403, 502
	WrongContent Verdict = "wrong-content" // it answers, but not what it should
	WrongClock   Verdict = "wrong-clock"   // only this machine's clock is in the way
	Certificate  Verdict = "certificate"   // of the far end: expired, or for another name
	Unknown      Verdict = "unknown"       // silence proves nothing here, or it could not be asked
)

// Place is where packets of a filtered flow were lost.
type Place string

// The places. Empty where it is not known.
const (
	AtSource      Place = "source"      // the packet never left the machine that asks
	OnTheWay      Place = "way"         // it left and, where that can be told, never came
	AtDestination Place = "destination" // it came and was dropped there
)

// Outcome is the answer to one question.
type Outcome struct {
	ID      string  `json:"id"`
	Verdict Verdict `json:"verdict"`
	// Cause is why, for people: "captive portal: a web page instead of an InRelease".
	Cause    string   `json:"cause,omitempty"`
	Evidence []string `json:"evidence,omitempty"` // what was seen, a line each
	Address  string   `json:"address,omitempty"`  // what was dialled, after the lookup
	Issuer   string   `json:"issuer,omitempty"`   // of the certificate that was shown
	Lacks    []string `json:"lacks,omitempty"`    // of Spec.Offers, what the index has not
	// Lost says where a filtered flow ends, as far as the asking machine can tell: it sees
	// whether its own packet left. Arrivals tell the rest.
	Lost Place `json:"lost,omitempty"`
	// Silent says of a filtered flow that nothing at all came back: whose filter it was
	// only arrivals can tell.
	Silent bool `json:"silent,omitempty"`
	// Local is the address and port the question was asked from.
	Local string `json:"local,omitempty"`
	// Clock is what the far end says the time is (HTTP's Date, NTP), and Offset that less
	// this machine's, positive if the far end is ahead.
	Clock  *time.Time    `json:"clock,omitempty"`
	Offset time.Duration `json:"offset,omitempty"`
	// NotAfter is the end of the far end's certificate.
	NotAfter *time.Time `json:"not_after,omitempty"`
	// Elsewhere are the machines beside the one asked that the answer came from, "name:port", of AskBlob: what a
	// failing verdict is about is the last of them.
	Elsewhere []string            `json:"elsewhere,omitempty"`
	Answers   map[string][]string `json:"answers,omitempty"` // of AskDNS: addresses by name; none: an empty list
	Took      time.Duration       `json:"took"`
}

// DefaultDeadline is what lookup, dial and protocol of one question share
// (contracts: network details).
const DefaultDeadline = 3 * time.Second
