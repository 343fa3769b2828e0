package survey

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// keyring is a binary keyring with one key that ends a while after now; 0: never.
func keyring(t *testing.T, name string, life time.Duration) string {
	t.Helper()
	config := &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA, Time: noted, KeyLifetimeSecs: uint32(life / time.Second)}
	entity, err := openpgp.NewEntity(name, "", "", config)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := entity.Serialize(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestKeysThatAptTrusts(t *testing.T) {
	const year = 365 * 24 * time.Hour
	reply := take(t, hostOf(t, programs{}, map[string]string{
		"/etc/apt/sources.list.d/valt.sources":  "Types: deb\nURIs: https://apt.ipivs.com\nSuites: noble\nComponents: main\nSigned-By: /etc/apt/keyrings/valt.gpg\n",
		"/etc/apt/sources.list.d/docker.list":   "# deb [signed-by=/no] x\ndeb [arch=amd64 signed-by=/etc/apt/keyrings/docker.gpg] https://download.docker.com noble stable\n",
		"/etc/apt/sources.list.d/lost.sources":  "Types: deb\nSigned-By: /etc/apt/keyrings/lost.gpg\n",
		"/etc/apt/sources.list.d/plain.sources": "Types: deb\nURIs: http://x\n",
		"/etc/apt/keyrings/valt.gpg":            keyring(t, "IPIVS", year),
		"/etc/apt/keyrings/docker.gpg":          keyring(t, "Docker", 0),
		"/etc/apt/trusted.gpg.d/old.gpg":        "no key",
	}), Request{})
	var told []string
	for _, k := range reply.Keys {
		end := "never"
		if k.Expires != nil {
			end = k.Expires.Format(time.DateOnly)
		}
		told = append(told, fmt.Sprintf("%s %s %s used=%v failed=%v", k.File, k.Owner, end, k.Used, k.Err != ""))
	}
	want := []string{"/etc/apt/keyrings/docker.gpg Docker never used=true failed=false", "/etc/apt/keyrings/lost.gpg  never used=true failed=true",
		"/etc/apt/keyrings/valt.gpg IPIVS 2027-11-22 used=true failed=false", "/etc/apt/trusted.gpg.d/old.gpg  never used=false failed=true"}
	if !slices.Equal(told, want) {
		t.Errorf("keys\n%q\nwant\n%q", told, want)
	}
}

func TestIndexesAndWhenTheyEnd(t *testing.T) {
	reply := take(t, hostOf(t, programs{}, map[string]string{
		"/var/lib/apt/lists/a_InRelease": "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Ubuntu\nCodename: noble\nValid-Until: Sat, 28 Nov 2026 00:53:02 UTC\nSHA256:\n aa 1 x\n",
		"/var/lib/apt/lists/b_InRelease": "Origin: Docker\nSHA256:\n",
		"/var/lib/apt/lists/c_InRelease": "Valid-Until: soon\n",
	}), Request{})
	if len(reply.Lists) != 3 {
		t.Fatalf("%+v", reply.Lists)
	}
	if a := reply.Lists[0]; a.Origin != "Ubuntu" || a.Codename != "noble" || a.ValidUntil == nil || a.ValidUntil.Day() != 28 {
		t.Errorf("%+v", a)
	}
	if reply.Lists[1].ValidUntil != nil || reply.Lists[1].Err != "" || reply.Lists[2].Err == "" {
		t.Errorf("%+v", reply.Lists[1:])
	}
}

func TestCertificatesOnTheHost(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	made, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"valt.example"}, NotAfter: noted().Add(time.Hour)},
		&x509.Certificate{}, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	reply := take(t, hostOf(t, programs{}, map[string]string{
		"/good.pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: made})), "/bad.pem": "x", "/worse.pem": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
	}), Request{Certificates: []string{"/good.pem", "/bad.pem", "/worse.pem", "/none.pem"}})
	c := reply.Certificates
	if c[0].NotAfter == nil || !c[0].NotAfter.Equal(noted().Add(time.Hour)) || !slices.Equal(c[0].Names, []string{"valt.example"}) {
		t.Errorf("%+v", c[0])
	}
	if c[1].Err == "" || c[2].Err == "" || !c[3].Missing || c[3].Err != "" {
		t.Errorf("%+v", c[1:])
	}
}

func TestSupportComesFromTheHostsOwnTable(t *testing.T) {
	const table = "version,codename,series,created,release,eol,eol-server,eol-esm\n24.04 LTS,N,noble,2023-10-12,2024-04-25,2030-01-01,2030-01-01,2035-01-01\n25.10,Q,q,2025-04-17,2025-10-09,2026-07-09\n"
	for name, c := range map[string]struct {
		release, table, until string
		lts, problem, none    bool
	}{
		"own table":         {release: "ID=ubuntu\nVERSION_ID=24.04\n", table: table, until: "2030-01-01", lts: true},
		"short-lived":       {release: "ID=ubuntu\nVERSION_ID=25.10\n", table: table, until: "2026-07-09"},
		"built in":          {release: "ID=ubuntu\nVERSION_ID=22.04\n", until: "2027-06-01", lts: true},
		"from the future":   {release: "ID=ubuntu\nVERSION_ID=40.04\n", problem: true},
		"no Ubuntu":         {release: "ID=debian\nVERSION_ID=12\n", none: true},
		"a table of no use": {release: "ID=ubuntu\nVERSION_ID=24.04\n", table: "version,eol\n24.04 LTS,soon\n", problem: true},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"/etc/os-release": c.release}
			if c.table != "" {
				files[distroInfo] = c.table
			}
			reply := take(t, hostOf(t, programs{}, files), Request{})
			if (reply.Problems[AskSupport] != "") != c.problem || (reply.Support == nil) != (c.problem || c.none) {
				t.Fatalf("%+v %v", reply.Support, reply.Problems)
			}
			if s := reply.Support; s != nil && (s.Until.Format(time.DateOnly) != c.until || s.LTS != c.lts || s.Source == "") {
				t.Errorf("%+v", s)
			}
		})
	}
}

func FuzzWhatIsReadOfAHost(f *testing.F) {
	f.Add("ens3\t0004000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n")
	f.Add("'http://a/x.deb' x_1.deb 10 SHA256:aa\n")
	f.Add("deb [signed-by=/a,/b] x\n")
	f.Add(releaseCycle)
	f.Fuzz(func(t *testing.T, text string) {
		for _, s := range readRoutes(text) {
			if !s.Prefix.IsValid() || s.Prefix.Bits() == 0 {
				t.Errorf("no network: %+v", s)
			}
		}
		if readURIs(text).Bytes < 0 {
			t.Error("less than nothing is to be fetched")
		}
		readMadison(text)
		readAptSettings(text)
		signedByOptions(text)
		releaseHead(text)
		assignments(text)
		timeServers(nil, text, []string{"NTP="})
		_, _ = readSupport(text, "24.04")
	})
}
