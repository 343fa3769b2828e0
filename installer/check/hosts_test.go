package check

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/survey"
	"ipivs.com/valtctl/repos/release"
)

func judged() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

const oneServer = `
site: st-marys
name: valt.example
ssl: true
hosts:
  - {name: valt, address: 10.0.4.10, roles: [app, media], recordings: /srv/valt, cameras: [10.0.9.20-10.0.9.29]}
clients: [10.0.0.0/16]
`

const twoServers = `
site: st-marys
name: valt.example
ssl: true
hosts:
  - {name: app1, address: 10.0.4.10, roles: [app]}
  - {name: media1, address: 10.0.4.21, roles: [media], recordings: /srv/valt, wowza: {license: physical}, cameras: [10.0.9.11]}
clients: [10.0.0.0/16]
`

// healthy is a site whose every host is as it should be.
func healthy(t *testing.T, text string) Input {
	t.Helper()
	s := siteOf(t, text)
	chain, key := certificateFor(t, s.Name, judged().AddDate(1, 0, 0))
	in := Input{Site: s, Now: judged(), Certificate: Certificate{Chain: chain, Key: key}, Manifest: &release.Manifest{
		Version: "6.4.2", From: ">= 6.2", Ubuntu: []string{"22.04", "24.04"},
		Images:   map[string]release.Image{"web": {Repository: "docker.ipivs.com/valt/web", Platforms: map[string]release.ImagePlatform{"linux/amd64": {Manifest: "sha256:m", Config: "sha256:c", Size: 100 << 20}}}},
		Packages: []release.Package{{Name: "valt-host", Version: "6.4.2-1"}, {Name: "wowza-tools", Roles: []string{"media"}}},
		Dongle:   release.Dongle{Vendor: "0529"},
	}}
	for _, h := range s.Hosts {
		in.Hosts = append(in.Hosts, healthyHost(h))
	}
	return in
}

func healthyHost(h site.Host) HostSeen {
	offset := 20 * time.Millisecond
	f := facts.Facts{
		OS: facts.OS{ID: "ubuntu", VersionID: "24.04", Codename: "noble", Pretty: "Ubuntu 24.04.1 LTS"}, Arch: "amd64", Virtualization: "kvm",
		MachineID: "id of " + h.Name, HostKeys: []string{"SHA256:" + h.Name},
		CPUs: 8, MemoryBytes: 16 << 30 * 95 / 100, Clock: facts.Clock{Now: judged(), Synchronized: true},
		Filesystems: []facts.Filesystem{{Mount: "/", Type: "ext4", Device: "/dev/sda1", Size: 60 << 30, Free: 40 << 30},
			{Mount: "/srv/valt", Type: "xfs", Device: "/dev/sdb1", Size: 4 << 40, Free: 3 << 40}},
		USB: []facts.USBDevice{{Vendor: "1d6b", Product: "0002", Name: "xHCI Host Controller"}, {Vendor: "0529", Product: "0001", Name: "HASP 2.17"}},
	}
	r := survey.Reply{
		Listeners: []survey.Listener{{Protocol: "tcp", Address: netip.IPv4Unspecified(), Port: 22, PID: 700, Program: "sshd"}},
		Subnets:   []survey.Subnet{{Prefix: netip.MustParsePrefix("10.0.4.0/24"), Interface: "ens3"}},
		Writes:    []survey.Write{{Folder: "/srv/valt", Bytes: 64 << 20, BytesPerSecond: 300 << 20}, {Folder: "/var/lib", Bytes: 64 << 20, BytesPerSecond: 300 << 20}},
		Inodes:    []survey.Inodes{{Folder: "/", Total: 1000, Free: 900}, {Folder: "/srv/valt"}},
		Resolvers: []string{"10.0.0.53"},
		Cgroups:   survey.Cgroups{Version: 2},
		Inside:    []survey.Inside{{Container: "valt-web", Network: "valt", Servers: []string{"127.0.0.11"}}},
		Time:      survey.TimeService{Name: "chrony", Servers: []string{"10.0.0.1"}},
		Support:   &survey.Support{LTS: true, Until: time.Date(2029, 5, 31, 0, 0, 0, 0, time.UTC), Paid: time.Date(2034, 4, 25, 0, 0, 0, 0, time.UTC), Source: "a table"},
	}
	return HostSeen{Host: h, Facts: &f, Survey: &r, ClockOffset: &offset}
}

