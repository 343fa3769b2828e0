package lab

import (
	"net/netip"
	"os"
	"slices"
	"testing"
)

func TestFreeAddressesAreTheLastOnesThatNobodyHas(t *testing.T) {
	l := open(t)
	got, err := l.without([]netip.Addr{l.Address(254), l.Address(252)}, 2)
	if err != nil || !slices.Equal(got, []netip.Addr{l.Address(253), l.Address(251)}) {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err = l.without(got, 253); err == nil {
		t.Errorf("253 of 252 addresses were free: %v", got)
	}
}

func TestNamesOfATitleReplaceEachOther(t *testing.T) {
	l := open(t)
	for _, names := range []map[string]netip.Addr{{"a.example": l.World(), "b.example": l.World()}, {"b.example": l.Client()}} {
		if err := l.SayNames("some", names); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(l.Path("world", "hosts.d", "some"))
	if err != nil || string(got) != "10.123.0.50 b.example\n" {
		t.Errorf("got %q, %v", got, err)
	}
}
