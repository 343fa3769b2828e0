package badservers

import (
	"fmt"
	"net/netip"
)

// Place is where one of the peers is reached.
type Place struct {
	Name string // resolves to the container's first address
	Port int
}

// Endpoint is the place as a site file's network.endpoints has it.
func (p Place) Endpoint() string { return fmt.Sprintf("%s:%d", p.Name, p.Port) }

// ProxyURL is the place as a site file's network.proxy has it.
func (p Place) ProxyURL() string { return "http://" + p.Endpoint() }

// The web servers that are not as they should be.
var (
	Expired       = Place{"expired.peers.example", 8443}      // the certificate's days are over
	Tomorrow      = Place{"tomorrow.peers.example", 8444}     // it is a day later there
	OtherName     = Place{"other.peers.example", 8445}        // the certificate is for another name
	CaptiveTLS    = Place{"captive.peers.example", 8446}      // a page for whatever is asked
	NoRegistry    = Place{"registry.peers.example", 8447}     // /v2/ is some web server's
	CaptivePlain  = Place{"captive.peers.example", 8080}      // a page for whatever is asked
	AptStranger   = Place{"apt-stranger.peers.example", 8081} // signed by somebody else's key
	AptTampered   = Place{"apt-tampered.peers.example", 8082} // changed after it was signed
	NobodyListens = Place{"refused.peers.example", 8083}      // an open way to a closed port
	Dropped       = Place{"dropped.peers.example", 8084}      // the server's firewall is silent
	Prohibited    = Place{"prohibited.peers.example", 8085}   // the server's firewall says no
	NoSuchName    = Place{"no-such-name.peers.example", 8086} // in no DNS
	LoopbackName  = Place{"loopback.peers.example", 8087}     // 127.0.0.1, as filters and blockers answer

	// Registries that answer for themselves and have their blobs come from another name: from CDN, and from where
	// somebody has put himself before it.
	BlobsElsewhere   = Place{"blobs.peers.example", 8448}
	CDN              = Place{"cdn.peers.example", 8449}
	BlobsIntercepted = Place{"blobs.peers.example", 8450}
	CDNIntercepted   = Place{"cdn.peers.example", 8451}
)

// The proxies. All are one squid.
var (
	ProxyPlain   = Place{"proxy.peers.example", 3128} // passes on what it gets
	ProxyReads   = Place{"proxy.peers.example", 3129} // ends TLS and makes certificates of its own
	ProxyLogin   = Place{"proxy.peers.example", 3130} // 407 without a login
	ProxyRefuses = Place{"proxy.peers.example", 3131} // 403 for everything
)

// named are the places whose names resolve to the container, each once.
func names() []string {
	var all []string
	seen := map[string]bool{}
	for _, p := range []Place{Expired, Tomorrow, OtherName, CaptiveTLS, NoRegistry, AptStranger, AptTampered,
		NobodyListens, Dropped, Prohibited, BlobsElsewhere, CDN, ProxyPlain} {
		if !seen[p.Name] {
			seen[p.Name] = true
			all = append(all, p.Name)
		}
	}
	return all
}

// listening are the TCP ports that the container serves once it is ready.
func listening() []int {
	var ports []int
	for _, p := range []Place{Expired, Tomorrow, OtherName, CaptiveTLS, NoRegistry, CaptivePlain, AptStranger, AptTampered,
		BlobsElsewhere, CDN, BlobsIntercepted, CDNIntercepted, ProxyPlain, ProxyReads, ProxyLogin, ProxyRefuses} {
		ports = append(ports, p.Port)
	}
	return ports
}

// Tunnels are addresses that the tunnel of VALT Cloud may be asked for at.
type Tunnels struct {
	Answers  netip.Addr // IKE is answered by strongSwan, GRE by the kernel: reached, and not spoken
	Silent   netip.Addr // nothing comes back, whatever is sent
	Rejected netip.Addr // ICMP says that GRE is prohibited and that nobody listens to IKE
}
