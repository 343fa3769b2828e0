package certificate

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/youmark/pkcs8"
	"software.sslmate.com/src/go-pkcs12"
)

var noted = time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)

// family is a root, an intermediate and a leaf, with keys.
type family struct {
	root, between, leaf *x509.Certificate
	key                 crypto.Signer
}

func newFamily(t testing.TB) family {
	t.Helper()
	rootKey, betweenKey, key := newKey(t), newKey(t), newKey(t)
	root := issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "Root"}, IsCA: true}, nil, rootKey, rootKey)
	between := issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "Between"}, IsCA: true}, root, betweenKey, rootKey)
	leaf := issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: "valt.example"}, DNSNames: []string{"valt.example"},
		IssuingCertificateURL: []string{"http://ca.example/between.crt"}}, between, key, betweenKey)
	return family{root, between, leaf, key}
}

func newKey(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func issue(t testing.TB, c, by *x509.Certificate, key, byKey crypto.Signer) *x509.Certificate {
	t.Helper()
	c.SerialNumber, c.NotBefore, c.NotAfter, c.BasicConstraintsValid = big.NewInt(time.Now().UnixNano()), noted.AddDate(-1, 0, 0), noted.AddDate(1, 0, 0), true
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

func der8(t testing.TB, key crypto.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func says(secret string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(secret), nil }
}

func TestAPairIsReadInEveryForm(t *testing.T) {
	f := newFamily(t)
	ec, err := x509.MarshalECPrivateKey(f.key.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	locked, err := pkcs8.MarshalPrivateKey(f.key, []byte("open sesame"), nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf, between, root := PEM([]*x509.Certificate{f.leaf}), PEM([]*x509.Certificate{f.between}), PEM([]*x509.Certificate{f.root})
	key := block("PRIVATE KEY", der8(t, f.key))
	crlf := func(text []byte) []byte { return bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n")) }
	for name, files := range map[string]Files{
		"in order":                   {Certificate: join(leaf, between, root), Key: key},
		"in reverse":                 {Certificate: join(root, between, leaf), Key: key},
		"leaf in the middle":         {Certificate: join(between, leaf, root), Key: key},
		"each twice":                 {Certificate: join(between, leaf, leaf, root, between), Key: key},
		"key in the same file":       {Certificate: join(key, root, leaf, between), Key: join(key, root, leaf)},
		"words between":              {Certificate: join([]byte("Bag Attributes\n    friendlyName: valt\n"), root, []byte("issuer: Root\n"), leaf, between), Key: key},
		"byte order mark and CRLF":   {Certificate: join([]byte("\ufeff"), crlf(join(leaf, between, root))), Key: join([]byte("\ufeff"), crlf(key))},
		"key in DER":                 {Certificate: join(leaf, between, root), Key: der8(t, f.key)},
		"key as OpenSSL has it":      {Certificate: join(leaf, between, root), Key: join(block("EC PARAMETERS", []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}), block("EC PRIVATE KEY", ec))},
		"key under a passphrase":     {Certificate: join(leaf, between, root), Key: block("ENCRYPTED PRIVATE KEY", locked), Passphrase: says("open sesame")},
		"locked key in DER":          {Certificate: join(leaf, between, root), Key: locked, Passphrase: says("open sesame")},
		"PKCS#12, of today":          {PKCS12: pfx(t, pkcs12.Modern, f, "open sesame"), Passphrase: says("open sesame")},
		"PKCS#12, of Windows 7":      {PKCS12: pfx(t, pkcs12.LegacyDES, f, "open sesame"), Passphrase: says("open sesame")},
		"PKCS#12 without a password": {PKCS12: pfx(t, pkcs12.Passwordless, f, "")},
		"PKCS#12 as certificate":     {Certificate: pfx(t, pkcs12.Modern, f, "open sesame"), Passphrase: says("open sesame")},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Read(files)
			if err != nil {
				t.Fatal(err)
			}
			text, err := p.KeyPEM()
			if err != nil {
				t.Fatal(err)
			}
			again, err := Read(Files{Certificate: p.ChainPEM(), Key: text})
			if err != nil {
				t.Fatalf("what was made of it: %v", err)
			}
			for what, chain := range map[string][]*x509.Certificate{"read": p.Chain, "written": again.Chain} {
				if got := strings.Join(names(chain), " "); got != "valt.example Between Root" {
					t.Errorf("the chain %s is %s", what, got)
				}
			}
			if !again.Key.(*ecdsa.PrivateKey).Equal(f.key) || strings.Contains(string(text), "ENCRYPTED") {
				t.Error("the key is another, or locked")
			}
			if first, _ := pem.Decode(p.ChainPEM()); first == nil || !bytes.Equal(first.Bytes, f.leaf.Raw) {
				t.Error("the leaf is not the first of what is installed")
			}
		})
	}
}

func pfx(t testing.TB, form *pkcs12.Encoder, f family, password string) []byte {
	t.Helper()
	content, err := form.Encode(f.key, f.leaf, []*x509.Certificate{f.root, f.between}, password)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// What needs no mending is installed byte for byte: nothing changes on a host by an update of
// valtctl.
func TestWhatIsInOrderStaysAsItIs(t *testing.T) {
	f := newFamily(t)
	chain := join([]byte("# St Mary's\n"), PEM([]*x509.Certificate{f.leaf, f.between}), []byte("\n"))
	key := join([]byte("# its key\n"), block("PRIVATE KEY", der8(t, f.key)))
	p, err := Read(Files{Certificate: chain, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := p.KeyPEM(); err != nil || !bytes.Equal(text, key) || !bytes.Equal(p.ChainPEM(), chain) {
		t.Errorf("it is not as it was: %q, %v", p.ChainPEM(), err)
	}
}

func TestAnOpenSSLKeyUnderAPassphrase(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	//lint:ignore SA1019 it is what old keys are like
	old, err := x509.EncryptPEMBlock(rand.Reader, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key), []byte("open sesame"), x509.PEMCipherAES256)
	if err != nil {
		t.Fatal(err)
	}
	leaf := issue(t, &x509.Certificate{DNSNames: []string{"valt.example"}}, nil, key, key)
	p, err := Read(Files{Certificate: PEM([]*x509.Certificate{leaf}), Key: pem.EncodeToMemory(old), Passphrase: says("open sesame")})
	if err != nil || !p.Key.(*rsa.PrivateKey).Equal(key) {
		t.Errorf("got %v", err)
	}
}

func TestWhatCannotServeIsNamed(t *testing.T) {
	f, other := newFamily(t), newFamily(t)
	leaf, key := PEM([]*x509.Certificate{f.leaf}), block("PRIVATE KEY", der8(t, f.key))
	locked, err := pkcs8.MarshalPrivateKey(f.key, []byte("open sesame"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		files Files
		want  string
	}{
		"nothing":                     {Files{Key: key}, "reading the certificate: the file is empty"},
		"no key":                      {Files{Certificate: leaf}, "reading the key: the file is empty"},
		"another's key":               {Files{Certificate: leaf, Key: block("PRIVATE KEY", der8(t, other.key))}, "the private key does not match the certificate of valt.example"},
		"a key in its place":          {Files{Certificate: key, Key: key}, `it holds no certificate, but "PRIVATE KEY"`},
		"a certificate as key":        {Files{Certificate: leaf, Key: leaf}, `it holds no private key, but "CERTIFICATE"`},
		"a request":                   {Files{Certificate: block("CERTIFICATE REQUEST", []byte{1}), Key: key}, "it is a request for a certificate"},
		"PKCS#7":                      {Files{Certificate: block("PKCS7", []byte{1}), Key: key}, "openssl pkcs7 -print_certs"},
		"PKCS#7 in DER":               {Files{Certificate: []byte("\x30\x82\x04\x00\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0"), Key: key}, "it is PKCS#7"},
		"a Java keystore":             {Files{Certificate: []byte("\xfe\xed\xfe\xed\x00"), Key: key}, "it is a Java keystore"},
		"a ZIP archive":               {Files{Certificate: []byte("PK\x03\x04"), Key: key}, "it is a ZIP archive"},
		"a picture":                   {Files{Certificate: []byte("\x89PNG\r\n\x1a\n\xff"), Key: key}, "neither PEM nor a certificate in DER"},
		"words":                       {Files{Certificate: []byte("hello"), Key: key}, "-----BEGIN CERTIFICATE-----"},
		"cut off":                     {Files{Certificate: leaf[:len(leaf)/2], Key: key}, "it holds no certificate"},
		"spoiled":                     {Files{Certificate: block("CERTIFICATE", []byte("x")), Key: key}, "its certificate 1 cannot be read"},
		"a key for SSH":               {Files{Certificate: leaf, Key: block("OPENSSH PRIVATE KEY", []byte("x"))}, "it is a key for SSH"},
		"PKCS#12 as key":              {Files{Certificate: leaf, Key: pfx(t, pkcs12.Modern, f, "open sesame")}, "name it as tls.pkcs12"},
		"PEM as PKCS#12":              {Files{PKCS12: leaf}, "goes under tls.certificate"},
		"locked, nobody to ask":       {Files{Certificate: leaf, Key: block("ENCRYPTED PRIVATE KEY", locked)}, "protected by a passphrase"},
		"locked, wrong":               {Files{Certificate: leaf, Key: block("ENCRYPTED PRIVATE KEY", locked), Passphrase: says("please")}, "does not unlock it"},
		"PKCS#12, nobody to ask":      {Files{PKCS12: pfx(t, pkcs12.Modern, f, "open sesame")}, "protected by a passphrase"},
		"PKCS#12, wrong":              {Files{PKCS12: pfx(t, pkcs12.Modern, f, "open sesame"), Passphrase: says("please")}, "does not unlock it"},
		"PKCS#12, certificates":       {Files{PKCS12: store(t, f), Passphrase: says("open sesame")}, "reading the PKCS#12 file"},
		"nobody answers a passphrase": {Files{PKCS12: pfx(t, pkcs12.Modern, f, "open sesame"), Passphrase: func() ([]byte, error) { return nil, errors.New("stopped") }}, "stopped"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Read(c.files); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func store(t testing.TB, f family) []byte {
	t.Helper()
	content, err := pkcs12.Modern.EncodeTrustStore([]*x509.Certificate{f.leaf}, "open sesame")
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func TestAChainWithoutItsIntermediateIsNamed(t *testing.T) {
	f, stranger := newFamily(t), newFamily(t)
	roots := x509.NewCertPool()
	roots.AddCert(f.root)
	key := block("PRIVATE KEY", der8(t, f.key))
	for name, c := range map[string]struct {
		chain []*x509.Certificate
		roots *x509.CertPool
		want  string
	}{
		"whole":             {[]*x509.Certificate{f.leaf, f.between}, roots, ""},
		"with its root":     {[]*x509.Certificate{f.leaf, f.between, f.root}, x509.NewCertPool(), ""},
		"without it":        {[]*x509.Certificate{f.leaf}, roots, `lacks the certificate of "Between", which issued that of "valt.example"; it is at http://ca.example/between.crt`},
		"only the root":     {[]*x509.Certificate{f.leaf, f.root}, roots, `lacks the certificate of "Between"`},
		"another's between": {[]*x509.Certificate{f.leaf, stranger.between}, roots, `lacks the certificate of "Between"`},
		"unknown authority": {[]*x509.Certificate{f.leaf, f.between}, x509.NewCertPool(), `lacks the certificate of "Root", which issued that of "Between"`},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := Read(Files{Certificate: PEM(c.chain), Key: key})
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Missing(c.roots, noted); c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if got := p.Missing(c.roots, noted.AddDate(5, 0, 0)); (got == "") != (c.want == "") {
				t.Errorf("after its end: %q", got)
			}
		})
	}
}

// Whatever the files hold: no crash, and a pair that is read is read again as it is written.
func FuzzRead(f *testing.F) {
	fam := newFamily(f)
	key := block("PRIVATE KEY", der8(f, fam.key))
	f.Add(PEM([]*x509.Certificate{fam.root, fam.leaf, fam.between}), key)
	f.Add(fam.leaf.Raw, der8(f, fam.key))
	f.Add(join(key, PEM([]*x509.Certificate{fam.leaf})), join(key, key))
	f.Fuzz(func(t *testing.T, certificate, key []byte) {
		p, err := Read(Files{Certificate: certificate, Key: key})
		if err != nil {
			return
		}
		text, err := p.KeyPEM()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Read(Files{Certificate: p.ChainPEM(), Key: text})
		if err != nil {
			t.Fatalf("reading it again: %v", err)
		}
		if !bytes.Equal(PEM(p.Chain), PEM(again.Chain)) {
			t.Error("the chain is another")
		}
	})
}

// Whatever a PKCS#12 file holds: no crash, and what is read has the key's certificate first.
func FuzzReadPKCS12(f *testing.F) {
	fam := newFamily(f)
	for _, form := range []*pkcs12.Encoder{pkcs12.Modern.WithIterations(1), pkcs12.LegacyDES.WithIterations(1)} {
		f.Add(pfx(f, form, fam, "a"))
	}
	f.Add(pfx(f, pkcs12.Passwordless, fam, ""))
	f.Fuzz(func(t *testing.T, content []byte) {
		p, err := Read(Files{PKCS12: content, Passphrase: says("a")})
		if err != nil {
			return
		}
		if public, err := publicOf(p.Key); err != nil || !public.Equal(p.Chain[0].PublicKey) {
			t.Errorf("the first certificate is not the key's: %v", err)
		}
	})
}