// certificateFor is a self-signed certificate and its key.
func certificateFor(t *testing.T, name string, until time.Time) (chain, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		DNSNames: []string{name}, NotBefore: until.AddDate(-2, 0, 0), NotAfter: until}, &x509.Certificate{Subject: pkix.Name{CommonName: "a CA"}}, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
}

// resultOf finds a result by its id.
func resultOf(t *testing.T, all []Result, id string) Result {
	t.Helper()
	for _, r := range all {
		if r.ID == id {
			return r
		}
	}
	var ids []string
	for _, r := range all {
		ids = append(ids, r.ID)
	}
	t.Fatalf("no result %s among %s", id, strings.Join(ids, " "))
	return Result{}
}

func TestHealthySiteOnlyPasses(t *testing.T) {
	for name, text := range map[string]string{"one server": oneServer, "two servers": twoServers} {
		t.Run(name, func(t *testing.T) {
			seen := map[string]bool{}
			for _, r := range JudgeHosts(healthy(t, text)) {
				if r.Status != Pass || r.Cause != "" || r.Fix != "" || r.Subject == "" || r.Topic != Hosts {
					t.Errorf("%+v", r)
				}
				if seen[r.ID] {
					t.Errorf("%s stands twice", r.ID)
				}
				seen[r.ID] = true
			}
			if len(seen) < 20 {
				t.Errorf("only %d results", len(seen))
			}
		})
	}
}

// oddity is one thing that is not as it should be and what is to be said of it.
type oddity struct {
	site   string // oneServer unless given
	make   func(in *Input, f *facts.Facts, s *survey.Reply)
	id     string
	status Status
	cause  string // is part of the cause
	fix    string // is part of the fix
}

// expect judges a healthy site with one oddity on its last host.
func expect(t *testing.T, odd oddity, judge func(Input) []Result) Result {
	t.Helper()
	if odd.site == "" {
		odd.site = oneServer
	}
	in := healthy(t, odd.site)
	last := &in.Hosts[len(in.Hosts)-1]
	odd.make(&in, last.Facts, last.Survey)
	r := resultOf(t, judge(in), odd.id)
	if r.Status != odd.status || !strings.Contains(r.Cause, odd.cause) || !strings.Contains(r.Fix, odd.fix) {
		t.Errorf("got %s because %q, fix %q; want %s because %q, fix %q", r.Status, r.Cause, r.Fix, odd.status, odd.cause, odd.fix)
	}
	if r.Status != Pass && (r.Cause == "" || r.Fix == "") {
		t.Errorf("a result without cause or fix: %+v", r)
	}
	return r
}

func TestMachineOddities(t *testing.T) {
	for name, odd := range machineOddities() {
		t.Run(name, func(t *testing.T) { expect(t, odd, JudgeHosts) })
	}
}

