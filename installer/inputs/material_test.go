package inputs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
)

func TestEveryWrongFileOfASiteIsToldWithItsPlaceAndWithoutItsContent(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"c.pem": "SECRET-certificate", "c.key": "SECRET-key", "registry": "SECRET-registry\n", "ca.pem": "SECRET-ca",
		"l1": "SECRET-licence\nof two lines", "site.yaml": `site: st-marys
name: valt.example
ssl: true
tls: { certificate: c.pem, key_file: c.key }
release: { version: 6.4.2 }
registry: { username: st-marys, password_file: registry }
clients: [10.0.0.0/16]
network: { trust: [ca.pem] }
hosts:
  - { name: app1, address: 10.0.4.10, roles: [app] }
  - { name: media1, address: 10.0.4.21, roles: [media], recordings: /srv/valt, wowza: { key_file: l1 } }
`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := site.Load(filepath.Join(dir, "site.yaml"), "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = ReadMaterial(s, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), nil)
	all := problem.All(err)
	want := []string{"site.yaml:4", "site.yaml:11", "site.yaml:8"}
	if len(all) != len(want) {
		t.Fatalf("got %v", err)
	}
	for i, p := range all {
		if p.Kind != problem.Input || p.Fix == "" || !strings.Contains(p.Object, want[i]) {
			t.Errorf("got %+v, want it at %s", p, want[i])
		}
		if strings.Contains(p.Error()+p.Fix, "SECRET") {
			t.Errorf("a file's content is told: %v", p)
		}
	}
}

func TestAFileIsReadUpToItsCap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "big")
	for size, ok := range map[int]bool{maxFile: true, maxFile + 1: false} {
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		if content, err := readText(path); (err == nil) != ok || ok && len(content) != size {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}
