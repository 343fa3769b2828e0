package plan

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/apt"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/step/files"
	"ipivs.com/valtctl/installer/step/system"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
	"ipivs.com/valtctl/repos/release/allowed"
)

// update writes golden files anew: go test ./installer/plan -run Order -update.
var update = flag.Bool("update", false, "write golden files anew")

const hexDigits = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func sampleImage(repository string) release.Image {
	return release.Image{Repository: repository, Platforms: map[string]release.ImagePlatform{
		"linux/amd64": {Manifest: "sha256:" + hexDigits, Config: "sha256:" + strings.Repeat(hexDigits[:16], 4), Size: 1 << 20}}}
}

// sampleRelease is a small release in every respect that a plan knows.
func sampleRelease() *release.Manifest {
	return &release.Manifest{
		Version: "6.4.1", Ubuntu: []string{"24.04"},
		Apt: []release.AptSource{
			{Name: "ubuntu", URI: "http://us.archive.ubuntu.com/ubuntu", Suites: []string{"{codename}", "{codename}-updates"},
				Components: []string{"main"}, Keyring: "/usr/share/keyrings/ubuntu-archive-keyring.gpg"},
			{Name: "valt", URI: "https://apt.ipivs.com/ubuntu", Suites: []string{"{codename}"}, Components: []string{"main"}, Key: "armoured"},
		},
		Packages: []release.Package{{Name: "ca-certificates"}, {Name: "valt-host", Version: "6.4.1-1"},
			{Name: "valt-app-tools", Roles: []string{"app"}}, {Name: "docker-ce", Engine: true}},
		Images: map[string]release.Image{
			"web": sampleImage("docker.ipivs.com/valt/web"), "db": sampleImage("docker.ipivs.com/valt/db"), "engine": sampleImage("docker.ipivs.com/valt/engine")},
		Roles: map[string]release.Role{
			"app": {Health: []release.Health{{Name: "web", URL: "${VALT_SCHEME}://${VALT_NAME}/health", Status: 200}},
				Directories: []release.Directory{{Path: "/var/lib/valt/db", Mode: "0700"}},
				Passwords:   []release.Password{{Name: "db", Path: "/etc/valt/secrets/db"}},
				Files:       []release.ConfigFile{{Path: "/etc/valt/app.conf", Mode: "0644", Content: "lines=${VALT_SETTING_LINES}\n"}}},
			"media": {Health: []release.Health{{Name: "engine", URL: "http://127.0.0.1:8086/", Status: 200}}},
		},
		Settings: map[string]release.Setting{"lines": {Default: "10", Description: "how many"}},
		Paths:    release.Paths{Certificate: "/etc/valt/tls/cert.pem", Key: "/etc/valt/tls/key.pem", Licence: "/etc/valt/licence", Compose: "/etc/valt/compose"},
		Dongle:   release.Dongle{Vendor: "0529", Device: "/dev/bus/usb", Service: "engine"},
	}
}

const appCompose = `
services:
  web:
    image: docker.ipivs.com/valt/web
    depends_on: [db]
    ports: ["${VALT_WEB_PORT}:${VALT_WEB_PORT}"]
    networks: [valt]
  db:
    image: docker.ipivs.com/valt/db
    networks: [valt]
    volumes:
      - { type: bind, source: /var/lib/valt/db, target: /var/lib/mysql }
networks:
  valt: {}
`

const mediaCompose = `
services:
  engine:
    image: docker.ipivs.com/valt/engine
    network_mode: host
    environment: { CAMERAS: "${VALT_CAMERAS}" }
    volumes:
      - { type: bind, source: "${VALT_RECORDINGS}/recordings", target: /recordings }
`

const sampleSite = `
site: st-marys
name: valt.example
ssl: true
tls: { certificate: c.pem, key_file: c.key }
release: { version: 6.4.1 }
registry: { username: st-marys, password_file: p }
clients: [10.0.0.0/16]
hosts:
  - { name: app1, address: 10.0.4.10, roles: [app] }
  - { name: media1, address: 10.0.4.21, roles: [media], recordings: /srv/valt, wowza: { key_file: k }, cameras: [10.0.9.11, 10.0.9.12] }
`

