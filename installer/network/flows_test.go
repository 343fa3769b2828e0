package network

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ipivs.com/valtctl/installer/site"
)

// everything is a site with every key of the page on, save for those that exclude each
// other.
const everything = `site: all
ssl: true
clients: [10.0.0.0/16]
admins: [10.0.99.0/28]
beam: {devices: [10.0.20.0/24]}
network: {dns: [10.0.0.53], ntp: [10.0.0.1], proxy: "http://proxy.example.com:3128"}
hosts:
  - {name: app1, address: 10.0.4.10, roles: [app]}
  - {name: media1, address: 10.0.4.21, roles: [media], wowza: {license: electronic}, cameras: [10.0.9.11]}
`

// change replaces parts of everything: old, new, old, new.
func change(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(everything) }

func parse(t *testing.T, text string) *site.Site {
	t.Helper()
	s, err := site.Parse("site.yaml", []byte(text), "")
	if err != nil {
		t.Fatalf("parsing the site: %v", err)
	}
	return s
}

func rowsOf(flows []Flow) []string {
	var rows []string
	for _, f := range flows {
		rows = append(rows, f.Rows...)
	}
	slices.Sort(rows)
	return slices.Compact(rows)
}

func TestSampleSitesMatchTheFlowsWorkedOutByHand(t *testing.T) {
	files, err := filepath.Glob("../../testdata/network/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("finding the sample sites: %v, %d found", err, len(files))
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			s, err := site.Load(file, "")
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(strings.TrimSuffix(file, ".yaml") + ".flows")
			if err != nil {
				t.Fatalf("reading the flows: %v", err)
			}
			var got []string
			for _, f := range Flows(s) {
				if f.Basis == Vendor {
					got = append(got, strings.Join([]string{f.Source.Address, f.Destination.Address, string(f.Protocol), f.PortText()}, ","))
				}
			}
			slices.Sort(got)
			lines := strings.Fields(string(want))
			slices.Sort(lines)
			if diff := cmp.Diff(lines, got); diff != "" {
				t.Errorf("worked out by hand (-) and computed (+) differ:\n%s", diff)
			}
		})
	}
}

