package site

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"ipivs.com/valtctl/repos/problem"
)

const minimal = `site: st-marys
ssl: true
clients: [10.0.0.0/16]
hosts:
  - {name: valt, address: 10.0.4.10, roles: [app, media]}
`

const media2 = "  - {name: media2, address: 10.0.4.22, roles: [media]}\n"

func mustParse(t *testing.T, text string) *Site {
	t.Helper()
	s, err := Parse("/etc/valtctl/site.yaml", []byte(text), "/home/ops")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// mistakes writes an error's problems as "line field: cause | fix".
func mistakes(err error) []string {
	var all []string
	for _, p := range problem.All(err) {
		_, line, _ := strings.Cut(p.Object, ":")
		all = append(all, fmt.Sprintf("%s %v | %s", line, p.Err, p.Fix))
	}
	return all
}

func TestDefaults(t *testing.T) {
	s := mustParse(t, minimal)
	clients := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}
	want := &Site{
		ID: "st-marys", SSL: true, Release: Release{Channel: "stable"}, SSH: SSH{Port: 22}, Firewall: FirewallOff,
		Hosts:   []Host{{Name: "valt", Address: "10.0.4.10", Roles: []Role{App, Media}, Wowza: Wowza{License: Electronic}, SSH: SSH{Port: 22}}},
		Clients: clients, Admins: clients,
		Updates: Updates{Source: Online, Wave: Wave{Percent: 25}, MinMediaServing: 0, HostWithin: Duration(2 * time.Hour), ConfirmWithin: Duration(10 * time.Minute)},
	}
	if diff := cmp.Diff(want, s, cmpopts.IgnoreUnexported(Site{}), cmpopts.IgnoreFields(Site{}, "Warnings"), cmpopts.EquateComparable(netip.Prefix{}, netip.Addr{})); diff != "" {
		t.Errorf("wanted (-) and got (+):\n%s", diff)
	}
	if got := mustParse(t, minimal+media2).Updates.MinMediaServing; got != 1 {
		t.Errorf("with two media hosts min_media_serving is %d, want 1", got)
	}
	if got := mustParse(t, minimal+"backup: {dir: /srv/backup}\n").Backup.Keep; got != 5 {
		t.Errorf("backup.keep is %d, want 5", got)
	}
}

