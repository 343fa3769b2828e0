package site

import (
	"fmt"
	"net/netip"
	"strings"
)

// judgeNames finds host names and addresses that stand twice, and addresses that mean
// another machine on each that uses them.
func (r *reader) judgeNames(s *Site) {
	names, addresses := map[string]int{}, map[Address]int{}
	for i, h := range s.Hosts {
		if first, seen := names[h.Name]; seen && h.Name != "" {
			r.at(hostField(i, "name"), fmt.Sprintf("%s is also the name of the host %s", h.Name, r.where(s, first)), "give every host a name of its own")
		} else {
			names[h.Name] = i
		}
		if first, seen := addresses[h.Address]; seen && h.Address != "" {
			r.at(hostField(i, "address"), fmt.Sprintf("%s is also the address of %s", h.Address, r.hostCalled(s, first)), "write this host's own address, or one host with roles: [app, media]")
		} else {
			addresses[h.Address] = i
		}
		if h.Address.isOwn() && len(s.Hosts) > 1 {
			r.at(hostField(i, "address"), fmt.Sprintf("%s is whichever machine asks, and this site has several hosts", h.Address), "write the address at which the other hosts and the clients reach this one")
		}
	}
	r.judgeCameraAddresses(s, addresses)
}

// where tells a host by its address, for a host whose name says nothing.
func (r *reader) where(s *Site, i int) string {
	if address := s.Hosts[i].Address; address != "" {
		return "at " + string(address)
	}
	return fmt.Sprintf("on line %d", nearestLine(r.lines, fmt.Sprintf("hosts[%d]", i)))
}

func (r *reader) hostCalled(s *Site, i int) string {
	if name := s.Hosts[i].Name; name != "" {
		return name
	}
	return "the host " + r.where(s, i)
}

// isOwn says that an address is the own machine's, whichever that is, as people write it (RFC
// 6761, section 6.3).
func (a Address) isOwn() bool {
	return a == "127.0.0.1" || a == "localhost" || strings.HasPrefix(string(a), "localhost.")
}

// judgeCameraAddresses finds cameras where no camera can be.
func (r *reader) judgeCameraAddresses(s *Site, hosts map[Address]int) {
	for i, h := range s.Hosts {
		for _, c := range h.Cameras {
			if other, ok := hosts[c.Address]; ok && c.Address != "" {
				r.at(hostField(i, "cameras"), fmt.Sprintf("the camera %s has the address of the server %s", c.Address, r.hostCalled(s, other)), "write the camera's own address, or take it out of the range")
			} else if c.Address.isOwn() {
				r.at(hostField(i, "cameras"), fmt.Sprintf("the camera %s is the server itself", c.Address), "write the camera's own address")
			}
		}
	}
}

// judgeCameras finds cameras that stand twice, each pair of servers told once, and servers
// with too many.
func (r *reader) judgeCameras(s *Site) {
	seen := map[Address]int{} // the index of the host
	for i, h := range s.Hosts {
		again := map[int][]Camera{}
		for _, c := range h.Cameras {
			first, is := seen[c.Address]
			switch {
			case c.Address == "":
			case is:
				again[first] = append(again[first], c)
			default:
				seen[c.Address] = i
			}
		}
		for first := range i + 1 {
			r.sharedCameras(s, i, first, again[first])
		}
	}
	r.judgeLoad(s)
}

// sharedCameras tells of cameras that are another host's as well, or stand twice at one.
func (r *reader) sharedCameras(s *Site, i, first int, cameras []Camera) {
	if len(cameras) == 0 {
		return
	}
	what, is, stand, them := "the camera", "is also a camera", "stands", "it"
	if len(cameras) > 1 {
		what, is, stand, them = fmt.Sprintf("%d cameras,", len(cameras)), "are also cameras", "stand", "them"
	}
	what += " " + ranges(cameras)
	if first == i {
		r.at(hostField(i, "cameras"), fmt.Sprintf("%s %s twice", what, stand), "keep "+them+" once")
		return
	}
	r.warn(hostField(i, "cameras"), fmt.Sprintf("%s %s of %s", what, is, r.hostCalled(s, first)), fmt.Sprintf("keep %s at one media host unless both are to record %s", them, them))
}

// judgePool keeps Docker's own networks away from the customer's: a host would look for
// the customer's addresses inside itself. All that it swallows is one mistake.
func (r *reader) judgePool(s *Site, pool netip.Prefix) {
	swallowed := swallowedBy(s, pool, r.given("admins"))
	if len(swallowed) > 0 {
		r.at("network.docker_pool", fmt.Sprintf("%s overlaps %s", pool, strings.Join(swallowed, "; ")), "write a network that the customer does not use, such as 192.168.240.0/20")
	}
}

// swallowedBy lists what of the site's addresses lies in a network, each kind of them once.
func swallowedBy(s *Site, pool netip.Prefix, admins bool) []string {
	var all []string
	some := func(what string, networks ...netip.Prefix) {
		for _, n := range networks {
			if pool.Overlaps(n) && n.Bits() > 0 {
				all = append(all, NetworkText(n)+", "+what)
			}
		}
	}
	inside := func(a Address) bool {
		ip, ok := a.IP()
		return ok && pool.Contains(ip)
	}
	some("one of clients", s.Clients...)
	if admins {
		some("one of admins", s.Admins...)
	}
	if s.Beam != nil {
		some("one of beam.devices", s.Beam.Devices...)
	}
	for _, ip := range s.Network.DNS {
		some("one of network.dns", netip.PrefixFrom(ip, 32))
	}
	for _, h := range s.Hosts {
		if inside(h.Address) {
			all = append(all, string(h.Address)+", the address of "+h.Name)
		}
		var cameras []Camera
		for _, c := range h.Cameras {
			if inside(c.Address) {
				cameras = append(cameras, c)
			}
		}
		if n := len(cameras); n > 0 {
			all = append(all, fmt.Sprintf("%s, %s of %s", ranges(cameras), map[bool]string{true: "a camera", false: fmt.Sprintf("%d cameras", n)}[n == 1], h.Name))
		}
	}
	return all
}
