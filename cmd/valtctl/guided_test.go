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
	s := startScreen(t, room(t, nil), "init", "--no-look")
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
	s.answer("", "Jump hosts on the way:")
	s.answer("", "File with the sudo password:")
	s.answer("", "Disk for recordings on valt:")
	s.answer("", "Licence of its streaming engine")
	s.down(1, "Cameras of valt:")
	s.answer("10.0.0.104 - 10.0.0.101", "ends before it starts")
	s.answer("10.0.0.101 - 10.0.0.104", "Networks that people watch from:")
	s.answer("10.0.0.0/24", "Networks of the administrators:")
	s.answer("", "Is BEAM licensed")
	s.answer("", "HTTP proxy for the internet:")
	s.answer("", "Weekly maintenance windows:")
	s.answer("Sun 02:00-05:00", "Time zone of the windows:")
	s.answer("", "write site.yaml")
	s.answer("", "Check the site now")
	s.down(1, "Install now")
	s.down(1, "Install now: no")
	s.end(0)
	s.golden("single")
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