func TestEveryMistakeIsNamedWithItsLineAndWhatToWrite(t *testing.T) {
	const host = "  - {name: media1, address: 10.0.4.21, roles: [media]%s}\n"
	tests := []struct {
		name, text string
		want       []string // parts of each mistake, in order
	}{
		{"nothing", "", []string{"1 the file is empty | write a site file"}},
		{"not YAML", "- a\nb: c\n", []string{"this is not YAML"}},
		{"a list", "- site: a\n", []string{"1 is a list, not keys with values"}},
		{"two documents", minimal + "---\nsite: b\n", []string{"7 a second document starts here | keep one site in one file"}},
		{"everything missing", "name: valt.example\n", []string{"1 site: is missing | write site:", "1 ssl: is missing | write ssl: true for", "1 hosts: is missing | write hosts:", "1 clients: is missing | write clients:"}},
		{"unknown key", minimal + "firewal: off\n", []string{`6 firewal: a site file has no key "firewal" | did you mean "firewall"?`}},
		{"unknown key in a block", minimal + "tls:\n  certficate: a.pem\n", []string{`7 tls.certficate: tls has no key "certficate" | did you mean "certificate"? Its keys are certificate, key_file`}},
		{"key twice", minimal + "ssl: false\n", []string{"6 ssl: stands twice, first on line 2 | keep one"}},
		{"no value", minimal + "name:\n", []string{"6 name: has no value | write one, or leave the key out"}},
		{"list for a value", minimal + "name: [a]\n", []string{"6 name: is a list, not one value"}},
		{"value for a list", minimal + "admins: 10.0.0.1\n", []string{"6 admins: is a single value, not a list | write it in brackets"}},
		{"value for a block", minimal + "tls: yes\n", []string{"6 tls: is a single value, not keys with values"}},
		{"anchor", minimal + "name: &n valt.example\n", []string{"6 name: is a YAML anchor, alias or tag"}},
		{"secret in the file", minimal + "registry: {username: a, password: hunter2}\n", []string{"6 registry.password: no secret stands in a site file | put it into a file of its own and write password_file:"}},
		{"key in the file", minimal + "tls:\n  key_file: |\n    -----BEGIN PRIVATE KEY-----\n    MC4CAQ\n", []string{"7 tls.key_file: no secret stands in a site file"}},
		{"login in the proxy", minimal + "network: {proxy: 'http://ops:hunter2@proxy:3128'}\n", []string{"6 network.proxy: the URL holds a login"}},
		{"age secret key", minimal + "backup: {recipient: AGE-SECRET-KEY-1QQ}\n", []string{"6 backup.recipient: it is an age secret key"}},
		{"IPv6 host", strings.Replace(minimal, "10.0.4.10", "'2001:db8::1'", 1), []string{`5 hosts[0].address: "2001:db8::1" is an IPv6 address, and VALT's network requirements are for IPv4 | write the IPv4 address`}},
		{"IPv6 network", minimal + "admins: ['2001:db8::/32']\n", []string{`6 admins[0]: "2001:db8::/32" is an IPv6 address`}},
		{"host bits", minimal + "admins: [10.0.0.5/16]\n", []string{`6 admins[0]: "10.0.0.5/16" has host bits beyond its /16 | write 10.0.0.0/16 for the network, or 10.0.0.5 for the one address`}},
		{"port in an address", strings.Replace(minimal, "10.0.4.10", "10.0.4.10:22", 1), []string{"write the address alone, without a scheme or a port"}},
		{"ssl word", strings.Replace(minimal, "ssl: true", "ssl: yes", 1), []string{`2 ssl: "yes" is neither true nor false | write true or false`}},
		{"channel and version", minimal + "release: {channel: stable, version: 6.4.2}\n", []string{"6 release: names both a channel and a version"}},
		{"version", minimal + "release: {version: newest}\n", []string{`6 release.version: "newest" is not a version | write numbers with dots`}},
		{"role", minimal + strings.Replace(media2, "[media]", "[medai]", 1), []string{`6 hosts[1].roles[0]: "medai" is not known here | did you mean "media"?`}},
		{"role twice", minimal + strings.Replace(media2, "[media]", "[media, media]", 1), []string{"6 hosts[1].roles: names a role twice"}},
		{"no role", minimal + strings.Replace(media2, "[media]", "[]", 1), []string{"6 hosts[1].roles: names no role"}},
		{"host without anything", minimal + "  - {}\n", []string{"hosts[1].name: is missing", "hosts[1].address: is missing", "hosts[1].roles: is missing"}},
		{"two application hosts", minimal + strings.Replace(media2, "[media]", "[app]", 1), []string{"6 hosts[1].roles: a site has one application host, and valt is it already"}},
		{"no application host", strings.Replace(minimal, "[app, media]", "[media]", 1), []string{"4 hosts: no host has the role app | give one host roles: [app], or write cloud:"}},
		{"no hosts", "site: a\nssl: true\nclients: [10.0.0.1]\nhosts: []\n", []string{"4 hosts: names no host"}},
		{"no clients", strings.Replace(minimal, "[10.0.0.0/16]", "[]", 1), []string{"3 clients: names no network"}},
		{"host name twice", minimal + strings.Replace(media2, "media2", "valt", 1), []string{"6 hosts[1].name: valt is also the name of the host at 10.0.4.10"}},
		{"address twice", minimal + strings.Replace(media2, ".22", ".10", 1), []string{"6 hosts[1].address: 10.0.4.10 is also the address of valt"}},
		{"media keys on an application host", strings.Replace(minimal, "[app, media]", "[app], recordings: /srv/valt, cameras: [10.0.9.1], wowza: {license: physical}", 1), []string{"hosts[0].recordings: belongs to a media host", "hosts[0].wowza: belongs", "hosts[0].cameras: belongs"}},
		{"cloud without SSL", "site: a\nssl: false\nclients: [10.0.0.1]\ncloud: {app: valt.example.com}\nhosts:\n" + fmt.Sprintf(host, ""), []string{"2 ssl: VALT Cloud is reached over SSL alone | write ssl: true, or remove cloud"}},
		{"cloud with an application host", minimal + "cloud: {app: valt.example.com}\n", []string{"5 hosts[0].roles: the application server of a site with cloud is the cloud's"}},
		{"cloud without a name", strings.Replace(minimal, "[app, media]", "[media]", 1) + "cloud: {}\n", []string{"6 cloud.app: is missing"}},
		{"camera twice", strings.Replace(minimal, "media]", "media], cameras: [10.0.9.11, 10.0.9.10-10.0.9.12]", 1), []string{"5 hosts[0].cameras: the camera 10.0.9.11 stands twice"}},
		{"range backwards", strings.Replace(minimal, "media]", "media], cameras: [10.0.9.39-10.0.9.20]", 1), []string{`"10.0.9.39-10.0.9.20" ends before it starts | write 10.0.9.20-10.0.9.39`}},
		{"range too long", strings.Replace(minimal, "media]", "media], cameras: [10.0.0.0-10.255.255.255]", 1), []string{"holds more than 1024 cameras"}},
		{"half a range", strings.Replace(minimal, "media]", "media], cameras: [10.0.9.20-39]", 1), []string{`"10.0.9.20-39" is not a range of addresses`}},
		{"camera port", strings.Replace(minimal, "media]", "media], cameras: [{address: 10.0.9.1, http: 70000}]", 1), []string{`hosts[0].cameras[0].http: "70000" is not a TCP port`}},
		{"recordings", strings.Replace(minimal, "media]", "media], recordings: srv", 1), []string{"hosts[0].recordings: it is not an absolute folder of the host | write a path such as /srv/valt"}},
		{"managed without admins", minimal + "firewall: managed\n", []string{"6 firewall: managed needs to know where administrators are"}},
		{"Docker's pool", minimal + "network: {docker_pool: 10.0.0.0/8, dns: [10.0.0.53]}\n", []string{"10.0.0.0/8 overlaps 10.0.0.0/16, one of clients; 10.0.0.53, one of network.dns; 10.0.4.10, the address of valt | write"}},
		{"small pool", minimal + "network: {docker_pool: 192.168.1.0/28}\n", []string{"192.168.1.0/28 is too small"}},
		{"DNS by name", minimal + "network: {dns: [dns.example]}\n", []string{`6 network.dns[0]: "dns.example" is a name | write the IPv4 address`}},
		{"unknown endpoint", minimal + "network: {endpoints: {docker.ipvs.com: mirror}}\n", []string{`did you mean "docker.ipivs.com"?`}},
		{"endpoint as a URL", minimal + "network: {endpoints: {docker.ipivs.com: 'https://mirror'}}\n", []string{"is a URL | write host or host:port alone"}},
		{"window", minimal + "updates: {timezone: UTC, windows: ['Sunday night']}\n", []string{`6 updates.windows[0]: "Sunday night" is not a weekly window`}},
		{"window without a time zone", minimal + "updates: {windows: ['Sun 02:00-05:00']}\n", []string{"6 updates.timezone: is missing, and windows and blackouts are read in it"}},
		{"time zone", minimal + "updates: {timezone: Chicago, windows: ['Sun 02:00-05:00']}\n", []string{`6 updates.timezone: "Chicago" is not a time zone`}},
		{"blackout", minimal + "updates: {timezone: UTC, blackouts: [2027-01-03/2026-12-20]}\n", []string{"ends before it starts | write 2026-12-20/2027-01-03"}},
		{"canary", minimal + "updates: {canary: vallt}\n", []string{`6 updates.canary: no host is named "vallt" | did you mean "valt"?`}},
		{"wave", minimal + "updates: {wave: 120%}\n", []string{`6 updates.wave: "120%" is not a share`}},
		{"nothing could be updated", minimal + "updates: {min_media_serving: 1}\n", []string{"6 updates.min_media_serving: with 1 to keep serving, none of the 1 media hosts could ever be updated"}},
		{"another's home", minimal + "tls: {key_file: ~root/key}\n", []string{`"~root/key" is in another person's home folder`}},
		{"IPv6 in braces and brackets", minimal + "beam: {devices: [fe80::1, '2001:db8::/32']}\n", []string{`6 beam.devices[0]: "fe80::1" is an IPv6`, `6 beam.devices[1]: "2001:db8::/32" is an IPv6`}},
		{"mail without anybody", minimal + "updates: {notify: {mail: {server: smtp, from: a@b.example, to: []}}}\n", []string{"6 updates.notify.mail.to: names nobody"}},
		{"mail in clear text with a login", minimal + "updates: {notify: {mail: {server: smtp, security: none, from: a@b.example, to: [a@b.example], username: a, password_file: p}}}\n", []string{"6 updates.notify.mail.security: a login would cross the network in clear text"}},
		{"mail with half a login", minimal + "updates: {notify: {mail: {server: smtp, from: a@b.example, to: [a@b.example], username: a}}}\n", []string{"has one of username and password_file without the other"}},
		{"mail password in the file", minimal + "updates: {notify: {mail: {server: smtp, from: a@b.example, to: [a@b.example], username: a, password: hunter2}}}\n", []string{"no secret stands in a site file"}},
		{"mail to a name", minimal + "updates: {notify: {mail: {server: smtp, from: a@b.example, to: ['It <it@b.example>']}}}\n", []string{"is not a mail address"}},
		{"webhook without an address", minimal + "updates: {notify: {webhook: {token_file: t}}}\n", []string{"6 updates.notify.webhook: needs one of url and url_file"}},
		{"webhook with a login", minimal + "updates: {notify: {webhook: {url: 'https://u:hunter2@hook.example/'}}}\n", []string{"the URL holds a login"}},
		{"jump", minimal + "ssh: {jump: [ops@]}\n", []string{`6 ssh.jump[0]: "" is not a name`}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("site.yaml", []byte(tt.text), "/home/ops")
			got := mistakes(err)
			if len(got) != len(tt.want) {
				t.Fatalf("%d mistakes, want %d:\n%s", len(got), len(tt.want), strings.Join(got, "\n"))
			}
			for i := range got {
				if !strings.Contains(got[i], tt.want[i]) {
					t.Errorf("got  %s\nwant %s", got[i], tt.want[i])
				}
			}
			if problem.KindOf(err) != problem.Input {
				t.Errorf("kind %v, want Input", problem.KindOf(err))
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "MC4CAQ") {
				t.Errorf("a secret is repeated: %v", err)
			}
		})
	}
}

