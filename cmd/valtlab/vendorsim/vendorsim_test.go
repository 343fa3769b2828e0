package vendorsim

import (
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

func TestEveryNameHasAServer(t *testing.T) {
	config := string(NginxConfig(netip.MustParseAddr("10.123.0.2")))
	for _, name := range Names() {
		found := false
		for line := range strings.Lines(config) {
			if fields := strings.Fields(strings.TrimSuffix(strings.TrimSpace(line), ";")); len(fields) > 0 && fields[0] == "server_name" {
				for _, f := range fields[1:] {
					found = found || f == name
				}
			}
		}
		if !found {
			t.Errorf("no server answers to %s", name)
		}
	}
	if !strings.Contains(config, "server_name apt.ipivs.com 10.123.0.2;") {
		t.Error("the release repository is not served under the world's address")
	}
}

func TestRegistryTakesBodiesOfAnySize(t *testing.T) {
	config := string(NginxConfig(netip.MustParseAddr("10.123.0.2")))
	_, after, found := strings.Cut(config, "server_name "+Registry+";")
	if !found {
		t.Fatal("there is no registry")
	}
	registry, _, _ := strings.Cut(after, "\n  server {")
	for _, want := range []string{"client_max_body_size 0;", "proxy_request_buffering off;", "proxy_set_header X-Forwarded-Proto $scheme;"} {
		if !strings.Contains(registry, want) {
			t.Errorf("the registry lacks %q", want)
		}
	}
}

func TestNothingElseResolves(t *testing.T) {
	config := string(DNSConfig())
	for _, want := range []string{"no-resolv\n", "no-hosts\n", "local=/#/\n", "localise-queries\n"} {
		if !strings.Contains(config, want) {
			t.Errorf("the DNS server lacks %q", want)
		}
	}
}

func TestHostsFileIsSorted(t *testing.T) {
	got := string(HostsFile(map[string]netip.Addr{
		"b.example": netip.MustParseAddr("10.0.0.2"),
		"a.example": netip.MustParseAddr("10.0.0.1"),
	}))
	if want := "10.0.0.1 a.example\n10.0.0.2 b.example\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHtpasswdHoldsTheHashAlone(t *testing.T) {
	line, err := Htpasswd("practice", "secret")
	if err != nil {
		t.Fatal(err)
	}
	user, hash, _ := strings.Cut(strings.TrimSpace(string(line)), ":")
	if user != "practice" || bcrypt.CompareHashAndPassword([]byte(hash), []byte("secret")) != nil {
		t.Errorf("%s does not accept the password", line)
	}
}
