package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	pgp "github.com/ProtonMail/go-crypto/openpgp/errors"

	"ipivs.com/valtctl/repos/apt"
)

// maxIndex is more than any InRelease has (Ubuntu's: 300 KiB), in bytes.
const maxIndex = 8 << 20

// aptAhead is how far in the future apt lets an index be made (apt.conf(5),
// Acquire::Max-FutureTime).
const aptAhead = 10 * time.Second

// askApt wants an InRelease that apt would take: signed by a trusted key, and of now.
func askApt(ctx context.Context, c *conversation) { c.conclude(ctx, c.index(ctx)) }

func (c *conversation) index(ctx context.Context) error {
	if c.spec.Path == "" {
		return found(Unknown, "the question does not say where the InRelease is")
	}
	a, err := c.fetch(ctx, c.spec.Path, c.spec.TLS)
	if err != nil {
		return err
	}
	a.read(maxIndex)
	if err := c.captive(a, c.spec.TLS, "instead of an InRelease"); err != nil {
		return err
	}
	signed := func(text []byte) bool { return strings.HasPrefix(string(text), "-----BEGIN PGP SIGNED MESSAGE-----") }
	if err := c.whole(a, c.spec.Path, "an InRelease", maxIndex, signed); err != nil {
		return err
	}
	release, err := c.verifiedIndex(a.body)
	if err != nil {
		return err
	}
	c.note("index of %s %s, made %s", release.Origin, release.Codename, day(release.Date))
	if err := c.timely(release); err != nil {
		return err
	}
	if err := c.offers(ctx, release); err != nil {
		return err
	}
	if c.spec.Keyring == "" {
		return found(Works, "the signature was not verified: no keyring was given")
	}
	return nil
}

// verifiedIndex reads an InRelease, and verifies it if there is a keyring for it.
func (c *conversation) verifiedIndex(signed []byte) (apt.Release, error) {
	claimed, err := apt.ReadUnverified(signed)
	if err != nil {
		return claimed, found(WrongContent, "the InRelease cannot be read: %v", err)
	}
	if c.spec.Keyring == "" {
		return claimed, nil
	}
	keys, err := c.keyring()
	if err != nil {
		return apt.Release{}, found(Unknown, "the keyring %q cannot be used: %v", c.spec.Keyring, err)
	}
	at := c.env.Now()
	if claimed.Date.After(at) { // then that is the trouble, and for timely
		at = claimed.Date.Add(24 * time.Hour)
	}
	release, err := apt.ReadInRelease(signed, keys, at)
	if err == nil {
		return release, nil
	}
	return release, c.unverified(signed, keys, err)
}

// maxKeyring is more than any keyring that apt is given, in bytes.
const maxKeyring = 4 << 20

// keyring is the one that the question names: of the request, or a file of this machine.
func (c *conversation) keyring() (apt.Keyring, error) {
	data, sent := c.req.Keyrings[c.spec.Keyring]
	if !sent && filepath.IsAbs(c.spec.Keyring) {
		file, err := os.Open(filepath.Join(c.env.Root, c.spec.Keyring))
		if err != nil {
			return nil, fmt.Errorf("opening it: %w", err)
		}
		defer file.Close()
		if data, err = io.ReadAll(io.LimitReader(file, maxKeyring)); err != nil {
			return nil, fmt.Errorf("reading it: %w", err)
		}
	} else if !sent {
		return nil, errors.New("the request did not bring it")
	}
	return apt.ReadKeyring(data) //nolint:wrapcheck // it says that it reads a keyring
}

// unverified is the finding for an InRelease that does not verify.
func (c *conversation) unverified(signed []byte, keys apt.Keyring, err error) error {
	signers := strings.Join(apt.Signers(signed), ", ")
	var bad pgp.SignatureError
	switch {
	case errors.Is(err, pgp.ErrUnknownIssuer):
		return found(WrongContent, "its signature is by a key that is not trusted: %s", signers)
	case errors.Is(err, pgp.ErrSignatureExpired), errors.Is(err, pgp.ErrKeyExpired):
		if c.clockIsOff() {
			if _, then := apt.ReadInRelease(signed, keys, *c.out.Clock); then == nil {
				return found(WrongClock, "%s, so the index's signature seems not to be valid", c.clockTrouble())
			}
		}
		return found(WrongContent, "its signature, or the key %s, is not valid at this time", signers)
	case errors.As(err, &bad):
		return found(WrongContent, "the index was changed after it was signed by %s", signers)
	}
	return found(WrongContent, "the index does not verify: %v", err)
}

// timely is the finding for an index that apt does not take because of its dates, by
// this machine's clock. If it is fine by the server's, the clock is what is wrong.
func (c *conversation) timely(r apt.Release) error {
	now := c.env.Now()
	early := r.Date.After(now.Add(aptAhead))
	late := !r.ValidUntil.IsZero() && now.After(r.ValidUntil)
	there := c.out.Clock
	switch {
	case early && there == nil:
		return found(WrongClock, "this machine's clock is at least %s behind: the index is of %s", span(r.Date.Sub(now)), day(r.Date))
	case early && !r.Date.After(there.Add(aptAhead)):
		return found(WrongClock, "%s: the index is of %s", c.clockTrouble(), day(r.Date))
	case early:
		return found(WrongContent, "the index is dated %s in the future (%s)", span(r.Date.Sub(now)), day(r.Date))
	case late && c.clockIsOff() && there.Before(r.ValidUntil):
		return found(WrongClock, "%s, so the index seems to have expired (%s)", c.clockTrouble(), day(r.ValidUntil))
	case late:
		return found(WrongContent, "the index expired on %s: the server no longer updates it", day(r.ValidUntil))
	}
	return nil
}