func machineOddities() map[string]oddity {
	return map[string]oddity{
		"Debian": {make: func(_ *Input, f *facts.Facts, _ *survey.Reply) { f.OS.ID = "debian" },
			id: "hosts/valt/ubuntu", status: Fail, cause: "not Ubuntu"},
		"unlisted release": {make: func(_ *Input, f *facts.Facts, _ *survey.Reply) { f.OS.VersionID = "20.04" },
			id: "hosts/valt/ubuntu", status: Fail, cause: "release 6.4.2 is not made for it", fix: "22.04 or 24.04"},
		"short-lived release": {make: func(in *Input, f *facts.Facts, _ *survey.Reply) { in.Manifest, f.OS.VersionID = nil, "25.04" },
			id: "hosts/valt/ubuntu", status: Fail, cause: "no LTS"},
		"no release known": {make: func(in *Input, _ *facts.Facts, _ *survey.Reply) { in.Manifest = nil },
			id: "hosts/valt/ubuntu", status: Unknown},
		"support ended, Pro goes on": {make: func(in *Input, _ *facts.Facts, _ *survey.Reply) { in.Now = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) },
			id: "hosts/valt/support", status: Warn, cause: "2029-05-31"},
		"support ended for all": {make: func(in *Input, _ *facts.Facts, _ *survey.Reply) { in.Now = time.Date(2035, 1, 1, 0, 0, 0, 0, time.UTC) },
			id: "hosts/valt/support", status: Fail, cause: "2029-05-31"},
		"support ends in two months": {make: func(in *Input, _ *facts.Facts, _ *survey.Reply) { in.Now = time.Date(2029, 4, 1, 0, 0, 0, 0, time.UTC) },
			id: "hosts/valt/support", status: Warn, cause: "2029-05-31"},
		"wrong architecture": {make: func(_ *Input, f *facts.Facts, _ *survey.Reply) { f.Arch = "arm64" },
			id: "hosts/valt/architecture", status: Fail, cause: "no web for arm64"},
		"container": {make: func(_ *Input, f *facts.Facts, _ *survey.Reply) { f.Virtualization = "docker" },
			id: "hosts/valt/virtualization", status: Warn, cause: "practice"},
		"few processors": {make: func(_ *Input, f *facts.Facts, _ *survey.Reply) { f.CPUs = 4 },
			id: "hosts/valt/cpus", status: Warn, cause: "8 processors"},
		"far too few": {make: func(_ *Input, f *facts.Facts, _ *survey.Reply) { f.CPUs = 3 },
			id: "hosts/valt/cpus", status: Fail, cause: "less than half"},
		"little memory": {make: func(_ *Input, f *facts.Facts, _ *survey.Reply) { f.MemoryBytes = 8 << 30 },
			id: "hosts/valt/memory", status: Warn, cause: "16.0 GiB"},
		"far too little": {make: func(_ *Input, f *facts.Facts, _ *survey.Reply) { f.MemoryBytes = 7 << 30 },
			id: "hosts/valt/memory", status: Fail, cause: "less than half"},
		"waits for a reboot": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) {
			s.Reboot = survey.Reboot{Required: true, Packages: []string{"linux-base"}}
		},
			id: "hosts/valt/reboot", status: Warn, fix: "systemctl reboot"},
		"reboots by itself": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) {
			s.Reboot = survey.Reboot{Automatic: true, At: "02:00"}
		},
			id: "hosts/valt/automatic-reboot", status: Warn, cause: "02:00", fix: `Automatic-Reboot "false"`},
		"upgrades the engine by itself": {make: func(_ *Input, f *facts.Facts, s *survey.Reply) {
			f.Installed, s.Reboot.Engine = &facts.Installed{}, []string{"docker-ce"}
		},
			id: "hosts/valt/automatic-engine", status: Warn, cause: "docker-ce", fix: "valtctl update"},
		"is to be installed": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) { s.Reboot.Engine = []string{"docker-ce"} },
			id: "hosts/valt/automatic-engine", status: Pass},
		"no dongle": {site: twoServers, make: func(_ *Input, f *facts.Facts, _ *survey.Reply) { f.USB = f.USB[:1] },
			id: "hosts/media1/dongle", status: Fail, cause: "0529", fix: "license: electronic"},
		"another product of the vendor": {site: twoServers, make: func(in *Input, _ *facts.Facts, _ *survey.Reply) { in.Manifest.Dongle.Product = "0003" },
			id: "hosts/media1/dongle", status: Fail},
	}
}

func TestDiskOddities(t *testing.T) {
	for name, odd := range diskOddities() {
		t.Run(name, func(t *testing.T) { expect(t, odd, JudgeHosts) })
	}
}