func TestWarningsDoNotRefuse(t *testing.T) {
	const admins = "admins: [10.0.99.0/28]\n"
	shared := strings.Replace(minimal, "media]", "media], cameras: [10.0.9.11]", 1) + strings.Replace(media2, "[media]", "[media], cameras: [10.0.9.11]", 1)
	tests := []struct{ name, text, what, fix string }{
		{"camera on two servers", shared, "6: hosts[1].cameras: the camera 10.0.9.11 is also a camera of valt", "keep it at one"},
		{"too many cameras", strings.Replace(minimal, "media]", "media], cameras: [10.0.9.1-10.0.9.63]", 1),
			"5: hosts[0].cameras: valt has 63 cameras and is the application server as well; the vendor asks for a separate media server above 50",
			"keep roles: [app] on valt and add media hosts, such as media1 with cameras: [10.0.9.1-10.0.9.31] and media2 with cameras: [10.0.9.32-10.0.9.63]"},
		{"every network", strings.Replace(minimal, "10.0.0.0/16", "0.0.0.0/0", 1), "3: clients[0]: is every network there is", "write the networks"},
		{"nothing records", strings.Replace(minimal, "[app, media]", "[app]", 1), "4: hosts: no host has the role media", "give a host"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := mustParse(t, tt.text+admins)
			if len(s.Warnings) != 1 {
				t.Fatalf("%d warnings, want 1: %v", len(s.Warnings), s.Warnings)
			}
			if w := s.Warnings[0]; !strings.Contains(w.Error(), "site.yaml:"+tt.what) || !strings.Contains(w.Fix, tt.fix) || w.Kind != problem.Check {
				t.Errorf("got  %v | %s\nwant %s | %s", w, w.Fix, tt.what, tt.fix)
			}
		})
	}
	for _, quiet := range []string{
		strings.Replace(minimal, "media]", "media], cameras: [10.0.9.1-10.0.9.50]", 1),
		strings.Replace(minimal, "media]", "media], cameras: [10.0.9.1-10.0.9.63]", 1) + media2,
	} {
		if s := mustParse(t, quiet+admins); len(s.Warnings) > 0 {
			t.Errorf("a warning without need: %v", s.Warnings[0])
		}
	}
}

