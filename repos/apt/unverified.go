package apt

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// ReadUnverified reads a clear-signed Release without checking its signature: for saying
// what a server has, never for taking anything from it.
func ReadUnverified(signed []byte) (Release, error) {
	block, _ := clearsign.Decode(signed)
	if block == nil {
		return Release{}, errors.New("reading a Release: it is not a whole signed message")
	}
	return ReadRelease(bytes.NewReader(block.Plaintext))
}

// Signers lists the keys that a clear-signed text says it is signed by: fingerprints in
// upper case hex, or key ids where a signature has nothing longer. Nothing is checked.
func Signers(signed []byte) []string {
	block, _ := clearsign.Decode(signed)
	if block == nil {
		return nil
	}
	var signers []string
	for packets := packet.NewReader(block.ArmoredSignature.Body); ; {
		p, err := packets.Next()
		if err != nil { // the end, or something that nobody can read
			return signers
		}
		if s, ok := p.(*packet.Signature); ok && !slices.Contains(signers, signer(s)) {
			signers = append(signers, signer(s))
		}
	}
}

func signer(s *packet.Signature) string {
	switch {
	case len(s.IssuerFingerprint) > 0:
		return fmt.Sprintf("%X", s.IssuerFingerprint)
	case s.IssuerKeyId != nil:
		return fmt.Sprintf("%016X", *s.IssuerKeyId)
	}
	return "unknown"
}