func diskOddities() map[string]oddity {
	return map[string]oddity{
		"a /boot of its own with room": {make: func(_ *Input, f *facts.Facts, _ *survey.Reply) {
			f.Filesystems = append(f.Filesystems, facts.Filesystem{Mount: "/boot", Size: 1 << 30, Free: 600 << 20})
		},
			id: "hosts/valt/boot", status: Pass},
		"a /boot that the next kernel fills": {make: func(_ *Input, f *facts.Facts, _ *survey.Reply) {
			f.Filesystems = append(f.Filesystems, facts.Filesystem{Mount: "/boot", Size: 500 << 20, Free: 90 << 20})
		},
			id: "hosts/valt/boot", status: Warn, cause: "kernel", fix: "autoremove"},
		"root is full": {make: func(_ *Input, f *facts.Facts, _ *survey.Reply) { f.Filesystems[0].Free = 9 << 30 },
			id: "hosts/valt/disk", status: Fail, cause: "on /", fix: "du -xh"},
		"a full disk for Docker": {make: func(_ *Input, f *facts.Facts, _ *survey.Reply) {
			f.Engine = &facts.EngineFacts{Root: "/data/docker"}
			f.Filesystems = append(f.Filesystems, facts.Filesystem{Mount: "/data", Size: 20 << 30, Free: 1 << 30})
		}, id: "hosts/valt/disk", status: Fail, cause: "/data"},
		"few inodes": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) { s.Inodes[0].Free = 50 },
			id: "hosts/valt/inodes", status: Warn, fix: "--inodes"},
		"no inode": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) { s.Inodes[0].Free = 0 },
			id: "hosts/valt/inodes", status: Fail},
		"recordings not mounted": {make: func(_ *Input, f *facts.Facts, _ *survey.Reply) { f.Filesystems = f.Filesystems[:1] },
			id: "hosts/valt/recordings", status: Fail, cause: "no file system is mounted there", fix: "sudo mount /srv/valt"},
		"recordings' server is gone": {make: func(_ *Input, f *facts.Facts, _ *survey.Reply) { f.Filesystems[1].Size = 0 },
			id: "hosts/valt/recordings", status: Fail, cause: "does not answer"},
		"recordings nearly full": {make: func(_ *Input, f *facts.Facts, _ *survey.Reply) { f.Filesystems[1].Free = 1 << 30 },
			id: "hosts/valt/recordings", status: Warn},
		"no folder for recordings": {make: func(in *Input, _ *facts.Facts, _ *survey.Reply) { in.Hosts[0].Host.Recordings = "" },
			id: "hosts/valt/recordings", status: Fail, fix: "recordings:"},
		"slow for ten cameras": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) { s.Writes[0].BytesPerSecond = 9 << 20 },
			id: "hosts/valt/write-speed", status: Warn, cause: "10 cameras"},
		"fast enough for ten cameras": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) { s.Writes[0].BytesPerSecond = 10 << 20 },
			id: "hosts/valt/write-speed", status: Pass},
		"never while recording": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) {
			s.Writes, s.WriteSkipped = nil, "the media engine records"
		},
			id: "hosts/valt/write-speed", status: Unknown, cause: "the media engine records"},
		"could not be written": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) { s.Writes[0].Err = "no such folder" },
			id: "hosts/valt/write-speed", status: Unknown, cause: "no such folder"},
	}
}

func TestPackageOddities(t *testing.T) {
	for name, odd := range packageOddities() {
		t.Run(name, func(t *testing.T) { expect(t, odd, JudgeHosts) })
	}
}

func packageOddities() map[string]oddity {
	return map[string]oddity{
		"half installed": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) {
			s.Packages.Damage = []string{"nginx 1 is in dpkg's state iF"}
		},
			id: "hosts/valt/packages", status: Fail, cause: "iF", fix: "dpkg --configure -a"},
		"unmet dependencies": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) { s.Packages.Broken = "E: Unmet dependencies\n" },
			id: "hosts/valt/packages", status: Fail, fix: "apt-get -f install"},
		"held, of the release": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) { s.Packages.Held = []string{"valt-host", "vim"} },
			id: "hosts/valt/packages", status: Fail, cause: "valt-host", fix: "apt-mark unhold valt-host"},
		"held, somebody's own": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) { s.Packages.Held = []string{"vim"} },
			id: "hosts/valt/packages", status: Pass},
		"locked": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) {
			s.Packages.Lock = "unattended-upgr (process 9) holds a lock"
		},
			id: "hosts/valt/packages", status: Warn, cause: "unattended-upgr"},
		"apt not looked at": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) {
			s.Problems = map[survey.Question]string{survey.AskPackages: "too slow"}
		},
			id: "hosts/valt/packages", status: Unknown, cause: "too slow"},
		"snap Docker": {make: func(_ *Input, f *facts.Facts, _ *survey.Reply) { f.SnapDocker = "/snap/docker" },
			id: "hosts/valt/snap-docker", status: Fail, fix: "snap remove docker"},
		"foreign container": {make: func(_ *Input, f *facts.Facts, _ *survey.Reply) {
			f.Engine = &facts.EngineFacts{Containers: []facts.Container{{Name: "wiki"}, {Name: "valt-web", Labels: map[string]string{docker.LabelSite: "st-marys"}}}}
		}, id: "hosts/valt/tenants", status: Fail, cause: "not this site's: wiki"},
		"another site's host": {make: func(_ *Input, f *facts.Facts, _ *survey.Reply) {
			f.Installed = &facts.Installed{Site: "st-johns", Host: "app1"}
		},
			id: "hosts/valt/tenants", status: Fail, cause: "st-johns"},
	}
}

func TestSiteOddities(t *testing.T) {
	for name, odd := range siteOddities(t) {
		t.Run(name, func(t *testing.T) { expect(t, odd, JudgeHosts) })
	}
}