// Who leaves admins out is told what that gives whom; who writes the same networks has decided.
func TestWithoutAdminsEveryClientIsOne(t *testing.T) {
	s := mustParse(t, minimal)
	if len(s.Warnings) != 1 || !strings.Contains(s.Warnings[0].Error(), "site.yaml:3: admins: is absent, so every network of clients gets the administrators' ports") || !strings.Contains(s.Warnings[0].Fix, "write admins:") {
		t.Errorf("got %v", s.Warnings)
	}
	if s := mustParse(t, minimal+"admins: [10.0.0.0/16]\n"); len(s.Warnings) > 0 {
		t.Errorf("with admins: %v", s.Warnings)
	}
}

func TestPathsStartAtTheFileAndAtHome(t *testing.T) {
	s := mustParse(t, minimal+"tls: {certificate: certs/valt.pem, key_file: ~/valt.key}\nssh: {identity: /root/id}\n")
	if s.TLS.Certificate != "/etc/valtctl/certs/valt.pem" || s.TLS.KeyFile != "/home/ops/valt.key" || s.SSH.Identity != "/root/id" {
		t.Errorf("got %+v and %s", s.TLS, s.SSH.Identity)
	}
	if _, err := Parse("site.yaml", []byte(minimal+"tls: {key_file: ~/valt.key}\n"), ""); err == nil || !strings.Contains(err.Error(), "there is none here") {
		t.Errorf("without a home folder: %v", err)
	}
}

