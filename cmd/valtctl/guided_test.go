//go:build unix

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// room is a folder with what a person has at hand.
func room(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// hidesOwn takes this machine's own addresses out of a screen: root is offered the first.
func hidesOwn(line string) string {
	for _, a := range ownAddresses() {
		line = strings.ReplaceAll(line, a, "")
	}
	return line
}

// A single server, with wrong answers on the way, and questions explained.
func TestGuidedSingle(t *testing.T) {
	t.Parallel()
	s := startScreen(t, "single", room(t, nil), "init", "--no-look")
	s.hide = hidesOwn
	s.see("media servers for VALT Cloud")
	s.press("?", "?")
	s.see("up to 50 cameras")
	s.press("↑", "\x1b[A")
	s.answer("", "Short name of the site:")
	s.answer("Interview Suite", "is not a short name")
	s.answer("interview", "Name that people type:")
	s.answer("?", "in the browser's address line")
	s.answer("valt.police.example", "yes: ports 443 and 444")
	s.down(1, "Where releases come from:")
	s.down(1, "Name of server 1:")
	s.answer("", "Address of valt:")
	s.answer("10.0.0.300", "four numbers from 0 to 255")
	s.answer("10.0.0.10", "SSH user on the servers:")
	s.answer("valt", "File of the SSH private key:")
	s.enter("Jump hosts on the way:", "File with the sudo password:", "Disk for recordings on valt:", "Licence of its streaming engine")
	s.down(1, "Cameras of valt:")
	s.answer("10.0.0.104 - 10.0.0.101", "ends before it starts")
	s.answer("10.0.0.101 - 10.0.0.104", "Networks that people watch from:")
	s.answer("10.0.0.0/24", "Networks of the administrators:")
	s.enter("Is BEAM licensed", "HTTP proxy for the internet:", "Weekly maintenance windows:")
	s.answer("Sun 02:00-05:00", "Time zone of the windows:")
	s.enter("write site.yaml", "Check the site now")
	s.down(1, "Install now")
	s.down(1, "Install now: no")
	s.end(0)
	s.golden()
	const want = `site: interview
name: valt.police.example
ssl: false
ssh:
  user: valt
hosts:
  - name: valt
    address: 10.0.0.10
    roles: [app, media]
    recordings: /srv/valt
    wowza:
      license: physical
    cameras: [10.0.0.101-10.0.0.104]
clients: [10.0.0.0/24]
updates:
  source: bundle
  windows: ["Sun 02:00-05:00"]
  timezone: America/Chicago
`
	if got := s.file("site.yaml"); !strings.HasSuffix(got, want) {
		t.Errorf("site.yaml is\n%s", got)
	}
}

// Several servers with BEAM: the certificate is looked at, cameras are pasted, and the way
// leads back and on again.
func TestGuidedSeveral(t *testing.T) {
	t.Parallel()
	pair := certificateFor(t, "valt.st-marys.example")
	other := certificateFor(t, "valt.other.example")
	s := startScreen(t, "several", room(t, map[string]string{"valt.pem": pair.cert, "valt.key": pair.key, "other.pem": other.cert, "other.key": other.key,
		"registry": "secret\n", "keys/media1": "EPBU4-XXXXX\n"}), "init", "--ssh-user", "valt", "--no-look=false")
	s.hide = hidesOwn
	s.see("media servers for VALT Cloud")
	s.answer("", "Short name of the site:")
	s.answer("st-marys", "Name that people type:")
	s.answer("valt.st-marys.example", "yes: ports 443 and 444")
	s.answer("", "File of the certificate:")
	s.answer("nowhere.pem", "It is not there yet")
	s.answer("", "File of the certificate:")
	s.answer("other.pem", "valid for valt.other.example")
	s.answer("valt.pem", "File of the certificate's key:")
	s.answer("other.key", "give the key that belongs to the certificate")
	s.answer("<", "File of the certificate: valt.pem")
	s.answer("<", "yes: ports 443 and 444")
	s.press("<", "<")
	s.see("Name that people type: valt.st-marys.example")
	s.enter("yes: ports 443 and 444", "File of the certificate: valt.pem", "File of the certificate's key:")
	s.answer("valt.key", "Where releases come from:")
	s.answer("", "User at the vendor's image registry:")
	s.answer("st-marys", "File with that user's password:")
	s.answer("registry", "Name of server 1: app1")
	s.answer("", "Address of app1:")
	s.answer("127.0.0.3", "File of the SSH private key:")
	s.answer("", "Jump hosts on the way:")
	s.answer("nobody@127.0.0.3:1", "File with the sudo password:")
	s.answer("", "go on; the check before")
	s.down(2, "What it does:")
	s.enter("Name of server 2: media1", "Address of media1:")
	s.answer("127.0.0.3", "is also the address of app1")
	s.answer("10.0.4.21", "go on; the check before")
	s.down(2, "Disk for recordings on media1:")
	s.enter("Licence of its streaming engine", "File with the licence key of media1: keys/media1", "Cameras of media1:")
	s.press("(pasted lines)", "10.0.9.11\r\n10.0.9.12\r\n10.0.9.20 - 10.0.9.39\r\n")
	s.see("no, that is all")
	s.answer("", "Networks that people watch from:")
	s.answer("10.0.0.1/16", "write 10.0.0.0/16 for the network")
	s.answer("10.0.0.0/16", "Networks of the administrators:")
	s.answer("10.0.99.0/28", "Is BEAM licensed")
	s.press("↑", "\x1b[A")
	s.answer("", "Networks of the mobile devices:")
	s.answer("10.0.20.0/24", "HTTP proxy for the internet:")
	s.answer("http://kim:secret@proxy:3128", "no secret stands in a site file")
	s.answer("http://proxy:3128", "Weekly maintenance windows:")
	s.enter("write site.yaml", "Check the site now")
	s.press("^C", "\x03")
	s.end(0)
	s.golden()
	for _, want := range []string{"cameras: [10.0.9.11, 10.0.9.12, 10.0.9.20-10.0.9.39]", "devices: [10.0.20.0/24]", "certificate: valt.pem", "user: valt"} {
		if !strings.Contains(s.file("site.yaml"), want) {
			t.Errorf("site.yaml lacks %q:\n%s", want, s.file("site.yaml"))
		}
	}
}

// Media servers for VALT Cloud, stopped in the middle, and gone on with: nothing is asked
// twice, and a bare install without a site file begins with the same questions.
func TestGuidedCloudStoppedAndGoneOnWith(t *testing.T) {
	t.Parallel()
	dir := room(t, nil)
	s := startScreen(t, "cloud-stopped", dir, "init", "--no-look")
	s.see("media servers for VALT Cloud")
	s.down(1, "Short name of the site:")
	s.answer("clinic", "Name of the cloud's application server:")
	s.answer("valt.example.com", "Name that people type: valt.example.com")
	s.press("^C", "\x03")
	s.end(130)
	s.golden()
	if _, err := os.Stat(filepath.Join(dir, "site.yaml")); err == nil {
		t.Error("a site file was written")
	}
	drafts, err := filepath.Glob(dir + "/state/valtctl/init.*.json")
	if err != nil || len(drafts) != 1 {
		t.Fatalf("answers kept: %v, %v", drafts, err)
	}
	if info, err := os.Stat(drafts[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the answers' file: %v, %v", info.Mode(), err)
	}

	s = startScreen(t, "cloud-install", dir, "install")
	s.see("begin anew")
	s.answer("", "Name that people type: valt.example.com")
	s.press("^C", "\x03")
	s.end(130)
	s.golden()

	s = startScreen(t, "cloud", dir, "init", "--no-look")
	s.hide = hidesOwn
	s.see("begin anew")
	s.enter("Name that people type: valt.example.com", "Where releases come from:")
	s.down(1, "Name of server 1: media1")
	s.answer("", "Address of media1:")
	s.answer("10.0.4.21", "SSH user on the servers:")
	s.enter("File of the SSH private key:", "Jump hosts on the way:", "File with the sudo password:", "Disk for recordings on media1:", "Licence of its streaming engine", "File with the licence key of media1: keys/media1", "Cameras of media1:")
	s.answer("10.0.9.11", "no, that is all")
	s.answer("", "Networks that people watch from:")
	s.answer("10.0.0.0/16", "Networks of the administrators:")
	s.enter("Is BEAM licensed", "HTTP proxy for the internet:", "Weekly maintenance windows:", "write site.yaml", "Check the site now")
	s.press("^C", "\x03")
	s.end(0)
	s.golden()
	if drafts, _ := filepath.Glob(dir + "/state/valtctl/init.*.json"); len(drafts) != 0 {
		t.Errorf("answers are still kept beside the file: %v", drafts)
	}
	if !strings.Contains(s.file("site.yaml"), "cloud:\n  app: valt.example.com\n") {
		t.Errorf("site.yaml is\n%s", s.file("site.yaml"))
	}
}

const existing = `# St Mary's, see the binder in the basement
site: st-marys
name: valt.st-marys.example # on the certificate
ssl: false
registry: { username: st-marys, password_file: registry } # from the vendor
hosts:
  - { name: app1, address: 10.0.4.10, roles: [app] } # basement
  - name: media1 # the wing's
    address: 10.0.4.21
    roles: [media]
    recordings: /srv/valt
    wowza: { key_file: keys/media1 }
    cameras:
      - 10.0.9.11 # door
# both buildings
clients: [10.0.0.0/16]
`

// An existing file is edited: a server is added, and later every answer is gone through.
func TestGuidedExistingFile(t *testing.T) {
	t.Parallel()
	dir := room(t, map[string]string{"site.yaml": existing, "registry": "x"})
	s := startScreen(t, "existing-add", dir, "init", "--no-look")
	s.see("add a media server")
	s.answer("", "Name of server 3: media2")
	s.answer("media1", "is also the name of the host at 10.0.4.21")
	s.answer("media2", "Address of media2:")
	s.answer("10.0.4.22", "Disk for recordings on media2:")
	s.answer("", "Licence of its streaming engine")
	s.down(1, "Cameras of media2:")
	s.answer("10.0.9.40", "no, that is all")
	s.enter("write site.yaml", "Check the site now")
	s.press("^C", "\x03")
	s.end(0)
	s.golden()
	want := strings.Replace(existing, "# both buildings", `  - name: media2
    address: 10.0.4.22
    roles: [media]
    recordings: /srv/valt
    wowza:
      license: physical
    cameras: [10.0.9.40]
# both buildings`, 1)
	if got := s.file("site.yaml"); got != want {
		t.Errorf("site.yaml is\n%s\nwant\n%s", got, want)
	}

	s = startScreen(t, "existing-all", dir, "init", "--no-look")
	s.see("go through every answer")
	s.down(1, "What is it to be:")
	s.enter("Short name of the site: st-marys", "Name that people type: valt.st-marys.example")
	s.answer("valt.new.example", "no: ports 80 and 1935")
	s.enter("Where releases come from", "User at the vendor's", "File with that user's password", "Name of server 1: app1", "Address of app1: 10.0.4.10",
		"SSH user on the servers", "SSH private key", "Jump hosts", "sudo password", "What it does", "Name of server 2: media1", "Address of media1: 10.0.4.21", "Disk for recordings on media1: /srv/valt",
		"Licence of its", "licence key of media1: keys/media1", "Cameras of media1: 10.0.9.11", "Name of server 3: media2", "Address of media2: 10.0.4.22", "Disk for recordings on media2",
		"Licence of its", "Cameras of media2: 10.0.9.40", "no, that is all", "people watch from: 10.0.0.0/16", "the administrators:", "BEAM", "HTTP proxy", "maintenance windows", "write site.yaml")
	s.answer("", "Check the site now")
	s.press("^C", "\x03")
	s.end(0)
	s.golden()
	if got, want := s.file("site.yaml"), strings.Replace(want, "name: valt.st-marys.example", "name: valt.new.example", 1); got != want {
		t.Errorf("site.yaml is\n%s\nwant\n%s", got, want)
	}
}

// A server's key is shown and compared; one that lets nobody in is told, and left for later.
func TestGuidedFingerprint(t *testing.T) {
	t.Parallel()
	server := hostKeyServer(t)
	dir := room(t, map[string]string{"site.yaml": "# half a site\nsite: st-marys\nname: v.example\nssl: false\nssh: { port: " + server.port + ", user: valt }\nupdates: { source: bundle }\nclients: [10.0.0.0/8]\n"})
	s := startScreen(t, "fingerprint", dir, "init", "--yes=false")
	s.hide = func(l string) string {
		return hidesOwn(strings.NewReplacer(server.fingerprint, "SHA256:FINGERPRINT", server.port, "PORT").Replace(l))
	}
	s.see("media servers for VALT Cloud")
	s.press("↑", "\x1b[A")
	s.enter("Short name of the site: st-marys", "Name that people type: v.example", "no: ports 80", "Where releases", "Name of server 1: valt", "Address of valt:")
	s.answer("127.0.0.1", "SSH user on the servers: valt")
	s.enter("SSH private key", "Jump hosts", "sudo password", "yes, remember it")
	s.enter("go on; the check before", "yes, remember it")
	s.down(1, "Password of valt")
	s.answer("wrong", "go on; the check before")
	s.down(2, "Disk for recordings on valt:")
	s.press("^C", "\x03")
	s.end(130)
	s.golden()
	if known := s.file("state/valtctl/st-marys/known_hosts"); !strings.Contains(known, "[127.0.0.1]:"+server.port+" ssh-ed25519 ") {
		t.Errorf("known_hosts is %q", known)
	}
}