// Each key, turned off and on: exactly the rows of the key come and go.
func TestKeysTurnTheirRowsOnAndOff(t *testing.T) {
	sslOn := []string{"app-to-media.https", "beam.https", "beam.rtmps", "client.https", "client.wss", "media-to-app.https"}
	sslOff := []string{"app-to-media.http", "beam.http", "beam.rtmp", "client.http", "client.ws", "media-to-app.http"}
	multiple := []string{
		"app-to-media.control", "app-to-media.https", "app-to-media.rest", "app-to-media.ssh", "app-to-media.webserver",
		"media-to-app.control", "media-to-app.https", "media-to-app.rest", "media-to-app.ssh",
	}
	updates := []string{"updates.docker-apt", "updates.docker-registry", "updates.ivs-apt", "updates.ubuntu-archive", "updates.ubuntu-changelogs", "updates.ubuntu-security"}
	licence := []string{"wowza.license-all", "wowza.license1", "wowza.license2", "wowza.license3", "wowza.license4"}
	cloud := []string{"advisory.esp", "certificate.acme", "certificate.route53", "tunnel.gre", "tunnel.ike", "tunnel.ike-nat"}

	full := parse(t, everything)
	tests := []struct {
		key       string
		site      string
		gone, new []string
	}{
		{"SSL disabled", change("ssl: true", "ssl: false"), sslOn, sslOff},
		{"no BEAM", change("beam: {devices: [10.0.20.0/24]}\n", ""), []string{"beam.https", "beam.rtmps"}, nil},
		{"updates by bundle", everything + "updates: {source: bundle}\n", updates, nil},
		{"physical licence", change("license: electronic", "license: physical"), licence, nil},
		{"one server", change("roles: [app]}", "roles: [app, media], wowza: {license: electronic}, cameras: [10.0.9.11]}",
			"  - {name: media1, address: 10.0.4.21, roles: [media], wowza: {license: electronic}, cameras: [10.0.9.11]}\n", ""), multiple, nil},
		{"cloud", change("  - {name: app1, address: 10.0.4.10, roles: [app]}\n", "") + "cloud: {app: valt.example.com}\n", multiple, cloud},
		{"no cameras", change(", cameras: [10.0.9.11]", ""), []string{"camera.http", "camera.rtsp"}, nil},
		{"no proxy", change(`, proxy: "http://proxy.example.com:3128"`, ""), []string{"advisory.proxy"}, nil},
		{"DNS servers unknown", change("dns: [10.0.0.53], ", ""), []string{"advisory.dns-tcp", "advisory.dns-udp"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.key, func(t *testing.T) {
			before, after := rowsOf(Flows(full)), rowsOf(Flows(parse(t, tt.site)))
			gone := slices.DeleteFunc(slices.Clone(before), func(r string) bool { return slices.Contains(after, r) })
			come := slices.DeleteFunc(slices.Clone(after), func(r string) bool { return slices.Contains(before, r) })
			if diff := cmp.Diff(tt.gone, gone); diff != "" {
				t.Errorf("rows that went, wanted (-) and got (+):\n%s", diff)
			}
			if len(tt.new)+len(come) > 0 {
				if diff := cmp.Diff(tt.new, come); diff != "" {
					t.Errorf("rows that came, wanted (-) and got (+):\n%s", diff)
				}
			}
		})
	}
}

// Every row of every table appears at some site, so none is dead data.
func TestEveryRowAppearsSomewhere(t *testing.T) {
	sites := []string{
		everything, change("ssl: true", "ssl: false"),
		change("  - {name: app1, address: 10.0.4.10, roles: [app]}\n", "") + "cloud: {app: valt.example.com}\n",
	}
	var seen []string
	for _, text := range sites {
		seen = append(seen, rowsOf(Flows(parse(t, text)))...)
	}
	seen = append(seen, rowsOf(Further(parse(t, everything), map[string][]string{"app1": {"time.example"}}))...)
	for _, table := range Tables() {
		for _, r := range table.Rows {
			if !slices.Contains(seen, r.ID) {
				t.Errorf("the row %s appears at none of %d sites", r.ID, len(sites))
			}
		}
	}
}

// find is the one flow of a row and pair of ends, as "source -> destination proto/port".
func find(t *testing.T, flows []Flow, row string) []string {
	t.Helper()
	var all []string
	for _, f := range flows {
		if slices.Contains(f.Rows, row) {
			all = append(all, fmt.Sprintf("%s -> %s %s/%s %s", f.Source.Address, f.Destination.Address, f.Protocol, f.PortText(), f.Basis))
		}
	}
	return all
}

func TestWhatASiteSaysChangesTheFlow(t *testing.T) {
	tests := []struct {
		name, site, row string
		want            []string
	}{
		{"administration starts at admins", everything, "admin.wowza",
			[]string{"10.0.99.0/28 -> 10.0.4.10 tcp/8088 vendor", "10.0.99.0/28 -> 10.0.4.21 tcp/8088 vendor"}},
		{"a single address is bare", change("[10.0.0.0/16]", "[10.0.7.9]"), "client.https", []string{"10.0.7.9 -> 10.0.4.10 tcp/443 vendor"}},
		{"a host's SSH port replaces 22 for administration", change("roles: [media]", "roles: [media], ssh: {port: 2222}"), "admin.ssh",
			[]string{"10.0.99.0/28 -> 10.0.4.10 tcp/22 vendor", "10.0.99.0/28 -> 10.0.4.21 tcp/2222 vendor"}},
		{"and between servers", change("roles: [media]", "roles: [media], ssh: {port: 2222}"), "app-to-media.ssh", []string{"10.0.4.10 -> 10.0.4.21 tcp/2222 vendor"}},
		{"but not for the other host", change("roles: [media]", "roles: [media], ssh: {port: 2222}"), "media-to-app.ssh", []string{"10.0.4.21 -> 10.0.4.10 tcp/22 vendor"}},
		{"the site's SSH port is every host's", everything + "ssh: {port: 2200}\n", "admin.ssh",
			[]string{"10.0.99.0/28 -> 10.0.4.10 tcp/2200 vendor", "10.0.99.0/28 -> 10.0.4.21 tcp/2200 vendor"}},
		{"a camera's own ports", change("cameras: [10.0.9.11]", "cameras: [{address: 10.0.9.12, http: 8080, rtsp: 8554}]"), "camera.rtsp", []string{"10.0.4.21 -> 10.0.9.12 tcp/8554 vendor"}},
		{"an endpoint's replacement", change("network: {", "network: {endpoints: {docker.ipivs.com: mirror.example.com}, "), "updates.docker-registry",
			[]string{"10.0.4.10 -> mirror.example.com tcp/443 vendor", "10.0.4.21 -> mirror.example.com tcp/443 vendor"}},
		{"an endpoint's replacement with a port", change("network: {", "network: {endpoints: {wowzalicense1.wowzamedia.com: \"10.0.0.9:8080\"}, "), "wowza.license1",
			[]string{"10.0.4.21 -> 10.0.0.9 tcp/8080 vendor"}},
		{"a proxy is advisory and changes no vendor row", everything, "advisory.proxy",
			[]string{"10.0.4.10 -> proxy.example.com tcp/3128 advisory", "10.0.4.21 -> proxy.example.com tcp/3128 advisory"}},
		{"a proxy without a port has its scheme's", change(":3128", ""), "advisory.proxy",
			[]string{"10.0.4.10 -> proxy.example.com tcp/80 advisory", "10.0.4.21 -> proxy.example.com tcp/80 advisory"}},
		{"without ntp the hosts ask Ubuntu's", change("ntp: [10.0.0.1], ", ""), "advisory.ntp",
			[]string{"10.0.4.10 -> ntp.ubuntu.com udp/123 advisory", "10.0.4.21 -> ntp.ubuntu.com udp/123 advisory"}},
		{"a mirror on a host is no flow to itself", change("network: {", "network: {endpoints: {docker.ipivs.com: 10.0.4.10}, "), "updates.docker-registry",
			[]string{"10.0.4.21 -> 10.0.4.10 tcp/443 vendor"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, find(t, Flows(parse(t, tt.site)), tt.row)); diff != "" {
				t.Errorf("wanted (-) and got (+):\n%s", diff)
			}
		})
	}
}