func TestAHostsSSHGoesOverTheSites(t *testing.T) {
	s := mustParse(t, strings.Replace(minimal, "media]}", "media], ssh: {port: 2222, jump: []}}", 1)+media2+"ssh: {user: valt, jump: [ops@bastion, 10.0.0.9:2200]}\n")
	if h := s.Hosts[0].SSH; h.User != "valt" || h.Port != 2222 || len(h.Jump) != 0 {
		t.Errorf("the overriding host has %+v", h)
	}
	want := []Jump{{User: "ops", Host: "bastion", Port: 22}, {Host: "10.0.0.9", Port: 2200}}
	if diff := cmp.Diff(want, s.Hosts[1].SSH.Jump); diff != "" || s.Hosts[1].SSH.Port != 22 {
		t.Errorf("the other host has port %d and jumps, wanted (-) and got (+):\n%s", s.Hosts[1].SSH.Port, diff)
	}
}

func TestCloudGivesTheNameAndTheTunnelsPeer(t *testing.T) {
	s := mustParse(t, strings.Replace(minimal, "[app, media]", "[media]", 1)+"cloud: {app: valt.example.com}\n")
	if s.Name != "valt.example.com" || s.Cloud.Tunnel != "valt.example.com" {
		t.Errorf("name %s, tunnel %s", s.Name, s.Cloud.Tunnel)
	}
	if _, ok := s.App(); ok {
		t.Error("a site in the cloud has an application host")
	}
}

