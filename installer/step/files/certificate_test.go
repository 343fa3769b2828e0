package files

import (
	"os"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/step/steptest"
)

func TestCertificateIsCheckedBeforeItIsWritten(t *testing.T) {
	year := 365 * 24 * time.Hour
	good, key := steptest.SelfSigned(t, "valt.example", steptest.Noted.Add(-year), steptest.Noted.Add(year))
	_, otherKey := steptest.SelfSigned(t, "valt.example", steptest.Noted.Add(-year), steptest.Noted.Add(year))
	expired, expiredKey := steptest.SelfSigned(t, "valt.example", steptest.Noted.Add(-2*year), steptest.Noted.Add(-year))
	early, earlyKey := steptest.SelfSigned(t, "valt.example", steptest.Noted.Add(year), steptest.Noted.Add(2*year))
	soon, soonKey := steptest.SelfSigned(t, "valt.example", steptest.Noted.Add(-year), steptest.Noted.Add(9*24*time.Hour))
	for name, c := range map[string]struct{ site, chain, key, refused, note string }{
		"good":               {"valt.example", good, key, "", ""},
		"ends soon":          {"valt.example", soon, soonKey, "", "expires on 2026-12-01"},
		"another key":        {"valt.example", good, otherKey, "private key does not match", ""},
		"another name":       {"other.example", good, key, "valid for valt.example", ""},
		"expired":            {"valt.example", expired, expiredKey, "expired on 2025-11-22", ""},
		"not yet":            {"valt.example", early, earlyKey, "is the clock right", ""},
		"not a certificate":  {"valt.example", "hello", key, "failed to find any PEM data", ""},
		"key in place of it": {"valt.example", key, key, "find", ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := steptest.RootMachine(t, map[string]string{"tls": c.key})
			s := steptest.MakeStep(t, CertificateKind(), CertificateParams{Name: c.site, Certificate: c.chain, KeySecret: "tls",
				Path: "/etc/valt/tls/cert.pem", KeyPath: "/etc/valt/tls/key.pem"})
			if c.refused != "" {
				if err := s.Apply(t.Context(), h); err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("got %v, want %q", err, c.refused)
				}
				if _, err := os.Stat(h.Path("/etc/valt")); err == nil {
					t.Error("something was written")
				}
				return
			}
			found := steptest.Settles(t, s, h)
			if strings.Contains(found.Diff, "PRIVATE") || steptest.Mode(t, h, "/etc/valt/tls/key.pem") != 0o600 {
				t.Errorf("the key is shown or open: %s", found.Diff)
			}
			if got := strings.Join(found.Notes, "\n"); !strings.Contains(got, c.note) {
				t.Errorf("notes %q, want %q", got, c.note)
			}
		})
	}
}
