package probe

import (
	"errors"
	"net/netip"
	"testing"
)

// rejection is an ICMP port unreachable from 10.99.1.1 about 10.99.1.2:40000 → 10.99.2.2:8007.
func rejection() []byte {
	quoted := append([]byte{0x45, 0, 0, 60, 0, 0, 0x40, 0, 63, 6, 0, 0, 10, 99, 1, 2, 10, 99, 2, 2}, 0x9c, 0x40, 0x1f, 0x47, 0, 0, 0, 1)
	icmp := append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, quoted...)
	return append([]byte{0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 10, 99, 1, 1, 10, 99, 1, 2}, icmp...)
}

func TestARejectionNamesWhatItIsAbout(t *testing.T) {
	s, ok := parsePacket(rejection())
	want := flow{protocolTCP, netip.MustParseAddrPort("10.99.1.2:40000"), netip.MustParseAddrPort("10.99.2.2:8007")}
	if !ok || s.flow != want || s.Unreachable == nil || s.Unreachable.String() != "ICMP port unreachable (type 3, code 3) from 10.99.1.1" {
		t.Errorf("%+v, %v", s, ok)
	}
}

func FuzzPacket(f *testing.F) {
	f.Add(rejection())
	f.Add([]byte{0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 80, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x50, 0x12})
	f.Fuzz(func(t *testing.T, p []byte) {
		s, ok := parsePacket(p)
		if ok && s.Protocol == 0 && s.Unreachable == nil {
			t.Errorf("%x is of no protocol", p)
		}
	})
}

func FuzzIKE(f *testing.F) {
	var spi [8]byte
	f.Add(append(append(make([]byte, 16), 41, 0x20, 34, 0x20, 0, 0, 0, 0, 0, 0, 0, 36), 0, 0, 0, 8, 0, 0, 0, 14))
	f.Fuzz(func(t *testing.T, p []byte) {
		if said, ok := readIKE(p, spi); ok && said == "" {
			t.Errorf("%x answers and says nothing", p)
		}
	})
}

func FuzzDNS(f *testing.F) {
	query, err := dnsQuery(7, "a.example")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(zone{"a.example": {"192.0.2.1"}}.reply(query))
	f.Fuzz(func(t *testing.T, p []byte) {
		if r, err := readDNS(p, 7, "a.example"); errors.Is(err, errNotTheAnswer) && len(r.addrs) > 0 {
			t.Errorf("%x: %+v", p, r)
		}
	})
}

func FuzzKernelTables(f *testing.F) {
	f.Add("eth0\t00000000\t0101630A\t0003\t0\t0\t0\t00000000\t0\t0\t0")
	f.Add("10.99.1.77 0x1 0x0 00:00:00:00:00:00 * one")
	f.Fuzz(func(t *testing.T, line string) {
		gateway([]string{line}, netip.MustParseAddr("10.99.2.2"))
		silentARP([]string{line})
		parseResolvConf(line)
	})
}
