package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// resolve finds the IPv4 addresses of a host by the machine's own resolver, as every
// program on it would. A literal address is itself. The error's text is a cause.
func resolve(ctx context.Context, env Env, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		if !a.Unmap().Is4() {
			return nil, fmt.Errorf("%s is an IPv6 address; only IPv4 is used", host)
		}
		return []netip.Addr{a.Unmap()}, nil
	}
	if host == "" {
		return nil, errors.New("no host was named")
	}
	resolver := env.Resolver
	if resolver == nil {
		resolver = &net.Resolver{PreferGo: true} // the system's cannot be ended at a deadline
	}
	all, err := resolver.LookupNetIP(ctx, "ip4", host)
	if err != nil {
		return nil, noName(ctx, resolver, host, err)
	}
	return possible(host, all)
}

// noName tells a name that does not exist from servers that do not answer, and from a
// name that has IPv6 addresses alone.
func noName(ctx context.Context, resolver *net.Resolver, host string, err error) error {
	var dns *net.DNSError
	if !errors.As(err, &dns) {
		return fmt.Errorf("looking up %s: %w", host, err)
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("looking up %s: %w", host, context.Canceled)
	case dns.IsNotFound:
		if six, err := resolver.LookupNetIP(ctx, "ip6", host); err == nil && len(six) > 0 {
			return fmt.Errorf("%s has only IPv6 addresses (%s); only IPv4 is used", host, joinAddrs(six))
		}
		return fmt.Errorf("%s does not exist%s", host, saidBy(dns))
	case dns.IsTimeout:
		return fmt.Errorf("no DNS server answered for %s%s", host, saidBy(dns))
	}
	return fmt.Errorf("the DNS server failed to answer for %s%s: %s", host, saidBy(dns), dns.Err)
}

func saidBy(dns *net.DNSError) string {
	if dns.Server == "" {
		return ""
	}
	return fmt.Sprintf(" (DNS server %s)", dns.Server)
}

// possible leaves out addresses that no other machine can have.
func possible(host string, all []netip.Addr) ([]netip.Addr, error) {
	var good []netip.Addr
	for _, a := range all {
		if a = a.Unmap(); wrongFor(a) == "" {
			good = append(good, a)
		}
	}
	if len(good) > 0 {
		return good, nil
	}
	return nil, fmt.Errorf("%s points to %s (%s)", host, wrongFor(all[0].Unmap()), joinAddrs(all))
}

// wrongFor says what an address is that a name of another machine cannot have; empty if
// it can. Blocking resolvers answer with these.
func wrongFor(a netip.Addr) string {
	switch {
	case a.IsLoopback():
		return "this machine itself"
	case a.IsUnspecified():
		return "nowhere"
	case a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "many machines"
	}
	return ""
}

func joinAddrs(all []netip.Addr) string {
	var s []string
	for _, a := range all {
		s = append(s, a.Unmap().String())
	}
	return strings.Join(s, ", ")
}
