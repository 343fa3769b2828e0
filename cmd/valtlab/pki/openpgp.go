package pki

import (
	"bytes"
	"crypto"
	"fmt"
	"io"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// PGPKey is an OpenPGP signing key. Secret and Armoured (the public part) are
// ASCII-armoured; Binary is the public part as apt's keyrings want it.
type PGPKey struct {
	Secret, Armoured, Binary []byte
}

// pgpConfig chooses RSA 3072 and SHA-512, which the gpgv of every supported Ubuntu
// accepts.
func pgpConfig(now time.Time) *packet.Config {
	return &packet.Config{
		Time:        func() time.Time { return now },
		DefaultHash: crypto.SHA512,
		Algorithm:   packet.PubKeyAlgoRSA,
		RSABits:     3072,
	}
}

// NewPGPKey makes a key that is a day old, so that hosts whose clock is behind
// accept its signatures.
func NewPGPKey(now time.Time, name, email string) (PGPKey, error) {
	config := pgpConfig(now.Add(-24 * time.Hour))
	entity, err := openpgp.NewEntity(name, "practice site", email, config)
	if err != nil {
		return PGPKey{}, fmt.Errorf("making the OpenPGP key of %s: %w", name, err)
	}
	var key PGPKey
	var binary bytes.Buffer
	if key.Secret, err = armoured(openpgp.PrivateKeyType, func(w io.Writer) error { return entity.SerializePrivate(w, config) }); err != nil {
		return PGPKey{}, err
	}
	if key.Armoured, err = armoured(openpgp.PublicKeyType, entity.Serialize); err != nil {
		return PGPKey{}, err
	}
	if err := entity.Serialize(&binary); err != nil {
		return PGPKey{}, fmt.Errorf("writing the OpenPGP key of %s: %w", name, err)
	}
	key.Binary = binary.Bytes()
	return key, nil
}

// ReadPGPKey reads a key that NewPGPKey made from its Secret.
func ReadPGPKey(secret []byte) (PGPKey, error) {
	entity, err := readEntity(secret)
	if err != nil {
		return PGPKey{}, err
	}
	var binary bytes.Buffer
	if err := entity.Serialize(&binary); err != nil {
		return PGPKey{}, fmt.Errorf("writing an OpenPGP key: %w", err)
	}
	public, err := armoured(openpgp.PublicKeyType, entity.Serialize)
	return PGPKey{Secret: secret, Armoured: public, Binary: binary.Bytes()}, err
}

// ClearSign is text with its signature around it, as in InRelease.
func (k PGPKey) ClearSign(now time.Time, text []byte) ([]byte, error) {
	entity, err := readEntity(k.Secret)
	if err != nil {
		return nil, err
	}
	var signed bytes.Buffer
	plain, err := clearsign.Encode(&signed, entity.PrivateKey, pgpConfig(now))
	if err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	if _, err := plain.Write(text); err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	if err := plain.Close(); err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return append(signed.Bytes(), '\n'), nil
}

// Detach is the armoured signature of text alone, as in Release.gpg.
func (k PGPKey) Detach(now time.Time, text []byte) ([]byte, error) {
	entity, err := readEntity(k.Secret)
	if err != nil {
		return nil, err
	}
	var signature bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&signature, entity, bytes.NewReader(text), pgpConfig(now)); err != nil {
		return nil, fmt.Errorf("signing: %w", err)
	}
	return append(signature.Bytes(), '\n'), nil
}

func readEntity(secret []byte) (*openpgp.Entity, error) {
	entities, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(secret))
	if err != nil {
		return nil, fmt.Errorf("reading an OpenPGP key: %w", err)
	}
	return entities[0], nil
}

func armoured(kind string, write func(io.Writer) error) ([]byte, error) {
	var text bytes.Buffer
	w, err := armor.Encode(&text, kind, nil)
	if err != nil {
		return nil, fmt.Errorf("armouring an OpenPGP key: %w", err)
	}
	if err := write(w); err != nil {
		return nil, fmt.Errorf("writing an OpenPGP key: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("armouring an OpenPGP key: %w", err)
	}
	return append(text.Bytes(), '\n'), nil
}