func TestTheTunnelsPeerMayHaveAnotherName(t *testing.T) {
	s := parse(t, change("  - {name: app1, address: 10.0.4.10, roles: [app]}\n", "")+"cloud: {app: valt.example.com, tunnel: vpn.example.com}\n")
	flows := Flows(s)
	for row, want := range map[string][]string{
		"tunnel.ike":   {"10.0.4.21 -> vpn.example.com udp/500 vendor"},
		"tunnel.gre":   {"10.0.4.21 -> vpn.example.com gre/ vendor"},
		"advisory.esp": {"10.0.4.21 -> vpn.example.com esp/ advisory"},
		"client.https": {"10.0.0.0/16 -> valt.example.com tcp/443 vendor"},
		"admin.wowza":  {"10.0.99.0/28 -> 10.0.4.21 tcp/8088 vendor"},
	} {
		if diff := cmp.Diff(want, find(t, flows, row)); diff != "" {
			t.Errorf("%s: wanted (-) and got (+):\n%s", row, diff)
		}
	}
}

func TestEqualFlowsAreOneRowWithJoinedIDs(t *testing.T) {
	flows := Flows(parse(t, change("ssl: true", "ssl: false", "[10.0.20.0/24]", "[10.0.0.0/16]", "  - {name: app1, address: 10.0.4.10, roles: [app]}\n", "", "roles: [media]", "roles: [app, media]")))
	i := slices.IndexFunc(flows, func(f Flow) bool { return slices.Contains(f.Rows, "beam.http") })
	if i < 0 {
		t.Fatal("no flow of beam.http")
	}
	want := "client.http/clients-10.0.0.0-16/media1+beam.http/beam-10.0.0.0-16/media1"
	if f := flows[i]; f.ID != want || f.Source.Name != "clients+beam" || f.Destination.Name != "media1" {
		t.Errorf("got %s from %s to %s, want %s", f.ID, f.Source.Name, f.Destination.Name, want)
	}
}

func TestAVendorRowThatMeetsAnAdvisoryOneStaysTheVendors(t *testing.T) {
	s := parse(t, change("network: {", `network: {endpoints: {docker.ipivs.com: "proxy.example.com:3128"}, `))
	want := []string{"10.0.4.10 -> proxy.example.com tcp/3128 vendor", "10.0.4.21 -> proxy.example.com tcp/3128 vendor"}
	if diff := cmp.Diff(want, find(t, Flows(s), "advisory.proxy")); diff != "" {
		t.Errorf("wanted (-) and got (+):\n%s", diff)
	}
}

func TestNoTwoFlowsShareAnIDOrAPlaceInAFirewall(t *testing.T) {
	doubled := change("clients: [10.0.0.0/16]", "clients: [10.0.0.0/16, 10.0.0.0/16, 10.1.0.0/16]", "dns: [10.0.0.53]", "dns: [10.0.0.53, 10.0.0.53]")
	ids, places := map[string]bool{}, map[string]bool{}
	for _, f := range Flows(parse(t, doubled)) {
		place := strings.Join([]string{f.Source.Address, f.Destination.Address, string(f.Protocol), f.PortText()}, " ")
		if ids[f.ID] || places[place] {
			t.Errorf("%s (%s) stands twice", f.ID, place)
		}
		ids[f.ID], places[place] = true, true
	}
}

func TestCSVHasTheContractsHeaderAndOneRowAFlow(t *testing.T) {
	flows := Flows(parse(t, change("  - {name: app1, address: 10.0.4.10, roles: [app]}\n", "")+"cloud: {app: valt.example.com}\n"))
	var out bytes.Buffer
	if err := WriteCSV(&out, flows); err != nil {
		t.Fatal(err)
	}
	header, _, _ := strings.Cut(out.String(), "\n")
	if want := "id,source,source_address,destination,destination_address,protocol,port,service,basis"; header != want {
		t.Errorf("header %q, want %q", header, want)
	}
	rows, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(rows) != len(flows)+1 {
		t.Fatalf("%d rows for %d flows: %v", len(rows), len(flows), err)
	}
	want := []string{"tunnel.gre/media1/valt.example.com", "media1", "10.0.4.21", "cloud", "valt.example.com", "gre", "", "GRE tunnel", "vendor"}
	if !slices.ContainsFunc(rows, func(r []string) bool { return slices.Equal(r, want) }) {
		t.Errorf("no row %v in\n%v", want, rows)
	}
}

func TestTouchesFindsBothEnds(t *testing.T) {
	n := 0
	for _, f := range Flows(parse(t, everything)) {
		switch {
		case f.Source.Name == "app1" || f.Destination.Name == "app1":
			n++
			if !f.Touches("app1") {
				t.Errorf("%s does not touch app1", f.ID)
			}
		case f.Touches("app1"):
			t.Errorf("%s touches app1", f.ID)
		}
	}
	if n == 0 {
		t.Error("no flow touches app1")
	}
}
