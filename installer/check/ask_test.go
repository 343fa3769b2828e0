package check

import (
	"slices"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/release"
)

// siteOf parses a site file of tests.
func siteOf(t *testing.T, text string) *site.Site {
	t.Helper()
	s, err := site.Parse("site.yaml", []byte(text), "/home/valt")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const threeHosts = `
site: st-marys
name: valt.st-marys.example
ssl: true
hosts:
  - { name: app1, address: 10.0.4.10, roles: [app] }
  - { name: media1, address: 10.0.4.21, roles: [media], cameras: [10.0.9.11] }
  - { name: media2, address: 10.0.4.22, roles: [media], wowza: { license: physical } }
clients: [10.0.0.0/16]
admins: [10.0.99.0/28]
network: { dns: [10.0.0.53], proxy: "http://proxy.example.com:3128" }
`

const inTheCloud = `
site: st-marys
ssl: true
hosts:
  - { name: media1, address: 10.0.4.21, roles: [media], cameras: [10.0.9.11] }
clients: [10.0.0.0/16]
cloud: { app: valt.example.com, tunnel: tunnel.example.com }
beam: { devices: [10.0.20.0/24] }
`

func flowNamed(t *testing.T, s *site.Site, id string) network.Flow {
	t.Helper()
	for _, f := range network.Flows(s) {
		if f.ID == id || slices.Contains(strings.Split(f.ID, "+"), id) {
			return f
		}
	}
	t.Fatalf("the site has no flow %s", id)
	return network.Flow{}
}

func TestEveryRowOfThePageIsAskedInItsOwnProtocol(t *testing.T) {
	s := siteOf(t, threeHosts)
	a := asker{site: s, codename: "noble"}
	for _, table := range network.Tables() {
		for _, row := range table.Rows {
			f := network.Flow{Protocol: row.Protocol, Port: row.Port, Destination: network.Party{Kind: network.KindVendor, Name: strings.TrimPrefix(strings.TrimPrefix(row.Destination, "https://"), "http://")}}
			if got := a.question(f, row.ID).Ask; got == probe.AskConnect && row.ID != "advisory.proxy" {
				t.Errorf("row %s is asked for an open port alone", row.ID)
			}
		}
	}
}

func TestQuestionsOfAFlow(t *testing.T) {
	three, cloud := siteOf(t, threeHosts), siteOf(t, inTheCloud)
	for name, c := range map[string]struct {
		site *site.Site
		flow string
		want probe.Spec
	}{
		"the web application by its own name": {three, "client.https/clients-10.0.0.0-16/app1",
			probe.Spec{Ask: probe.AskHTTPS, Protocol: "tcp", Host: "10.0.4.10", Port: 443, Name: "valt.st-marys.example", Path: "/"}},
		"the cloud by its name": {cloud, "client.https/clients-10.0.0.0-16/valt.example.com",
			probe.Spec{Ask: probe.AskHTTPS, Protocol: "tcp", Host: "valt.example.com", Port: 443, Name: "valt.example.com", Path: "/"}},
		"Ubuntu's index through the proxy": {three, "updates.ubuntu-security/media1/security.ubuntu.com",
			probe.Spec{Ask: probe.AskApt, Protocol: "tcp", Host: "security.ubuntu.com", Port: 80, Proxy: "http://proxy.example.com:3128",
				Path: "/ubuntu/dists/noble-security/InRelease", Keyring: ubuntuKeyring}},
		"the registry through the proxy": {three, "updates.docker-registry/app1/docker.ipivs.com",
			probe.Spec{Ask: probe.AskRegistry, Protocol: "tcp", Host: "docker.ipivs.com", Port: 443, Proxy: "http://proxy.example.com:3128"}},
		"the licence servers without it": {three, "wowza.license1/media1/wowzalicense1.wowzamedia.com",
			probe.Spec{Ask: probe.AskHTTP, Protocol: "tcp", Host: "wowzalicense1.wowzamedia.com", Port: 80}},
		"a camera's stream": {three, "camera.rtsp/media1/10.0.9.11",
			probe.Spec{Ask: probe.AskRTSP, Protocol: "tcp", Host: "10.0.9.11", Port: 554}},
		"the tunnel's peer": {cloud, "tunnel.ike-nat/media1/tunnel.example.com",
			probe.Spec{Ask: probe.AskIKE, Protocol: "udp", Host: "tunnel.example.com", Port: 4500}},
		"GRE, which has no port": {cloud, "tunnel.gre/media1/tunnel.example.com",
			probe.Spec{Ask: probe.AskGRE, Protocol: "gre", Host: "tunnel.example.com"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := asker{site: c.site, codename: "noble"}.questions(flowNamed(t, c.site, c.flow))
			if len(got) != 1 || !same(got[0], c.want) || got[0].Host != c.want.Host || got[0].Port != c.want.Port || got[0].Proxy != c.want.Proxy || got[0].Protocol != c.want.Protocol {
				t.Errorf("asked %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestReleaseSaysWhichIndexAndKeyCount(t *testing.T) {
	s := siteOf(t, threeHosts)
	m := &release.Manifest{Apt: []release.AptSource{
		{Name: "ipivs", URI: "https://apt.ipivs.com/debian", Suites: []string{"{codename}"}, Key: "armoured"},
		{Name: "docker", URI: "https://download.docker.com/linux/ubuntu", Suites: []string{"stable/"}, Key: "another"},
	}}
	a := asker{site: s, manifest: m, codename: "noble"}
	if got := a.questions(flowNamed(t, s, "updates.ivs-apt/app1/apt.ipivs.com"))[0]; !got.TLS || got.Path != "/debian/dists/noble/InRelease" || got.Keyring != "release/ipivs" {
		t.Errorf("apt.ipivs.com is asked as %+v", got)
	}
	if got := a.questions(flowNamed(t, s, "updates.docker-apt/app1/download.docker.com"))[0]; got.Path != "/linux/ubuntu/stable/InRelease" {
		t.Errorf("a flat repository is asked as %+v", got)
	}
	if got := string(a.keyrings()["release/docker"]); got != "another" {
		t.Errorf("the key for it is %q", got)
	}
	a.manifest = nil
	if got := a.questions(flowNamed(t, s, "updates.ivs-apt/app1/apt.ipivs.com"))[0]; got.Ask != probe.AskHTTPS {
		t.Errorf("without a release apt.ipivs.com is asked as %+v", got)
	}
}

func TestABlobOfTheReleaseIsAskedOfTheRegistry(t *testing.T) {
	s := siteOf(t, threeHosts)
	image := func(repository string) release.Image {
		return release.Image{Repository: repository, Platforms: map[string]release.ImagePlatform{"linux/amd64": {Manifest: "sha256:m", Config: "sha256:c"}}}
	}
	a := asker{site: s, codename: "noble", manifest: &release.Manifest{Images: map[string]release.Image{
		"engine": image("elsewhere.example/engine"), "web": image("docker.ipivs.com/valt/web")}}}
	got := a.questions(flowNamed(t, s, "updates.docker-registry/app1/docker.ipivs.com"))
	if len(got) != 2 || got[1].Ask != probe.AskBlob || got[1].Path != "/v2/valt/web/blobs/sha256:c" || got[1].Host != got[0].Host || got[1].Proxy != got[0].Proxy {
		t.Errorf("asked %+v", got)
	}
}

func TestOneMirrorForSeveralNamesIsAskedEverything(t *testing.T) {
	s := siteOf(t, threeHosts+`  `+"\n")
	s.Network.Endpoints = map[string]site.Endpoint{"docker.ipivs.com": {Host: "mirror.example.com"}, "changelogs.ubuntu.com": {Host: "mirror.example.com"}}
	f := flowNamed(t, s, "updates.docker-registry/app1/docker.ipivs.com")
	var asks []probe.Ask
	for _, q := range (asker{site: s, codename: "noble"}).questions(f) {
		asks = append(asks, q.Ask)
	}
	if !slices.Contains(asks, probe.AskRegistry) || !slices.Contains(asks, probe.AskMetaRelease) || len(asks) != 2 {
		t.Errorf("one flow for two names is asked %v", asks)
	}
}

func TestNameServersAreAskedForEveryNameOfTheSite(t *testing.T) {
	s := siteOf(t, threeHosts)
	names := asker{site: s}.names()
	for _, want := range []string{"docker.ipivs.com", "wowzalicense3.wowzamedia.com", "security.ubuntu.com"} {
		if !slices.Contains(names, want) {
			t.Errorf("nobody asks for %s: %v", want, names)
		}
	}
	if len(names) != 11 {
		t.Errorf("%d names, want the page's 11: %v", len(names), names)
	}
}
