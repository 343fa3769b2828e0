package redact

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func hider() *Hider {
	h := NewHider()
	h.Name("host", "app1")
	h.Name("host", "media1")
	h.Name("addr", "10.0.4.10")
	h.Name("name", "valt.example")
	return h
}

func TestAddressesAndNamesGetStandIns(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"app1 at 10.0.4.10:22, media1 at 10.0.4.21/24, again 10.0.4.10", "host-1 at addr-1:22, host-2 at addr-2/24, again addr-1"},
		{"APP1.lan, app10, xapp1, app1-web, /hosts/app1/x", "host-1.lan, app10, xapp1, host-1-web, /hosts/host-1/x"},
		{"https://valt.example/x valt", "https://name-1/x valt"},
		{`{"m":"a\n10.0.4.21\tapp1 \u003c10.0.4.10"}`, `{"m":"a\naddr-2\thost-1 \u003caddr-1"}`},
		{"q=%2010.0.4.10%3A22", "q=%20addr-1%3A22"},
		{"\x1b[0;31m10.0.4.10\x1b[0m", "\x1b[0;31maddr-1\x1b[0m"},
		{"v1.2.3.4 300.1.1.1 6.4.2 02:00:00 a::b", "v1.2.3.4 300.1.1.1 6.4.2 02:00:00 addr-2"},
		{"10.0.4.10.443 > 10.0.4.21.80:", "addr-1.443 > addr-2.80:"},
		{"fe80::1%eth0 and 2001:db8::10.0.4.10", "addr-2%eth0 and addr-3"},
		{"02:42:0a:00:04:0a and 02:42:0A:00:04:0A", "mac-1 and mac-1"},
		{"ED25519 key SHA256:" + strings.Repeat("aB", 21) + "c.", "ED25519 key fingerprint-1."},
		{"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAbcdefghijklmnopqrstuvwxyz0123456789ABCDEFG pat", "ssh-ed25519 fingerprint-1 pat"},
		{"a -----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\\n", "a certificate-1\\n"},
	} {
		if got := hider().Text(c.text); got != c.want {
			t.Errorf("%q\n  became %q\n  wanted %q", c.text, got, c.want)
		}
	}
}

func TestStandInsAreTheSameThroughout(t *testing.T) {
	h := hider()
	text := strings.Repeat(fill(3000)+" from 10.9.9.9 to 10.0.4.10 by app1\n", 200)
	var whole, pieces bytes.Buffer
	for _, c := range []struct {
		in  io.Reader
		out *bytes.Buffer
	}{{strings.NewReader(text), &whole}, {iotest.OneByteReader(strings.NewReader(text)), &pieces}} {
		w := h.Writer(c.out)
		if _, err := io.Copy(w, c.in); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if n := w.Counts(); n["addr"] != 400 || n["host"] != 200 {
			t.Errorf("%v", n)
		}
	}
	if whole.String() != pieces.String() || strings.Contains(whole.String(), "10.") || strings.Count(whole.String(), "from addr-2 to addr-1 by host-1\n") != 200 {
		t.Error("stand-ins differ with how a text is read, or something is left")
	}
	want := map[string]string{"host-1": "app1", "host-2": "media1", "addr-1": "10.0.4.10", "addr-2": "10.9.9.9", "name-1": "valt.example"}
	for stand, for_ := range want {
		if got := h.Legend()[stand]; got != for_ {
			t.Errorf("%s stands for %q, not %q", stand, got, for_)
		}
	}
}