func TestNeededForInstall(t *testing.T) {
	s := mustParse(t, minimal)
	var got []string
	for _, m := range mistakes(s.NeededForInstall()) {
		got = append(got, strings.Split(m, ": ")[0])
	}
	want := []string{"1 name", "1 tls.certificate", "1 tls.key_file", "1 registry.username", "1 registry.password_file", "5 hosts[0].recordings", "5 hosts[0].wowza.key_file"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("wanted (-) and got (+):\n%s", diff)
	}

	plain := mustParse(t, strings.NewReplacer("ssl: true", "ssl: false\nname: valt.example", "media]", "media], recordings: /srv/valt, wowza: {license: physical}").Replace(minimal)+"updates: {source: bundle}\n")
	if err := plain.NeededForInstall(); err != nil {
		t.Errorf("a site with all it needs: %v", err)
	}
}

func TestNeededForInstallLooksForTheFiles(t *testing.T) {
	dir := t.TempDir()
	text := strings.NewReplacer("ssl: true", "ssl: true\nname: valt.example", "media]", "media], recordings: /srv/valt, wowza: {license: physical}").Replace(minimal) +
		"tls: {certificate: valt.pem, key_file: valt.key}\nupdates: {source: bundle}\n"
	if err := os.WriteFile(dir+"/valt.pem", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Parse(dir+"/site.yaml", []byte(text), "")
	if err != nil {
		t.Fatal(err)
	}
	got := mistakes(s.NeededForInstall())
	if len(got) != 1 || !strings.Contains(got[0], "tls.key_file: it cannot be read: ") {
		t.Errorf("got %q, want the missing key alone", got)
	}
}

func TestLoadSaysWhatToDoWithoutAFile(t *testing.T) {
	_, err := Load(t.TempDir()+"/site.yaml", "")
	all := problem.All(err)
	if len(all) != 1 || all[0].Kind != problem.Input || !strings.Contains(all[0].Fix, "--site") {
		t.Errorf("got %v", err)
	}
}

func TestPositionOfAFieldOrWhatIsAroundIt(t *testing.T) {
	s := mustParse(t, minimal+media2)
	for field, want := range map[string]string{"ssl": ":2", "hosts[1].address": ":6", "hosts[1].recordings": ":6", "tls.key_file": ":1", "": ":1"} {
		if got := s.Position(field); got != "/etc/valtctl/site.yaml"+want {
			t.Errorf("%s is at %s, want line %s", field, got, want)
		}
	}
}

// Whatever is read: no crash, mistakes of kind Input with a line, and a site that is
// accepted means the same when written out.
func FuzzParse(f *testing.F) {
	for _, file := range sampleFiles(f) {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Add("site: &a [*a]\n")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("site.yaml", []byte(text), "/home/ops")
		if err != nil {
			for _, p := range problem.All(err) {
				if p.Kind != problem.Input || !strings.HasPrefix(p.Object, "site.yaml:") || p.Fix == "" {
					t.Errorf("a mistake without kind, line or fix: %+v", p)
				}
			}
			return
		}
		again, err := Parse("site.yaml", rewrite(t, s), "")
		if err != nil {
			t.Fatalf("reading it again: %v", err)
		}
		if diff := sameSite(s, again); diff != "" {
			t.Errorf("the first (-) and the second reading (+) differ:\n%s", diff)
		}
	})
}