// input is a whole input for a site file; edits change it before it is returned.
func input(t testing.TB, file string, edits ...func(*Input)) Input {
	t.Helper()
	s, err := site.Parse("site.yaml", []byte(file), "/home/x")
	if err != nil {
		t.Fatal(err)
	}
	in := Input{Site: s, Manifest: sampleRelease(), Hosts: map[string]HostFacts{},
		Compose: map[site.Role][]byte{site.App: []byte(appCompose), site.Media: []byte(mediaCompose)},
		Public:  Public{Certificate: "PEM", Trust: []system.Authority{{Name: "customer", PEM: "CA"}}}}
	for _, h := range s.Hosts {
		in.Hosts[h.Name] = HostFacts{Codename: "noble", Arch: "amd64"}
	}
	for _, edit := range edits {
		edit(&in)
	}
	return in
}

func build(t *testing.T, in Input) *Plan {
	t.Helper()
	p, err := Build(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// stepOf finds a step and reads its parameters.
func stepOf[T any](t *testing.T, p *Plan, host, id string) T {
	t.Helper()
	hp, _ := p.Host(host)
	i := slices.IndexFunc(hp.Steps, func(s step.Spec) bool { return s.ID == id })
	if i < 0 {
		t.Fatalf("host %s has no step %s", host, id)
	}
	var params T
	if err := json.Unmarshal(hp.Steps[i].Params, &params); err != nil {
		t.Fatal(err)
	}
	return params
}

func outline(p *Plan) string {
	var out strings.Builder
	for _, h := range p.Hosts {
		out.WriteString(h.Host + "\n")
		for _, s := range h.Steps {
			out.WriteString("  " + string(s.Half) + " " + s.ID + " (" + string(s.Disrupts) + ")\n")
		}
	}
	return out.String()
}

func TestPlanIsInTheOrderThatWorks(t *testing.T) {
	golden(t, "outline.txt", outline(build(t, input(t, sampleSite))))
	in := input(t, sampleSite)
	in.Update = true
	golden(t, "outline-update.txt", outline(build(t, in)))
}

// golden compares a text with the file of a name in testdata/plan.
func golden(t *testing.T, name, got string) {
	t.Helper()
	golden := filepath.Join("..", "..", "testdata", "plan", name)
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("the outline differs from %s (-want +got):\n%s", golden, diff)
	}
}

func TestFetchHalfComesFirstAndHoldsEverySecret(t *testing.T) {
	p := build(t, input(t, sampleSite))
	for _, h := range p.Hosts {
		apply := false
		for _, s := range h.Steps {
			apply = apply || s.Half == step.Apply
			if apply && s.Half != step.Apply {
				t.Errorf("%s: %s of the fetch half comes after the apply half began", h.Host, s.ID)
			}
			for _, secret := range []string{SecretCertificateKey, SecretRegistryPassword, `"` + SecretLicence + `"`} {
				if apply && strings.Contains(string(s.Params), secret) {
					t.Errorf("%s: %s of the apply half needs the secret %s from outside", h.Host, s.ID, secret)
				}
			}
		}
	}
}

func TestDigestIsOfTheInputAlone(t *testing.T) {
	digest := func(edits ...func(*Input)) string {
		d, err := build(t, input(t, sampleSite, edits...)).Digest()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	first := digest()
	if len(first) != 64 || digest() != first {
		t.Errorf("the same input gives %s and %s", first, digest())
	}
	for name, edit := range map[string]func(*Input){
		"a release": func(in *Input) { in.Manifest.Version = "6.4.2" },
		"a setting": func(in *Input) { in.Site.Settings = map[string]string{"lines": "20"} },
		"an image": func(in *Input) {
			in.Manifest.Images["db"] = sampleImage("docker.ipivs.com/valt/db2")
			in.Compose[site.App] = []byte(strings.ReplaceAll(appCompose, "valt/db", "valt/db2"))
		},
		"a codename":  func(in *Input) { in.Hosts["app1"] = HostFacts{Codename: "jammy", Arch: "amd64"} },
		"fewer hosts": func(in *Input) { delete(in.Hosts, "media1") },
	} {
		if digest(edit) == first {
			t.Errorf("%s changes nothing in the digest", name)
		}
	}
}

func TestAHostWithARoleWithoutAPlanIsRefused(t *testing.T) {
	in := input(t, sampleSite)
	in.Site.Hosts[0].Roles = append(in.Site.Hosts[0].Roles, "unplanned")
	if _, err := Build(t.Context(), in); err == nil || !strings.Contains(err.Error(), "planning host app1: its role unplanned has no plan") {
		t.Errorf("got %v", err)
	}
}

func TestSiteReplacesTheVendorsNames(t *testing.T) {
	p := build(t, input(t, sampleSite+`
network:
  proxy: http://proxy.example:3128
  docker_pool: 192.168.240.0/20
  ntp: [10.0.0.1]
  endpoints: { docker.ipivs.com: "mirror.example:5000", apt.ipivs.com: apt.example }
`))
	if got := stepOf[docker.ImageParams](t, p, "app1", "image/web"); got.Repository != "mirror.example:5000/valt/web" {
		t.Errorf("image from %s", got.Repository)
	}
	if got := stepOf[apt.SourceParams](t, p, "app1", "apt-source/valt"); got.URI != "https://apt.example/ubuntu" || got.Suites[0] != "noble" {
		t.Errorf("apt source %+v", got)
	}
	cfg := stepOf[docker.EngineConfigParams](t, p, "media1", "engine-config")
	if cfg.AddressPool != "192.168.240.0/20" || cfg.Proxy == "" || cfg.RegistryCAs["mirror.example:5000"] != "CA" || !cfg.LiveRestore {
		t.Errorf("engine configuration %+v", cfg)
	}
	if got := stepOf[system.ClockParams](t, p, "media1", "clock"); !slices.Equal(got.Servers, []string{"10.0.0.1"}) {
		t.Errorf("clock %+v", got)
	}
	if got := stepOf[files.FileParams](t, p, "app1", "file/etc/apt/apt.conf.d/90valtctl-proxy"); !strings.Contains(got.Content, `"http://proxy.example:3128"`) {
		t.Errorf("apt's proxy: %q", got.Content)
	}
}

func TestWhatASiteLacksIsNotPlanned(t *testing.T) {
	plain := strings.NewReplacer("ssl: true", "ssl: false", "wowza: { key_file: k }", "wowza: { license: physical }").Replace(sampleSite)
	p := build(t, input(t, plain, func(in *Input) { in.Public = Public{} }))
	text := outline(p)
	for _, absent := range []string{" certificate ", " licence ", "trusted-ca", "clock", "90valtctl-proxy"} {
		if strings.Contains(text, absent) {
			t.Errorf("%q is planned though the site has none:\n%s", absent, text)
		}
	}
	engine := stepOf[docker.ContainerParams](t, p, "media1", "container/engine")
	usbIsThere(t, engine.Spec)
	if got := stepOf[docker.HealthParams](t, p, "app1", "health/app"); got.Checks[0].URL != "http://valt.example/health" {
		t.Errorf("health is asked at %s", got.Checks[0].URL)
	}
	stepOf[system.DongleParams](t, p, "media1", "dongle")
}

// usbIsThere wants a container to find a USB key under any number, also one that it gets later.
func usbIsThere(t *testing.T, s docker.ContainerSpec) {
	t.Helper()
	at := func(m docker.ContainerMount) bool { return m.Target == "/dev/bus/usb" }
	i := slices.IndexFunc(s.Mounts, at)
	if i < 0 || s.Mounts[i].Type != "bind" || s.Mounts[i].Source != "/dev/bus/usb" || s.Mounts[i].ReadOnly || slices.ContainsFunc(s.Mounts[i+1:], at) {
		t.Errorf("the folder of USB devices is not bound once, to write: %+v", s.Mounts)
	}
	if !slices.Equal(s.DeviceCgroupRules, []string{"c 189:* rmw"}) {
		t.Errorf("USB devices that appear later may not be opened: %q", s.DeviceCgroupRules)
	}
	if len(s.Devices) > 0 {
		t.Errorf("devices are passed by number: %+v", s.Devices)
	}
	if refused := s.Refusals(allowed.Site{Recordings: "/srv/valt"}); len(refused) > 0 {
		t.Errorf("the host refuses it: %v", refused)
	}
}

// A release that itself asks for the key in any of these ways asks for it once.
func TestAUSBKeyIsPassedOnceHoweverTheReleaseAsks(t *testing.T) {
	physical := strings.Replace(sampleSite, "wowza: { key_file: k }", "wowza: { license: physical }", 1)
	for _, asks := range []string{"    volumes:", "    devices: [/dev/bus/usb]\n    volumes:", "    volumes:\n      - /dev/bus/usb:/dev/bus/usb",
		`    device_cgroup_rules: ["c 189:* rmw"]` + "\n    volumes:"} {
		for _, device := range []string{"/dev/bus/usb", "/dev/bus/usb/001/004"} {
			p := build(t, input(t, physical, func(in *Input) {
				in.Manifest.Dongle.Device = device
				in.Compose[site.Media] = []byte(strings.Replace(mediaCompose, "    volumes:", asks, 1))
			}))
			usbIsThere(t, stepOf[docker.ContainerParams](t, p, "media1", "container/engine").Spec)
		}
	}
}

func TestOneServerGetsBothRolesOnce(t *testing.T) {
	single := sampleSite[:strings.Index(sampleSite, "hosts:")] + `hosts:
  - { name: valt, address: 10.0.4.10, roles: [app, media], recordings: /srv/valt, wowza: { key_file: k } }
`
	p := build(t, input(t, single))
	seen := map[string]bool{}
	for _, s := range p.Hosts[0].Steps {
		if seen[s.ID] {
			t.Errorf("step %s is planned twice", s.ID)
		}
		seen[s.ID] = true
	}
	for _, want := range []string{"container/web", "container/engine", "health/app", "health/media", "recordings"} {
		if !seen[want] {
			t.Errorf("step %s is missing", want)
		}
	}
}

func TestSettingsAreTheReleasesOwn(t *testing.T) {
	p := build(t, input(t, sampleSite+"settings: { lines: \"20\" }\n"))
	if got := stepOf[files.FileParams](t, p, "app1", "file/etc/valt/app.conf"); got.Content != "lines=20\n" {
		t.Errorf("the setting is not in the file: %q", got.Content)
	}
	_, err := Build(t.Context(), input(t, sampleSite+"settings: { lnes: \"20\" }\n"))
	if err == nil || !strings.Contains(err.Error(), "settings.lnes") || problem.KindOf(err) != problem.Input {
		t.Errorf("a setting that the release does not have: %v", err)
	}
}

func TestAnUpdateFetchesWithoutDisturbingAnything(t *testing.T) {
	in := input(t, sampleSite)
	in.Update = true
	for _, h := range build(t, in).Hosts {
		applying := false
		for _, s := range h.Steps {
			if s.Half == step.Apply {
				applying = true
			} else if applying {
				t.Errorf("%s: %s fetches after a step that applies", h.Host, s.ID)
			}
			if s.Half == step.Fetch && s.Disrupts != step.Nothing {
				t.Errorf("%s: %s may disrupt the %s before the host is drained", h.Host, s.ID, s.Disrupts)
			}
			if s.Half == step.Fetch && s.Kind == "packages" {
				t.Errorf("%s: %s installs packages before the host is drained", h.Host, s.ID)
			}
		}
	}
}

// A site's own programs are root's: no file, folder or writable bind of a release is in their place.
func TestNothingOfAReleaseTakesThePlaceOfTheSitesPrograms(t *testing.T) {
	for name, edit := range map[string]func(*Input){
		"a file":     func(in *Input) { in.Manifest.Roles["app"].Files[0].Path = "/var/lib/valt/own/page-off" },
		"a password": func(in *Input) { in.Manifest.Roles["app"].Passwords[0].Path = "/var/lib/valt/own/probe" },
		"a bind": func(in *Input) {
			in.Compose[site.App] = []byte(strings.ReplaceAll(appCompose, "source: /var/lib/valt/db", "source: /var/lib/valt/own"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			file := sampleSite + "hooks: { before_drain: /var/lib/valt/own/page-off }\nchecks: [{ name: probe, program: /var/lib/valt/own/probe }]\n"
			if _, err := Build(t.Context(), input(t, file)); err != nil {
				t.Fatal(err)
			}
			in := input(t, sampleSite, edit)
			if _, err := Build(t.Context(), in); err != nil {
				t.Fatalf("without such programs: %v", err)
			}
			in = input(t, file, edit)
			if _, err := Build(t.Context(), in); err == nil || !strings.Contains(err.Error(), "root runs what the site has at /var/lib/valt/own/") {
				t.Error(err)
			}
		})
	}
}

// A health check asks the host itself, also once the site's values are filled in.
func TestAHealthCheckAsksTheHostItself(t *testing.T) {
	in := input(t, sampleSite, func(in *Input) {
		in.Manifest.Settings["lines"] = release.Setting{Default: "80@203.0.113.9"}
		in.Manifest.Roles["media"].Health[0].URL = "http://127.0.0.1:${VALT_SETTING_LINES}/"
	})
	_, err := Build(t.Context(), in)
	if err == nil || !strings.Contains(err.Error(), "asks another machine than the host itself") || problem.KindOf(err) != problem.Input {
		t.Error(err)
	}
}

// The steps that do what a release asks for say so to the host, which judges them again.
func TestStepsOfAReleaseAreMarked(t *testing.T) {
	p := build(t, input(t, sampleSite))
	if f := stepOf[files.FileParams](t, p, "app1", "file/etc/valt/app.conf"); f.Release != files.NamedFile {
		t.Errorf("a file of the release: %q", f.Release)
	}
	if f := stepOf[files.FileParams](t, p, "app1", "file/etc/valt/compose/app.yaml"); f.Release != files.NamedSite {
		t.Errorf("the Compose file: %q", f.Release)
	}
	if d := stepOf[files.DirectoryParams](t, p, "app1", "directory/var/lib/valt/db"); !d.Release {
		t.Error("a folder of the release is not marked")
	}
	if w := stepOf[files.PasswordParams](t, p, "app1", "password/db"); !w.Release {
		t.Error("a password of the release is not marked")
	}
	if c := stepOf[files.CertificateParams](t, p, "app1", "certificate"); c.Release != files.NamedSite {
		t.Errorf("the certificate: %q", c.Release)
	}
	if l := stepOf[files.LicenceParams](t, p, "media1", "licence"); l.Release != files.NamedSite {
		t.Errorf("the licence: %q", l.Release)
	}
	if c := stepOf[docker.ContainerParams](t, p, "media1", "container/engine"); c.Own.Recordings != "/srv/valt" {
		t.Errorf("the site's recordings are not with the container: %+v", c.Own)
	}
	for _, s := range p.Hosts[0].Steps { // what is valtctl's own goes where it belongs
		if strings.HasPrefix(s.ID, "file/etc/apt/") && strings.Contains(string(s.Params), `"release"`) {
			t.Errorf("%s is marked: %s", s.ID, s.Params)
		}
	}
}
