package lab

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/cmd/valtlab/pki"
)

// open is a lab that is not up; nothing in these tests needs an engine.
func open(t *testing.T) *Lab {
	t.Helper()
	l, err := Open(Options{
		Dir: t.TempDir(), Name: "test", Subnet: netip.MustParsePrefix("10.123.0.0/24"), Cache: t.TempDir(),
		Now: func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }, Events: func(Event) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func twoMedia(l *Lab) state {
	s := state{Name: "test", Subnet: "10.123.0.0/24", Cameras: 3}
	s.set(l.standardHosts(UpOptions{Media: 2}))
	return s
}

func TestSiteFileHasWhatAnInstallationAsksFor(t *testing.T) {
	l := open(t)
	s := twoMedia(l)
	if err := l.writeSite(s); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(l.Path("site.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var site siteFile
	if err := yaml.UnmarshalWithOptions(text, &site, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	if !site.SSL || site.Name != SiteName || site.Release.URL != "https://10.123.0.2/valt/" || site.Release.Root != "root.json" {
		t.Errorf("got %+v", site)
	}
	if len(site.Hosts) != 3 || site.Hosts[0].Address != "10.123.0.10" || site.Hosts[2].Address != "10.123.0.22" {
		t.Fatalf("hosts are %+v", site.Hosts)
	}
	if app := site.Hosts[0]; app.Wowza != nil || app.Recordings != "" || app.SSH != nil {
		t.Errorf("the application host has a media host's entries: %+v", app)
	}
	media := site.Hosts[1]
	if media.Recordings != RecordingsPath || strings.Join(media.Cameras, " ") != "10.123.0.101 10.123.0.103" {
		t.Errorf("media1 is %+v", media)
	}
	if _, err := os.Stat(l.Path(media.Wowza.KeyFile)); err != nil {
		t.Errorf("the licence key that the site file names is not there: %v", err)
	}
}

func TestOddHostsAreInTheirFragment(t *testing.T) {
	l := open(t)
	s := twoMedia(l)
	s.Hosts = append(s.Hosts, Bears{}.host(Host{Name: "deep", Address: netip.MustParseAddr("10.123.1.150"), Behind: "media2",
		User: "root", Port: 2222, Sudo: SudoPassword}))
	if err := l.save(s); err != nil {
		t.Fatal(err)
	}
	got, err := l.Fragment(s.Hosts[3])
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"name: deep", "user: root", "port: 2222", "valt@10.123.0.22:22", "sudo_password_file: sudo_password"} {
		if !strings.Contains(got, want) {
			t.Errorf("lacks %q:\n%s", want, got)
		}
	}
}

func TestLabOfAnotherFolderIsLeftAlone(t *testing.T) {
	l, other := open(t), open(t)
	if err := errors.Join(l.save(twoMedia(l)), other.save(twoMedia(other))); err != nil {
		t.Fatal(err)
	}
	for _, home := range []string{"", l.Path(), t.TempDir()} {
		if err := l.judgeHome(home); err != nil {
			t.Errorf("home %q: %v", home, err)
		}
	}
	if err := l.judgeHome(other.Path()); err == nil || !strings.Contains(err.Error(), "--dir "+other.Path()) {
		t.Errorf("the lab of another folder is taken: %v", err)
	}
}

func TestAddedHostsGetAddressesOfTheirOwn(t *testing.T) {
	l := open(t)
	s := twoMedia(l)
	add := func(h Host) Host {
		t.Helper()
		placed, err := l.place(s, h)
		if err != nil {
			t.Fatal(err)
		}
		s.Hosts = append(s.Hosts, placed)
		return placed
	}
	for _, c := range []struct {
		h    Host
		want string
	}{
		{Host{Name: "a"}, "10.123.0.150"},
		{Host{Name: "b"}, "10.123.0.151"},
		{Host{Name: "c", Behind: "media1"}, "10.123.1.150"},
		{Host{Name: "d", Behind: "media2"}, "10.123.2.150"},
		{Host{Name: "e", Behind: "media1"}, "10.123.1.151"},
		{Host{Name: "a"}, "10.123.0.150"}, // again: as it was
	} {
		if got := add(c.h); got.Address.String() != c.want {
			t.Errorf("%s got %s, want %s", c.h.Name, got.Address, c.want)
		}
	}
	for name, h := range map[string]Host{"a standard name": {Name: "media9"}, "behind nobody": {Name: "x", Behind: "nobody"}} {
		if _, err := l.place(s, h); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestHostOptionsAreCheckedAtOnce(t *testing.T) {
	err := Host{Name: "World!", Roles: []string{"db"}, SSHD: "telnetd", Sudo: "maybe", Port: 99999}.validate()
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"World!", "db", "telnetd", "maybe", "99999"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("says nothing of %q: %v", want, err)
		}
	}
	if err := (Bears{}).host(Host{Name: "ok"}).validate(); err != nil {
		t.Errorf("an ordinary host is refused: %v", err)
	}
}

func TestHostFilesFollowTheOptions(t *testing.T) {
	has := func(h Host, path string) bool {
		for _, f := range (Bears{}).host(h).files(hostSecrets{}) {
			if f.Path == path {
				return true
			}
		}
		return false
	}
	for _, c := range []struct {
		name string
		h    Host
		path string
		want bool
	}{
		{"an ordinary user has sudo", Host{}, "/etc/sudoers.d/90-valt", true},
		{"sudo none has none", Host{Sudo: SudoNone}, "/etc/sudoers.d/90-valt", false},
		{"root needs none", Host{User: "root"}, "/etc/sudoers.d/90-root", false},
		{"hardened", Host{Hardened: true}, "/etc/ssh/sshd_config.d/05-hardened.conf", true},
		{"not hardened", Host{}, "/etc/ssh/sshd_config.d/05-hardened.conf", false},
		{"dropbear masks openssh", Host{SSHD: Dropbear}, "/etc/systemd/system/ssh.service", true},
		{"openssh stays", Host{}, "/etc/systemd/system/ssh.service", false},
		{"another port", Host{Port: 2222}, "/etc/ssh/sshd_config.d/20-port.conf", true},
		{"noise", Host{NoisyShell: true}, "/etc/profile.d/noise.sh", true},
	} {
		if got := has(c.h, c.path); got != c.want {
			t.Errorf("%s: %s is there: %v", c.name, c.path, got)
		}
	}
}

func TestSecretsAreKeptAndForTheirOwnerOnly(t *testing.T) {
	l := open(t)
	if err := l.makeSecrets(); err != nil {
		t.Fatal(err)
	}
	secret := []string{"ca.key", "site.key", "id_ed25519", "registry_password", "sudo_password", "keys/secret/ubuntu.asc"}
	before := map[string]string{}
	for _, name := range secret {
		info, err := os.Stat(l.Path(name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", name, info.Mode().Perm())
		}
		content, _ := os.ReadFile(l.Path(name))
		before[name] = string(content)
	}
	if err := l.makeSecrets(); err != nil {
		t.Fatal(err)
	}
	for _, name := range secret {
		if content, _ := os.ReadFile(l.Path(name)); string(content) != before[name] {
			t.Errorf("%s is another one after a second up", name)
		}
	}
	for _, vendor := range []string{VendorUbuntu, VendorIPIVS, VendorDocker} {
		if key, err := l.VendorKey(vendor); err != nil || !strings.HasPrefix(string(key), "-----BEGIN PGP PUBLIC KEY BLOCK-----") {
			t.Errorf("the key of %s: %v %.40s", vendor, err, key)
		}
	}
}

// Scenarios run beside each other, each on hosts of its own: one that made all of them bare
// once took a host away in the middle of another's installation.
func TestNoHostIsMadeBareThatIsNotNamed(t *testing.T) {
	l := open(t)
	if err := l.save(twoMedia(l)); err != nil {
		t.Fatal(err)
	}
	if hosts, err := l.named(nil); err == nil {
		t.Errorf("without a name, %v are made bare", hosts)
	}
	hosts, err := l.named([]string{"media2"})
	if err != nil || len(hosts) != 1 || hosts[0].Name != "media2" {
		t.Errorf("of media2: %v, %v", hosts, err)
	}
}

func TestKnownHostsMatchTheHostKeys(t *testing.T) {
	l := open(t)
	s := twoMedia(l)
	s.Hosts = append(s.Hosts, Bears{}.host(Host{Name: "odd", Address: netip.MustParseAddr("10.123.0.150"), Port: 2222}))
	if err := l.writeKnownHosts(s); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(l.Path("known_hosts"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"10.123.0.10,app1 ssh-ed25519 ", "[10.123.0.150]:2222,[odd]:2222 ssh-ed25519 "} {
		if !strings.Contains(string(text), want) {
			t.Errorf("lacks %q:\n%s", want, text)
		}
	}
	private, err := os.ReadFile(l.Path("hosts", "app1", "ssh_host_ed25519_key"))
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	if line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))); !strings.Contains(string(text), line) {
		t.Errorf("app1's key %s is not known", line)
	}
	if dropbear, err := pki.DropbearKey(private); err != nil || len(dropbear) != 4+11+4+64 {
		t.Errorf("in dropbear's format it has %d bytes (%v)", len(dropbear), err)
	}
}

func TestReplacedReleaseIsReadWholeOrNotAtAll(t *testing.T) {
	l := open(t)
	for _, text := range []string{"first", "second"} {
		folder := t.TempDir()
		if err := os.MkdirAll(folder+"/metadata", 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(folder+"/metadata/root.json", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := l.ReplaceRelease(context.Background(), folder); err != nil {
			t.Fatal(err)
		}
		served := l.Path("world", "release", "current", "metadata", "root.json")
		got, err := os.ReadFile(served)
		if err != nil || string(got) != text {
			t.Fatalf("serves %q (%v), want %q", got, err, text)
		}
		if info, err := os.Stat(served); err != nil || info.Mode().Perm()&0o044 != 0o044 {
			t.Errorf("the web server cannot read it: %v %v", info.Mode(), err)
		}
	}
	entries, err := os.ReadDir(l.Path("world", "release"))
	if err != nil || len(entries) != 2 {
		t.Errorf("old repositories stay: %v (%v)", entries, err)
	}
}

func TestStateOfAnotherLabIsRefused(t *testing.T) {
	l := open(t)
	if err := l.save(state{Name: "other", Subnet: "10.9.0.0/24"}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.load(); err == nil || !strings.Contains(err.Error(), "--name other") {
		t.Errorf("got %v", err)
	}
	if err := l.removeState(); err == nil {
		t.Error("down removes the folder of another lab")
	}
}

func TestOnlyMissingToolsAreInstalled(t *testing.T) {
	has := func(program string) (string, error) {
		if program == "mmdebstrap" || program == "nft" {
			return "", os.ErrNotExist
		}
		return "/usr/bin/" + program, nil
	}
	if got := strings.Join(missingTools(tools(), has), " "); got != "mmdebstrap nftables" {
		t.Errorf("got %q", got)
	}
}
