package site

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Address is where something is: an IPv4 address or a DNS name.
type Address string

// IP is the address as a number. A name has none.
func (a Address) IP() (netip.Addr, bool) {
	ip, err := netip.ParseAddr(string(a))
	return ip, err == nil
}

// Endpoint stands in for one of the vendor's names. Port is 0 where the vendor's port stays.
type Endpoint struct {
	Host Address
	Port uint16
}

// String is host or host:port.
func (e Endpoint) String() string {
	if e.Port == 0 {
		return string(e.Host)
	}
	return hostPort(e.Host, e.Port)
}

// MarshalText is String.
func (e Endpoint) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// NetworkText writes a network as its CIDR, and a single address bare.
func NetworkText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

func hostPort(a Address, port uint16) string {
	return net.JoinHostPort(string(a), strconv.Itoa(int(port)))
}

// wrong is what a value parser says: what the value is instead of what it should be, and
// what to write. The reader adds file, line and field.
type wrong struct{ what, fix string }

func (w *wrong) Error() string { return w.what }

const ipv6Reason = "is an IPv6 address, and VALT's network requirements are for IPv4"

func parseAddress(s string) (Address, error) {
	if ip, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return fromIP(s, ip)
	}
	switch {
	case strings.Contains(s, "://"):
		return "", fromURL(s)
	case strings.Contains(s, "/"):
		return "", &wrong{fmt.Sprintf("%q is a network, not one address", s), "write one address, such as 10.0.4.10"}
	case strings.Contains(s, "-") && looksNumeric(s):
		return "", &wrong{fmt.Sprintf("%q is a range, not one address", s), "write one address, such as 10.0.4.10"}
	case strings.Contains(s, ":"):
		return "", &wrong{fmt.Sprintf("%q is neither an IPv4 address nor a name", s), "write the address alone, without a scheme or a port"}
	case looksNumeric(s):
		return "", &wrong{fmt.Sprintf("%q is not an IPv4 address", s), "write four numbers from 0 to 255, such as 10.0.4.10"}
	}
	return parseName(s)
}

func fromIP(s string, ip netip.Addr) (Address, error) {
	switch {
	case !ip.Is4():
		return "", &wrong{fmt.Sprintf("%q %s", s, ipv6Reason), "write the IPv4 address"}
	case strings.HasPrefix(s, "["):
		return "", &wrong{fmt.Sprintf("%q has brackets", s), "write " + ip.String()}
	case ip.IsUnspecified() || ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return "", &wrong{fmt.Sprintf("%q is not the address of one machine", s), "write the machine's own address"}
	}
	return Address(ip.String()), nil
}

// fromURL is what a URL is told in an address's place. Its login, if it has one, is not shown.
func fromURL(s string) *wrong {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" {
		return &wrong{"it is a URL, not an address", "write the address alone, such as 10.0.4.10"}
	}
	fix := "write " + u.Hostname()
	if u.Port() != "" {
		fix += " alone; a port has a key of its own where it can differ"
	}
	if u.User != nil {
		return &wrong{fmt.Sprintf("it is a URL (%s://…) with a login, and no secret stands in a site file", u.Scheme), fix}
	}
	return &wrong{fmt.Sprintf("%q is a URL, not an address", s), fix}
}

// parseSiteName accepts the name that clients type.
func parseSiteName(s string) (Address, error) {
	if _, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return "", &wrong{fmt.Sprintf("%q is an address, and certificates are for names", s), "write the name that clients type, such as valt.example.com"}
	}
	if strings.Contains(s, "://") {
		return "", fromURL(s)
	}
	return parseName(s)
}

// parseName accepts a DNS name (RFC 1123, section 2.1) and returns it in lower case.
func parseName(s string) (Address, error) {
	bad := &wrong{fmt.Sprintf("%q is not a name", s), "write letters, digits, hyphens and dots, such as valt.example.com"}
	if s == "" || len(s) > 253 || looksNumeric(s) {
		return "", bad
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' || strings.Trim(label, nameBytes) != "" {
			return "", bad
		}
	}
	return Address(strings.ToLower(s)), nil
}

const nameBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-"

// looksNumeric says that a person meant numbers: no name ends in a label of digits.
func looksNumeric(s string) bool {
	last := s[strings.LastIndex(s, ".")+1:]
	return last != "" && strings.Trim(last, "0123456789") == ""
}

func parseIP(s string) (netip.Addr, error) {
	a, err := parseAddress(s)
	if err != nil {
		return netip.Addr{}, err
	}
	ip, ok := a.IP()
	if !ok {
		return ip, &wrong{fmt.Sprintf("%q is a name", s), "write the IPv4 address, such as 10.0.0.53"}
	}
	return ip, nil
}

func parseNetwork(s string) (netip.Prefix, error) {
	addr, bits, found := strings.Cut(s, "/")
	if !found {
		ip, err := parseIP(s)
		if err != nil {
			return netip.Prefix{}, networkFix(err)
		}
		return netip.PrefixFrom(ip, 32), nil
	}
	ip, err := netip.ParseAddr(addr)
	if err != nil {
		return netip.Prefix{}, &wrong{fmt.Sprintf("%q is not a network", s), networkForm}
	}
	if !ip.Is4() {
		return netip.Prefix{}, &wrong{fmt.Sprintf("%q %s", s, ipv6Reason), "write the IPv4 network"}
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, &wrong{fmt.Sprintf("%q: /%s is not a prefix length from 0 to 32", s, bits), networkForm}
	}
	if p != p.Masked() {
		return p, &wrong{fmt.Sprintf("%q has host bits beyond its /%d", s, p.Bits()), fmt.Sprintf("write %s for the network, or %s for the one address", p.Masked(), ip)}
	}
	return p, nil
}

const networkForm = "write a network such as 10.0.0.0/16, or one address"

// networkFix keeps the words about IPv6 and offers a network otherwise.
func networkFix(err error) error {
	var w *wrong
	if errors.As(err, &w) && !strings.Contains(w.what, ipv6Reason) {
		return &wrong{w.what, networkForm}
	}
	return err
}

func parsePort(s string) (uint16, error) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 {
		return 0, &wrong{fmt.Sprintf("%q is not a TCP port", s), "write a number from 1 to 65535"}
	}
	return uint16(n), nil
}

// splitPort reads host[:port]; port is 0 without one.
func splitPort(s string) (Address, uint16, error) {
	name, text, found := s, "", false
	if i := strings.LastIndex(s, ":"); i >= 0 && strings.Count(s, ":") == 1 {
		name, text, found = s[:i], s[i+1:], true
	}
	host, err := parseAddress(name)
	if err != nil || !found {
		return host, 0, err
	}
	port, err := parsePort(text)
	return host, port, err
}

func parseEndpoint(s string) (Endpoint, error) {
	if strings.Contains(s, "://") || strings.Contains(s, "/") {
		return Endpoint{}, &wrong{fmt.Sprintf("%q is a URL", s), "write host or host:port alone, such as mirror.example.com:8443"}
	}
	host, port, err := splitPort(s)
	return Endpoint{Host: host, Port: port}, err
}

func parseJump(s string) (Jump, error) {
	user, at := "", s
	if i := strings.LastIndex(s, "@"); i >= 0 {
		user, at = s[:i], s[i+1:]
		if _, err := parseUser(user); err != nil {
			return Jump{}, err
		}
	}
	host, port, err := splitPort(at)
	if port == 0 {
		port = 22
	}
	return Jump{User: user, Host: host, Port: port}, err
}

func parseUser(s string) (string, error) {
	if s == "" || strings.ContainsAny(s, " \t:@/") || strings.HasPrefix(s, "-") {
		return "", &wrong{fmt.Sprintf("%q is not a login name", s), "write the name alone, such as valt"}
	}
	return s, nil
}
