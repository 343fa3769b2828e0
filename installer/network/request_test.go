package network

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEveryRowHasAPurposeAndALifetimeAndNoOtherHas(t *testing.T) {
	explained := 0
	rows := 0
	for _, table := range Tables() {
		for _, r := range table.Rows {
			rows++
			e, ok := Explain(r.ID)
			if !ok || !strings.HasSuffix(e.Purpose, ".") || longer("", e.Lifetime) != e.Lifetime || e.Lifetime == "" {
				t.Errorf("%s: %+v", r.ID, e)
			}
			if strings.Contains(r.Application, "*") && !strings.Contains(e.Unclear, "asterisk") {
				t.Errorf("%s: the page marks it with an asterisk, and the row does not say so", r.ID)
			}
			if r.Application == "HTTP/HTTPS" && !strings.Contains(e.Unclear, "HTTP/HTTPS") {
				t.Errorf("%s: the page leaves the protocol open, and the row does not say so", r.ID)
			}
		}
	}
	for _, table := range []string{"client", "camera", "beam", "updates", "app-to-media", "wowza", "tunnel", "advisory"} {
		explained += len(explanations(table))
	}
	if explained != rows {
		t.Errorf("%d explanations for %d rows", explained, rows)
	}
}

// Ports that the page names differently in its tables are those that say so.
func TestPortsThatThePageNamesInTwoWaysSaySo(t *testing.T) {
	names := map[uint16]map[string]bool{}
	for _, table := range Tables() {
		for _, r := range table.Rows {
			if r.Port == 444 || r.Port == 1935 {
				if names[r.Port] == nil {
					names[r.Port] = map[string]bool{}
				}
				names[r.Port][r.Application] = true
			}
		}
	}
	for port, words := range names {
		for _, table := range Tables() {
			for _, r := range table.Rows {
				e, _ := Explain(r.ID)
				for word := range words {
					if r.Port == port && !strings.Contains(e.Unclear, word) {
						t.Errorf("%s: the page also calls port %d %s, and the row does not say so", r.ID, port, word)
					}
				}
			}
		}
	}
}

func TestARequestHoldsEveryFlowOnce(t *testing.T) {
	for name, s := range sampleSites(t) {
		flows := Flows(s)
		items := Request(s, flows, nil)
		counts := map[string]int{}
		for _, i := range items {
			for _, id := range i.Flows {
				counts[id]++
			}
		}
		grouped := 0
		for _, g := range Groups(items) {
			grouped += len(g.Items)
			if len(g.Items) != len(g.Sources)*len(g.Destinations) {
				t.Errorf("%s: a group of %d×%d ends holds %d items: it asks for more than the site needs", name, len(g.Sources), len(g.Destinations), len(g.Items))
			}
		}
		if grouped != len(items) || len(counts) != len(flows) {
			t.Errorf("%s: %d flows, of them %d in %d items, of them %d in groups", name, len(flows), len(counts), len(items), grouped)
		}
		for id, n := range counts {
			if n != 1 {
				t.Errorf("%s: %s is asked for %d times", name, id, n)
			}
		}
	}
}

func TestDirectionsAreSeenFromTheServers(t *testing.T) {
	s := parse(t, everything)
	for _, tt := range []struct {
		row   string
		about []string
		want  Direction
	}{
		{"client.https", nil, In}, {"camera.rtsp", nil, Out}, {"updates.ivs-apt", nil, Out}, {"app-to-media.ssh", nil, Between},
		{"app-to-media.ssh", []string{"app1"}, Out}, {"app-to-media.ssh", []string{"media1"}, In}, {"app-to-media.ssh", []string{"app1", "media1"}, Between},
	} {
		for _, i := range Request(s, Flows(s), tt.about) {
			if slices.Contains(i.Rows, tt.row) && i.Direction != tt.want {
				t.Errorf("%s about %v is %q, want %q", tt.row, tt.about, i.Direction, tt.want)
			}
		}
	}
}

