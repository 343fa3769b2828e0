package engine

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLicenceIsAKeyOrADongle(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "licence.key")
	empty := filepath.Join(dir, "empty.key")
	dongle := filepath.Join(dir, "usb")
	if err := os.MkdirAll(filepath.Join(dongle, "001"), 0o755); err != nil {
		t.Fatal(err)
	}
	for path, content := range map[string]string{key: "ET1A4-xxxxx\n", empty: "\n", filepath.Join(dongle, "001", "002"): ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	absent := filepath.Join(dir, "absent")
	for _, c := range []struct{ name, key, usb, want, fails string }{
		{"a key", key, absent, "electronic", ""},
		{"a dongle", absent, dongle, "physical", ""},
		{"an empty key and a dongle", empty, dongle, "physical", ""},
		{"neither", absent, absent, "", "no licence key"},
		{"an empty key", empty, absent, "", "no licence key"},
		{"a key that cannot be read", dir, dongle, "", "reading the licence key"},
	} {
		got, err := findLicence(c.key, c.usb)
		if got != c.want || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
}

func TestADongleCountsWhileItIsPluggedIn(t *testing.T) {
	o := options{licence: physical, usb: t.TempDir()}
	if got := o.licenceNow(); got != "none" {
		t.Errorf("the dongle is unplugged: %q", got)
	}
	if err := os.WriteFile(filepath.Join(o.usb, "003"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := o.licenceNow(); got != physical {
		t.Errorf("the dongle came back under another number: %q", got)
	}
	if got := (&options{licence: "electronic", usb: o.usb}).licenceNow(); got != "electronic" {
		t.Errorf("a key needs no dongle: %q", got)
	}
}

func TestEnvironmentSaysEverythingThatIsWrong(t *testing.T) {
	env := map[string]string{"VALT_LICENCE": "/nowhere", "VALT_SSL": "true", "VALT_CERTIFICATE": "/nowhere", "ENGINE_ALLOW": "next door", "VALT_CAMERAS": "10.0.9.11", "ENGINE_POLL": "now"}
	_, err := readOptions(func(name string) string { return env[name] })
	if err == nil {
		t.Fatal("it starts")
	}
	for _, want := range []string{passwordFile, "no licence key", "reading the certificate", "ENGINE_ALLOW", "VALT_CAMERAS", "ENGINE_POLL"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
}

func TestAllowListAlwaysHasLoopback(t *testing.T) {
	got, err := readAddresses("10.0.4.10,")
	if err != nil || len(got) != 2 || got[0].String() != "127.0.0.1" || got[1].String() != "10.0.4.10" {
		t.Errorf("%v %v", got, err)
	}
}
