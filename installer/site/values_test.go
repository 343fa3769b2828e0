package site

import (
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// accepts runs a value parser on texts that it must take, each with what it makes of it
// as fmt would write it in a site file again.
func accepts[T any](t *testing.T, parse scalarFunc[T], want map[string]string) {
	t.Helper()
	for text, again := range want {
		got, err := parse(text)
		if err != nil {
			t.Errorf("%q is refused: %v", text, err)
			continue
		}
		written, err := json.Marshal(got)
		if err != nil {
			t.Fatalf("writing %v: %v", got, err)
		}
		if s := strings.Trim(string(written), `"`); s != again {
			t.Errorf("%q became %s, want %s", text, s, again)
		}
	}
}

// refuses runs it on texts that it must not take. Every refusal says what to write.
func refuses[T any](t *testing.T, parse scalarFunc[T], texts ...string) {
	t.Helper()
	for _, text := range texts {
		got, err := parse(text)
		if err == nil {
			t.Errorf("%q is accepted as %v", text, got)
			continue
		}
		var w *wrong
		if !errors.As(err, &w) || w.fix == "" {
			t.Errorf("%q is refused without saying what to write: %v", text, err)
		}
	}
}

func TestShortNames(t *testing.T) {
	accepts(t, parseID, map[string]string{"st-marys": "st-marys", "a": "a", "media1": "media1"})
	refuses(t, parseID, "", "St-Marys", "a_b", "-a", "a-", "a.b", "ä", strings.Repeat("a", 64))
}

func TestAddresses(t *testing.T) {
	accepts(t, parseAddress, map[string]string{
		"10.0.4.10": "10.0.4.10", "valt.Example.com": "valt.example.com", "media1": "media1", "3com.example": "3com.example",
	})
	refuses(t, parseAddress, "", "10.0.4", "10.0.4.256", "10.0.4.010", "fe80::1", "[fe80::1]", "::ffff:10.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255",
		"10.0.0.0/8", "10.0.0.1-10.0.0.9", "https://valt.example", "valt.example:443", "a..b", "-a.example", "a_b.example", "a b", "[10.0.0.1]",
		strings.Repeat("a", 64)+".example", strings.Repeat("a.", 127)+"com")
}

func TestNetworks(t *testing.T) {
	accepts(t, parseNetwork, map[string]string{"10.0.0.0/16": "10.0.0.0/16", "10.0.0.7": "10.0.0.7/32", "10.0.0.7/32": "10.0.0.7/32", "0.0.0.0/0": "0.0.0.0/0"})
	refuses(t, parseNetwork, "", "any", "10.0.0.1/16", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/255.255.0.0", "fe80::/10", "fe80::1", "valt.example", "10.0.0/8")
	if got := NetworkText(mustNetwork(t, "10.0.0.7/32")); got != "10.0.0.7" {
		t.Errorf("a single address is written %s", got)
	}
}

func mustNetwork(t *testing.T, s string) netip.Prefix {
	t.Helper()
	p, err := parseNetwork(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPorts(t *testing.T) {
	accepts(t, parsePort, map[string]string{"1": "1", "22": "22", "65535": "65535"})
	refuses(t, parsePort, "", "0", "65536", "-1", "ssh", "0x16", "22.0")
}

func TestEndpoints(t *testing.T) {
	accepts(t, parseEndpoint, map[string]string{"mirror.example.com": "mirror.example.com", "mirror.example.com:8443": "mirror.example.com:8443", "10.0.0.9:80": "10.0.0.9:80"})
	refuses(t, parseEndpoint, "", ":8443", "mirror:", "mirror:0", "https://mirror", "mirror/path", "fe80::1", "a:1:2")
}

func TestJumpHosts(t *testing.T) {
	accepts(t, parseJump, map[string]string{"bastion": "bastion:22", "ops@bastion": "ops@bastion:22", "ops@10.0.0.9:2200": "ops@10.0.0.9:2200"})
	refuses(t, parseJump, "", "@bastion", "ops@", "ops@bastion:ssh", "a b@bastion", "-oProxyCommand@bastion")
}

func TestVersions(t *testing.T) {
	accepts(t, parseVersion, map[string]string{"6.4.2": "6.4.2", "6.4": "6.4", "6.5.0-rc1": "6.5.0-rc1"})
	refuses(t, parseVersion, "", "latest", "6.x")
}

func TestReleaseURLs(t *testing.T) {
	accepts(t, parseReleaseURL, map[string]string{
		"https://mirror.example/valt": "https://mirror.example/valt/", "https://10.123.0.2/valt/": "https://10.123.0.2/valt/", "http://mirror:8080": "http://mirror:8080/",
	})
	refuses(t, parseReleaseURL, "", "mirror.example/valt", "ftp://mirror", "https://", "https://u:p@mirror/", "https://mirror/?a=b", "https://mirror/#a", "https://[fe80::1]/", "https://mirror:0/", "https://%zz/")
}

func TestProxies(t *testing.T) {
	accepts(t, parseProxy, map[string]string{"http://proxy:3128": "http://proxy:3128", "http://proxy:3128/": "http://proxy:3128", "https://proxy.example": "https://proxy.example"})
	refuses(t, parseProxy, "", "proxy:3128", "socks5://proxy", "http://ops@proxy", "http://proxy/path")
}

func TestAgeRecipients(t *testing.T) {
	const recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
	accepts(t, parseRecipient, map[string]string{recipient: recipient})
	refuses(t, parseRecipient, "", "age1", recipient[:61], recipient+"q", strings.Replace(recipient, "ql3", "qb3", 1), "ssh-ed25519 AAAA", "AGE-SECRET-KEY-1QQ")
}

func TestWindows(t *testing.T) {
	accepts(t, parseWindow, map[string]string{"Sun 02:00-05:00": "Sun 02:00-05:00", "saturday 23:30-01:00": "Sat 23:30-01:00", "Mon 0:15-1:00": "Mon 00:15-01:00"})
	refuses(t, parseWindow, "", "Sun", "Sun 02:00", "Sun 2-5", "Sun 02:00-24:30", "Someday 02:00-05:00", "Sun 02:00-02:00", "Sun 02:00 - 05:00")
	w, err := parseWindow("Wed 23:30-01:00")
	if err != nil || w.Day != time.Wednesday || w.From != 23*time.Hour+30*time.Minute || w.To != time.Hour {
		t.Errorf("got %+v, %v", w, err)
	}
}

func TestBlackouts(t *testing.T) {
	accepts(t, parseBlackout, map[string]string{"2026-12-20/2027-01-03": "2026-12-20/2027-01-03", "2026-12-25/2026-12-25": "2026-12-25/2026-12-25"})
	refuses(t, parseBlackout, "", "2026-12-25", "2026-02-30/2026-03-01", "2027-01-03/2026-12-20", "20.12.2026/03.01.2027")
}

func TestTimezones(t *testing.T) {
	accepts(t, parseTimezone, map[string]string{"America/Chicago": "America/Chicago", "UTC": "UTC"})
	refuses(t, parseTimezone, "", "Local", "Chicago", "../etc/passwd", "UTC+1")
}

func TestWaves(t *testing.T) {
	accepts(t, parseWave, map[string]string{"25%": "25%", "100%": "100%", "1": "1", "12": "12"})
	refuses(t, parseWave, "", "0", "0%", "101%", "-1", "2.5%", "half", "%")
}

func TestDurations(t *testing.T) {
	accepts(t, parseDuration, map[string]string{"10m": "10m", "1h30m": "1h30m", "2h": "2h", "90s": "1m30s", "1h0m5s": "1h0m5s", "10m0s": "10m"})
	refuses(t, parseDuration, "", "10", "-1m", "0s", "ten minutes")
}

func TestCameras(t *testing.T) {
	for text, want := range map[string]string{
		"10.0.9.11":             "10.0.9.11",
		"10.0.9.20-10.0.9.22":   "10.0.9.20, 10.0.9.21, 10.0.9.22",
		"10.0.9.20 - 10.0.9.21": "10.0.9.20, 10.0.9.21",
		"10.0.9.255-10.0.10.0":  "10.0.9.255, 10.0.10.0",
		"10.0.9.11-10.0.9.11":   "10.0.9.11",
		"front-door.example":    "front-door.example",
	} {
		got, err := parseCameras(text)
		if err != nil {
			t.Errorf("%q is refused: %v", text, err)
		}
		var addresses []string
		for _, c := range got {
			addresses = append(addresses, string(c.Address))
			if c.HTTP != 80 || c.RTSP != 554 {
				t.Errorf("%q: ports %d and %d, want 80 and 554", text, c.HTTP, c.RTSP)
			}
		}
		if s := strings.Join(addresses, ", "); s != want {
			t.Errorf("%q became %s, want %s", text, s, want)
		}
	}
	refuses(t, parseCameras, "", "10.0.9.39-10.0.9.20", "10.0.9.20-39", "10.0.9.20-", "-10.0.9.20", "fe80::1-fe80::9", "10.0.0.0-10.255.0.0", "223.255.255.255-224.0.0.1")
}

func TestRangesAreWrittenShort(t *testing.T) {
	cameras := []Camera{{Address: "10.0.9.1"}, {Address: "10.0.9.2"}, {Address: "10.0.9.3"}, {Address: "door.example"}, {Address: "10.0.9.9"}}
	if got, want := ranges(cameras), "10.0.9.1-10.0.9.3, door.example, 10.0.9.9"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestTextIsOneLine(t *testing.T) {
	accepts(t, parseText, map[string]string{"lobby": "lobby", "Room 2 (north)": "Room 2 (north)"})
	refuses(t, parseText, "", "a\nb", "\x1b[31mred")
}

func TestHostPaths(t *testing.T) {
	accepts(t, parseHostPath, map[string]string{"/srv/valt": "/srv/valt", "/srv//valt/": "/srv/valt"})
	refuses(t, parseHostPath, "", "srv", "~/valt", "/", "/srv/..")
}