func siteOddities(t *testing.T) map[string]oddity {
	const certificate, cameras = "hosts/site/certificate", "hosts/site/cameras"
	with := func(name string, until time.Time) func(*Input, *facts.Facts, *survey.Reply) {
		return func(in *Input, _ *facts.Facts, _ *survey.Reply) {
			in.Certificate.Chain, in.Certificate.Key = certificateFor(t, name, until)
		}
	}
	sixtyCameras := strings.Replace(oneServer, "10.0.9.20-10.0.9.29", "10.0.9.20-10.0.9.79", 1)
	return map[string]oddity{
		"expired":      {make: with("valt.example", judged().AddDate(0, 0, -1)), id: certificate, status: Fail, cause: "expired"},
		"ends soon":    {make: with("valt.example", judged().AddDate(0, 0, 20)), id: certificate, status: Warn, cause: "2026-12-12"},
		"another name": {make: with("other.example", judged().AddDate(1, 0, 0)), id: certificate, status: Fail, cause: "other.example"},
		"another key": {make: func(in *Input, _ *facts.Facts, _ *survey.Reply) {
			_, in.Certificate.Key = certificateFor(t, "valt.example", judged().AddDate(1, 0, 0))
		}, id: certificate, status: Fail, cause: "private key does not match"},
		"a chain that phones refuse": {make: func(in *Input, _ *facts.Facts, _ *survey.Reply) {
			in.Certificate.Missing = "the chain lacks the certificate of \"Between\""
		}, id: certificate, status: Fail, cause: "lacks the certificate of \"Between\"; phones refuse it", fix: "append that certificate"},
		"no file": {make: func(in *Input, _ *facts.Facts, _ *survey.Reply) {
			in.Certificate.Err = errors.New("opening it: no such file")
		}, id: certificate, status: Fail, cause: "no such file", fix: "tls:"},
		"more cameras than one server takes": {site: sixtyCameras, make: func(*Input, *facts.Facts, *survey.Reply) {},
			id: cameras, status: Warn, cause: "60 cameras", fix: "media2 with cameras"},
	}
}

func TestHostThatToldNothingIsOneUnknown(t *testing.T) {
	in := healthy(t, twoServers)
	in.Hosts[1] = HostSeen{Host: in.Hosts[1].Host, FactsErr: errors.New("dialling: no route to host")}
	n := 0
	for _, r := range JudgeHosts(in) {
		if r.Host == "media1" {
			n++
			if r.Status != Unknown || !strings.Contains(r.Cause, "no route to host") {
				t.Errorf("%+v", r)
			}
		}
	}
	if n != 1 {
		t.Errorf("%d results about media1", n)
	}
}

func TestWithoutASurveyTheFactsAreStillJudged(t *testing.T) {
	in := healthy(t, oneServer)
	in.Hosts[0].Survey, in.Hosts[0].SurveyErr = nil, errors.New("the agent's channel is closed")
	in.Hosts[0].Facts.CPUs = 1
	all := JudgeHosts(in)
	if r := resultOf(t, all, "hosts/valt/survey"); r.Status != Unknown || r.Cause != "the agent's channel is closed" {
		t.Errorf("%+v", r)
	}
	if r := resultOf(t, all, "hosts/valt/cpus"); r.Status != Fail {
		t.Errorf("%+v", r)
	}
}

func TestSurveyAsksWhatTheSiteNeeds(t *testing.T) {
	in := healthy(t, twoServers)
	in.Manifest.Paths.Certificate = "/etc/valt/tls/certificate.pem"
	in.Manifest.Roles = map[string]release.Role{"media": {Passwords: []release.Password{{Name: "engine", Path: "/etc/valt/secrets/engine"}}}}
	media := SurveyRequest(in.Site, in.Site.Hosts[1], in.Manifest, in.Manifest)
	got := fmt.Sprint(media.Write, media.EnginePasswords, media.Certificates, media.Packages)
	if want := "[/srv/valt] [/etc/valt/secrets/engine] [/etc/valt/tls/certificate.pem] [valt-host=6.4.2-1 wowza-tools]"; got != want {
		t.Errorf("a media host is asked %s, want %s", got, want)
	}
	app := SurveyRequest(in.Site, in.Site.Hosts[0], in.Manifest, in.Manifest)
	if got := fmt.Sprint(app.Write, app.Packages); got != "[/var/lib] [valt-host=6.4.2-1]" {
		t.Errorf("an application host is asked %s", got)
	}
	if got := SurveyRequest(in.Site, in.Site.Hosts[0], nil, nil); len(got.Packages) != 0 {
		t.Errorf("apt is asked for %v without need", got.Packages)
	}
}