func TestWithAProxyTheRequestSaysWhatTheProxyMustReach(t *testing.T) {
	s := parse(t, everything)
	var lines []string
	for _, i := range Request(s, Flows(s), nil) {
		if i.Proxied || slices.ContainsFunc(i.Rows, func(r string) bool { return r == "advisory.proxy" || r == "wowza.license1" }) {
			lines = append(lines, fmt.Sprintf("%s -> %s %s, %s, for %d", i.Source.Address, i.Destination.Address, i.Asked(), i.Lifetime, len(i.Flows)))
		}
	}
	want := []string{
		"proxy.example.com -> us.archive.ubuntu.com TCP 80, during installation and updates, for 2",
		"proxy.example.com -> security.ubuntu.com TCP 80, during installation and updates, for 2",
		"proxy.example.com -> apt.ipivs.com TCP 443, during installation and updates, for 2",
		"proxy.example.com -> changelogs.ubuntu.com TCP 443, during installation and updates, for 2",
		"proxy.example.com -> download.docker.com TCP 443, during installation and updates, for 2",
		"proxy.example.com -> docker.ipivs.com TCP 443, during installation and updates, for 2",
		"10.0.4.21 -> wowzalicense1.wowzamedia.com TCP 80, permanent, for 1",
		"10.0.4.10 -> proxy.example.com TCP 3128, during installation and updates, for 1",
		"10.0.4.21 -> proxy.example.com TCP 3128, during installation and updates, for 1",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("wanted (-) and got (+):\n%s", diff)
	}
}

func TestTheTunnelIsAskedForByProtocolNumber(t *testing.T) {
	s := sampleSites(t)["sites-cloud"]
	var out bytes.Buffer
	if err := WriteRequestCSV(&out, Request(s, Flows(s), nil)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{",vpn.example.com,IP protocol 47 (GRE),,GRE tunnel,", ",vpn.example.com,IP protocol 50 (ESP),,", ",vpn.example.com,UDP,500,"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestASpreadsheetReadsNoFormula(t *testing.T) {
	s := parse(t, change("cameras: [10.0.9.11]", `cameras: [{name: "=HYPERLINK(1)", address: 10.0.9.12}]`))
	var out bytes.Buffer
	if err := WriteRequestCSV(&out, Request(s, Flows(s), nil)); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		for _, cell := range row {
			if strings.HasPrefix(cell, "=") {
				t.Errorf("a formula: %q", cell)
			}
		}
	}
}

func TestRequestsOfTheSampleSites(t *testing.T) {
	sites := sampleSites(t)
	for _, name := range []string{"sites-full", "sites-single", "sites-cloud", "network-mixed-roles"} {
		t.Run(name, func(t *testing.T) {
			var request, flows bytes.Buffer
			if err := WriteRequestCSV(&request, Request(sites[name], Flows(sites[name]), nil)); err != nil {
				t.Fatal(err)
			}
			if err := WriteCSV(&flows, Flows(sites[name])); err != nil {
				t.Fatal(err)
			}
			golden(t, "../../testdata/papers/"+name+".request.csv", request.Bytes())
			golden(t, "../../testdata/papers/"+name+".csv", flows.Bytes())
		})
	}
}

func TestRunsOfAddressesAreRanges(t *testing.T) {
	camera := func(name, address string) Party { return Party{Name: name, Address: address} }
	got := PartiesText([]Party{
		camera("camera", "10.0.9.20"), camera("camera", "10.0.9.21"), camera("camera", "10.0.9.22"),
		camera("lobby", "10.0.9.23"), camera("camera", "door.example.com"), camera("apt.ipivs.com", "apt.ipivs.com"),
		{Kind: KindVendor, Name: "docker.ipivs.com", Address: "mirror.example.com"},
	})
	want := []string{"camera 10.0.9.20–10.0.9.22 (3)", "lobby 10.0.9.23", "camera door.example.com", "apt.ipivs.com", "mirror.example.com (in place of docker.ipivs.com)"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("wanted (-) and got (+):\n%s", diff)
	}
}
