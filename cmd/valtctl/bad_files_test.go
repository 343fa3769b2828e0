package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

// handedOver are a customer's certificate, the one between, and the key.
type handedOver struct {
	leaf, between, root *x509.Certificate
	key                 *ecdsa.PrivateKey
}

func newHandedOver(t *testing.T) handedOver {
	t.Helper()
	h := handedOver{}
	make := func(c, by *x509.Certificate, key, byKey *ecdsa.PrivateKey) *x509.Certificate {
		c.SerialNumber, c.NotBefore, c.NotAfter, c.BasicConstraintsValid = big.NewInt(7), time.Now().Add(-time.Hour), time.Now().AddDate(1, 0, 0), true
		if by == nil {
			by = c
		}
		der, err := x509.CreateCertificate(rand.Reader, c, by, key.Public(), byKey)
		if err != nil {
			t.Fatal(err)
		}
		made, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	rootKey, betweenKey := newKey(), newKey()
	h.key = newKey()
	h.root = make(&x509.Certificate{Subject: pkix.Name{CommonName: "Customer Root"}, IsCA: true}, nil, rootKey, rootKey)
	h.between = make(&x509.Certificate{Subject: pkix.Name{CommonName: "Customer Issuing"}, IsCA: true}, h.root, betweenKey, rootKey)
	h.leaf = make(&x509.Certificate{DNSNames: []string{"valt.example"}}, h.between, h.key, betweenKey)
	return h
}

func pemOf(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// goodFiles are what a site of one server needs, all of it right.
func goodFiles(t *testing.T, h handedOver) map[string]string {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(h.key)
	if err != nil {
		t.Fatal(err)
	}
	pfx, err := pkcs12.Modern.Encode(h.key, h.leaf, []*x509.Certificate{h.root, h.between}, "open sesame")
	if err != nil {
		t.Fatal(err)
	}
	chain := pemOf("CERTIFICATE", h.leaf.Raw) + pemOf("CERTIFICATE", h.between.Raw) + pemOf("CERTIFICATE", h.root.Raw)
	return map[string]string{"chain": chain, "key": pemOf("PRIVATE KEY", key), "registry": "hunter2\n", "licence": "ENGM-1-2-3\n", "ca.pem": pemOf("CERTIFICATE", h.root.Raw),
		"site.pfx": string(pfx), "pfx-password": "open sesame\n",
		"site.yaml": `site: st-marys
name: valt.example
ssl: true
tls: { certificate: chain, key_file: key }
registry: { username: st-marys, password_file: registry }
clients: [10.0.0.0/16]
admins: [10.0.0.0/16]
network: { trust: [ca.pem] }
release: { version: 6.4.2, url: "https://127.0.0.1:1/valt/" }
ssh: { port: 1, user: valt }
hosts:
  - { name: valt, address: 127.0.0.3, roles: [app, media], recordings: /srv/valt, wowza: { key_file: licence } }
`}
}

// Every file that a site names and that cannot serve is named where the site file names it,
// before any host is asked, and without its content. The same files in the forms of Windows'
// editors do serve: then the host is what cannot be reached.
func TestFilesThatPeopleHandOver(t *testing.T) {
	t.Parallel()
	h := newHandedOver(t)
	good := goodFiles(t, h)
	other := goodFiles(t, newHandedOver(t))
	wide := func(text string) string {
		var b strings.Builder
		b.WriteString("\xff\xfe")
		for _, c := range []byte(strings.ReplaceAll(text, "\n", "\r\n")) {
			b.WriteByte(c)
			b.WriteByte(0)
		}
		return b.String()
	}
	marked := func(text string) string { return "\xef\xbb\xbf" + strings.ReplaceAll(text, "\n", "\r\n") }
	pfxSite := strings.Replace(good["site.yaml"], "certificate: chain, key_file: key", "pkcs12: site.pfx, password_file: pfx-password", 1)
	const serves = "nothing listens there"
	for name, c := range map[string]struct {
		files map[string]string
		code  int // 0: the files serve
		said  string
	}{
		"all is right":                    {nil, 0, serves},
		"everything with mark and CRLF":   {map[string]string{"site.yaml": marked(good["site.yaml"]), "chain": marked(good["chain"]), "key": marked(good["key"]), "registry": marked(good["registry"]), "licence": marked(good["licence"]), "ca.pem": marked(good["ca.pem"])}, 0, serves},
		"everything in UTF-16":            {map[string]string{"site.yaml": wide(good["site.yaml"]), "chain": wide(good["chain"]), "key": wide(good["key"]), "registry": wide(good["registry"]), "licence": wide(good["licence"]), "ca.pem": wide(good["ca.pem"])}, 0, serves},
		"a .pfx with its password":        {map[string]string{"site.yaml": pfxSite, "pfx-password": wide(good["pfx-password"])}, 0, serves},
		"chain in DER, key in DER":        {map[string]string{"chain": string(h.leaf.Raw), "key": derOf(t, good["key"])}, 0, serves},
		"an authority in DER":             {map[string]string{"ca.pem": string(h.root.Raw)}, 0, serves},
		"a chain without its issuer":      {map[string]string{"chain": pemOf("CERTIFICATE", h.leaf.Raw)}, 0, `phones will refuse the site: the chain lacks the certificate of "Customer Issuing"`},
		"no certificate":                  {map[string]string{"chain": "hello\n"}, 2, "site.yaml:4: tls: reading the certificate: it holds no certificate"},
		"an empty certificate":            {map[string]string{"chain": ""}, 2, "site.yaml:4: tls: reading the certificate: the file is empty"},
		"a certificate that is not there": {map[string]string{"chain": "-"}, 2, "site.yaml:4: tls.certificate: it cannot be read"},
		"a request":                       {map[string]string{"chain": pemOf("CERTIFICATE REQUEST", []byte{1})}, 2, "it is a request for a certificate"},
		"PKCS#7":                          {map[string]string{"chain": pemOf("PKCS7", []byte{1})}, 2, "openssl pkcs7"},
		"a Java keystore":                 {map[string]string{"chain": "\xfe\xed\xfe\xed\x00"}, 2, "it is a Java keystore"},
		"another's chain":                 {map[string]string{"chain": other["chain"]}, 2, "the private key does not match the certificate of valt.example"},
		"the chain in the key's place":    {map[string]string{"key": good["chain"]}, 2, `it holds no private key, but "CERTIFICATE"`},
		"half a key":                      {map[string]string{"key": good["key"][:60]}, 2, "it holds no private key"},
		"a key under a passphrase":        {map[string]string{"key": pemOf("ENCRYPTED PRIVATE KEY", lockedKey(t))}, 2, "it is protected by a passphrase"},
		"a .pfx with another password":    {map[string]string{"site.yaml": pfxSite, "pfx-password": "please\n"}, 2, "the passphrase does not unlock it"},
		"a .pfx that is PEM":              {map[string]string{"site.yaml": pfxSite, "site.pfx": good["chain"]}, 2, "reading the PKCS#12 file: it is none"},
		"a .pfx as certificate's key":     {map[string]string{"key": good["site.pfx"]}, 2, "name it as tls.pkcs12"},
		"a password file in Latin-1":      {map[string]string{"registry": "p\xe4sshunter2\n"}, 2, "line 1, column 2: it is not text in UTF-8"},
		"an empty licence":                {map[string]string{"licence": "\r\n"}, 2, "hosts[0].wowza.key_file: the file is empty"},
		"a licence of several lines":      {map[string]string{"licence": "ENGM-1\nENGM-2\n"}, 2, "it has several lines"},
		"a licence that is a picture":     {map[string]string{"licence": "\x89PNG\r\n\x1a\n\xff"}, 2, "line 1, column 1: it is not text in UTF-8"},
		"an authority that is none":       {map[string]string{"ca.pem": "hello\n"}, 2, "site.yaml:8: network.trust: ca: it holds no certificate"},
		"a site file in Latin-1":          {map[string]string{"site.yaml": good["site.yaml"] + "# \xe9\n"}, 2, "site.yaml:13: column 3: the byte 0xE9"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for file, content := range good {
				if changed, ok := c.files[file]; ok {
					content = changed
				}
				if content == "-" {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			code, stdout, stderr := ownCommand(t, dir, "install", "--yes")
			if !strings.Contains(stderr, c.said) || stdout != "" || code != 2 { // a site without a root of trust gets no further
				t.Errorf("exit code %d, want 2 and %q; it says\n%s%s", code, c.said, stdout, stderr)
			}
			if asked := strings.Contains(stderr, serves); asked != (c.code == 0) {
				t.Errorf("a host was asked: %v; it says\n%s", asked, stderr)
			}
			if c.code == 2 && !strings.Contains(stderr, "\nhint: ") {
				t.Errorf("it says not what to do: %s", stderr)
			}
			for _, secret := range []string{"hunter2", "open sesame", "ä", "0xE4", "ENGM-1"} {
				if strings.Contains(stderr, secret) {
					t.Errorf("%q is told: %s", secret, stderr)
				}
			}
		})
	}
}

func derOf(t *testing.T, text string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		t.Fatal("no PEM")
	}
	return string(block.Bytes)
}

// lockedKey is a key under a passphrase as far as its form goes: an algorithm and a secret text.
func lockedKey(t *testing.T) []byte {
	t.Helper()
	return []byte("\x30\x0f\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x05\x0d\x04\x00")
}

// Files beside the site file: facts, lists of signers and reports to compare with.
func TestOtherFilesThatPeopleHandOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range goodFiles(t, newHandedOver(t)) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string]string{
		"facts.txt": "hello\n", "facts-of-nobody.json": `{"schema":"valtctl/v1","kind":"facts","result":[]}`, "facts-latin1.json": "{\"kind\":\"\xe9\"}",
		"signers-none": "# nobody\r\n", "signers-latin1": "caf\xe9\n", "report.txt": "hello\n", "report.json": "{}", "empty": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args []string
		said string
	}{
		{[]string{"bundle", "create", "-o", "x", "--have", "facts.txt"}, "reading the facts facts.txt"},
		{[]string{"bundle", "create", "-o", "x", "--have", "facts-of-nobody.json"}, `it is a "facts" of 0 hosts and not facts`},
		{[]string{"bundle", "create", "-o", "x", "--have", "facts-latin1.json"}, "line 1, column 10: it is not text in UTF-8"},
		{[]string{"bundle", "create", "-o", "x", "--have", "none.json"}, "none.json"},
		{[]string{"bundle", "verify", "--signers", "signers-none", "empty"}, "no key is listed"},
		{[]string{"bundle", "verify", "--signers", "signers-latin1", "empty"}, "line 1, column 4: it is not text in UTF-8"},
		{[]string{"check", "--compare", "report.txt"}, "comparing with report.txt"},
		{[]string{"check", "--compare", "report.json"}, "it is none of valtctl check --save"},
	} {
		code, _, stderr := ownCommand(t, dir, c.args...)
		if code != 2 || !strings.Contains(stderr, c.said) || !strings.Contains(stderr, "\nhint: ") {
			t.Errorf("%v: exit code %d, want 2 and %q; it says\n%s", c.args, code, c.said, stderr)
		}
	}
}
