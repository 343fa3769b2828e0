package badservers

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/pki"
)

func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func TestEveryPlaceThatListensIsConfigured(t *testing.T) {
	config := string(nginxConfig(noon(), "user:password")) + string(squidConfig())
	for _, port := range listening() {
		if n := strings.Count(config, "listen "+strconv.Itoa(port)) + strings.Count(config, "http_port "+strconv.Itoa(port)+" "); n != 1 {
			t.Errorf("%d servers on port %d", n, port)
		}
	}
}

func TestPlacesThatFailBeforeTheyAreReachedAreNotServed(t *testing.T) {
	known := hosts(netip.MustParseAddr("10.123.0.254"))
	if _, ok := known[NoSuchName.Name]; ok {
		t.Errorf("%s has an address", NoSuchName.Name)
	}
	if !known[LoopbackName.Name].IsLoopback() {
		t.Errorf("%s is %s", LoopbackName.Name, known[LoopbackName.Name])
	}
	for _, p := range []Place{NobodyListens, Dropped, Prohibited} {
		if !known[p.Name].IsPrivate() || strings.Contains(string(nginxConfig(noon(), "user:password")), strconv.Itoa(p.Port)) {
			t.Errorf("%s is %s, or served", p.Endpoint(), known[p.Name])
		}
	}
}

func TestCertificatesAreWrongInOneWayOnly(t *testing.T) {
	ca, err := pki.NewCA(noon(), "test")
	if err != nil {
		t.Fatal(err)
	}
	pairs, err := certificates(ca, noon())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.Certificate)
	verify := func(pair, name string, at time.Time) error {
		block, _ := pem.Decode(pairs[pair].Certificate)
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: at})
		return err
	}
	for _, c := range []struct {
		pair, name string
		at         time.Time
		good       bool
	}{
		{"good", NoRegistry.Name, noon(), true},
		{"expired", Expired.Name, noon(), false},
		{"expired", Expired.Name, noon().Add(-12 * time.Hour), false},
		{"tomorrow", Tomorrow.Name, noon(), false},
		{"tomorrow", Tomorrow.Name, noon().Add(AheadBy), true},
		{"other", OtherName.Name, noon(), false},
		{"other", "www.example.com", noon(), true},
	} {
		if err := verify(c.pair, c.name, c.at); (err == nil) != c.good {
			t.Errorf("%s for %s at %s: %v", c.pair, c.name, c.at, err)
		}
	}
}

func TestTomorrowSaysWhichDayItIs(t *testing.T) {
	if want := "Date: " + noon().Add(AheadBy).Format(http.TimeFormat); !strings.Contains(string(nginxConfig(noon(), "user:password")), want) {
		t.Errorf("the configuration lacks %q", want)
	}
}
