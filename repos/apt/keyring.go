package apt

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"

	"ipivs.com/valtctl/repos/problem"
)

// Keyring is OpenPGP public keys that may sign a repository.
type Keyring openpgp.EntityList

// ReadKeyring reads a keyring, binary or armoured.
func ReadKeyring(data []byte) (Keyring, error) {
	binary, err := Dearmor(data)
	if err != nil {
		return nil, err
	}
	keys, err := openpgp.ReadKeyRing(bytes.NewReader(binary))
	if err != nil {
		return nil, fmt.Errorf("reading a keyring: %w", err)
	}
	return Keyring(keys), nil
}

// Dearmor is the binary form of a keyring, which every gpgv that apt runs can read
// (an armoured one needs the file name's ending to say so). The keys' own bytes are kept. Several
// armoured blocks one after the other become one keyring; a binary one is returned
// as it is. A private key is refused: it must not reach a host.
func Dearmor(data []byte) ([]byte, error) {
	if !bytes.HasPrefix(bytes.TrimSpace(data), []byte(signedStart)) {
		return checkKeys(data)
	}
	var binary []byte
	for rest := bytes.TrimSpace(data); len(rest) > 0; {
		block, after, err := nextBlock(rest)
		if err != nil {
			return nil, fmt.Errorf("reading an armoured keyring: %w", err)
		}
		binary, rest = append(binary, block...), bytes.TrimSpace(after)
	}
	return checkKeys(binary)
}

// nextBlock decodes the first armoured block and returns what follows it.
func nextBlock(text []byte) (body, rest []byte, err error) {
	const end = "-----END PGP PUBLIC KEY BLOCK-----"
	stop := bytes.Index(text, []byte(end))
	if stop < 0 {
		return nil, nil, fmt.Errorf("a block does not end in %s", end)
	}
	stop += len(end)
	block, err := armor.Decode(bytes.NewReader(text[:stop]))
	if err != nil {
		return nil, nil, fmt.Errorf("decoding a block: %w", err)
	}
	if block.Type != openpgp.PublicKeyType {
		return nil, nil, fmt.Errorf("a block is a %q, not a public key", block.Type)
	}
	body, err = io.ReadAll(block.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("decoding a block: %w", err)
	}
	return body, text[stop:], nil
}

func checkKeys(binary []byte) ([]byte, error) {
	prints, err := Fingerprints(binary)
	if err != nil {
		return nil, err
	}
	if len(prints) == 0 {
		return nil, errors.New("reading a keyring: it holds no public key")
	}
	return binary, nil
}

// Fingerprints lists the primary keys of a binary keyring by their fingerprints, upper
// case hex. Packets that this program does not understand are passed over, since gpgv
// may understand them; a private key is an error.
func Fingerprints(binary []byte) ([]string, error) {
	var prints []string
	packets := packet.NewOpaqueReader(bytes.NewReader(binary))
	for {
		opaque, err := packets.Next()
		if errors.Is(err, io.EOF) {
			return prints, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading a keyring: %w", err)
		}
		parsed, err := opaque.Parse()
		if err != nil {
			continue
		}
		switch key := parsed.(type) {
		case *packet.PrivateKey:
			return nil, errors.New("reading a keyring: it holds a private key, which must not leave its owner")
		case *packet.PublicKey:
			if !key.IsSubkey {
				prints = append(prints, strings.ToUpper(hex.EncodeToString(key.Fingerprint)))
			}
		}
	}
}

// open checks the signature of a clear-signed text, at the configuration's time, and returns
// what it covers, with line ends as \n. Text before or after the signed block is an error, as
// it is for apt: a reader could take it for signed. A failure is a problem of kind Trust.
func open(signed []byte, keys Keyring, config *packet.Config) ([]byte, error) {
	if !bytes.HasPrefix(signed, []byte("-----BEGIN PGP SIGNED MESSAGE-----")) {
		return nil, distrust(errors.New("it does not begin with a signed message"))
	}
	block, rest := clearsign.Decode(signed)
	if block == nil {
		return nil, distrust(errors.New("it is not a whole signed message"))
	}
	if len(bytes.TrimSpace(rest)) > 0 {
		return nil, distrust(errors.New("text follows the signature"))
	}
	if _, err := block.VerifySignature(openpgp.EntityList(keys), config); err != nil {
		return nil, distrust(err)
	}
	return slices.Clip(block.Plaintext), nil
}

func distrust(err error) error {
	return &problem.Error{Kind: problem.Trust, Doing: "verifying", Object: "a signed index of an apt repository", Err: err,
		Fix: "Make sure that the source's key is the one its publisher gives, and that nothing between here and there rewrites answers."}
}
