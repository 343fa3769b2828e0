package certificate

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"

	"ipivs.com/valtctl/repos/textfile"
)

// Files are the contents of what a site file names: a certificate and its key, or a PKCS#12
// file that holds both.
type Files struct {
	Certificate, Key []byte
	PKCS12           []byte
	// Passphrase is asked for what unlocks the key, once, and only if it is locked. Nil:
	// nobody can be asked.
	Passphrase func() ([]byte, error)
}

// Pair is a certificate with its chain and key.
type Pair struct {
	Chain  []*x509.Certificate // the leaf first, each followed by its issuer, as far as the files have them
	Key    crypto.PrivateKey   // nil where only a chain was read
	Beside []*x509.Certificate // those that belong to no part of the chain

	chainText, keyText []byte // as they were, where nothing has to be mended
}

// ErrPassphrase is wrapped where a key is locked and nobody can be asked for what unlocks it.
var ErrPassphrase = errors.New("it is protected by a passphrase")

// Read is the pair that the files hold. The chain is put in its order.
func Read(f Files) (*Pair, error) {
	if f.PKCS12 != nil {
		return readPKCS12(f.PKCS12, f.Passphrase)
	}
	if isPKCS12(f.Certificate) {
		return readPKCS12(f.Certificate, f.Passphrase)
	}
	all, plain, err := certificates(f.Certificate)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	key, keyText, err := privateKey(f.Key, f.Passphrase)
	if err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	p, err := pairOf(all, key)
	if err != nil {
		return nil, err
	}
	p.keyText = keyText
	if plain && slices.Equal(all, p.Chain) {
		p.chainText, _, _ = textfile.Decode(f.Certificate) // it was read as text
	}
	return p, nil
}

// ReadChain is a chain before there is a key for it.
func ReadChain(content []byte) (*Pair, error) {
	all, _, err := certificates(content)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	return pairOf(all, nil)
}

// Authorities are the certificates of a file, PEM or DER, in its order.
func Authorities(content []byte) ([]*x509.Certificate, error) {
	all, _, err := certificates(content)
	return all, err
}

// ChainPEM is the chain as PEM: the file's own text where that was in order.
func (p *Pair) ChainPEM() []byte {
	if p.chainText != nil {
		return p.chainText
	}
	return PEM(p.Chain)
}

// PEM writes certificates one after the other.
func PEM(all []*x509.Certificate) []byte {
	var text bytes.Buffer
	for _, c := range all {
		// A bytes.Buffer takes all that is written to it.
		_ = pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
	}
	return text.Bytes()
}

// KeyPEM is the key as PEM without a passphrase: the file's own text where that had none,
// PKCS #8 otherwise.
func (p *Pair) KeyPEM() ([]byte, error) {
	if p.keyText != nil || p.Key == nil {
		return p.keyText, nil
	}
	der, err := x509.MarshalPKCS8PrivateKey(p.Key)
	if err != nil {
		return nil, fmt.Errorf("writing the key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// certificates are those of a file. Plain: it is PEM with nothing but certificates in it.
func certificates(content []byte) (all []*x509.Certificate, plain bool, err error) {
	if len(bytes.TrimSpace(content)) == 0 {
		return nil, false, errors.New("the file is empty")
	}
	if c, err := x509.ParseCertificate(content); err == nil {
		return []*x509.Certificate{c}, false, nil
	}
	if what := foreign(content); what != "" {
		return nil, false, errors.New(what)
	}
	text, _, err := textfile.Decode(content)
	if err != nil {
		return nil, false, errors.New("it is neither PEM nor a certificate in DER")
	}
	plain = true
	var others []string
	for rest := text; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" && block.Type != "X509 CERTIFICATE" && block.Type != "TRUSTED CERTIFICATE" {
			others, plain = append(others, block.Type), false
			continue
		}
		plain = plain && block.Type == "CERTIFICATE"
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, false, fmt.Errorf("its certificate %d cannot be read: %w", len(all)+1, err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, false, errors.New(noCertificate(others))
	}
	return all, plain, nil
}

// noCertificate says what a PEM file holds instead of one.
func noCertificate(blocks []string) string {
	switch {
	case len(blocks) == 0:
		return "it holds no certificate, neither as PEM (-----BEGIN CERTIFICATE-----) nor in DER"
	case slices.Contains(blocks, "PKCS7"):
		return pkcs7Words
	case slices.Contains(blocks, "CERTIFICATE REQUEST"), slices.Contains(blocks, "NEW CERTIFICATE REQUEST"):
		return "it is a request for a certificate; the authority sends the certificate back for it"
	}
	return fmt.Sprintf("it holds no certificate, but %q", blocks[0])
}

const pkcs7Words = "it is PKCS#7 (.p7b), which holds no form that servers read; openssl pkcs7 -print_certs -in FILE makes PEM of it (-inform DER for a binary one)"

// foreign names a binary file that is something else.
func foreign(content []byte) string {
	switch {
	case bytes.HasPrefix(content, []byte("\xfe\xed\xfe\xed")):
		return "it is a Java keystore; keytool -importkeystore -deststoretype PKCS12 makes PKCS#12 of it, for tls.pkcs12"
	case bytes.Contains(content[:min(len(content), 32)], []byte("\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02")): // RFC 2315, signedData, and not within PKCS#12's version
		if !isPKCS12(content) {
			return pkcs7Words
		}
	case bytes.HasPrefix(content, []byte("\x50\x4b\x03\x04")):
		return "it is a ZIP archive; unpack it and name the certificate in it"
	}
	if isPKCS12(content) {
		return "it is PKCS#12 (.pfx); name it as tls.pkcs12, with its password in password_file"
	}
	return ""
}
