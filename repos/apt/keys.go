package apt

import (
	"encoding/hex"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// Key is one key of a keyring, for people.
type Key struct {
	Fingerprint string // of the primary key, upper case hex
	Owner       string // its first user id
	// Expires is from when on nothing of the key signs any more: the primary key's end, or
	// before it that of the last subkey, where only subkeys sign. Zero: never.
	Expires time.Time
	Revoked bool
}

// Keys lists the keys of the keyring, as they are at now.
func (k Keyring) Keys(now time.Time) []Key {
	var all []Key
	for _, entity := range k {
		one := Key{Fingerprint: strings.ToUpper(hex.EncodeToString(entity.PrimaryKey.Fingerprint)), Revoked: entity.Revoked(now)}
		if id := entity.PrimaryIdentity(); id != nil {
			one.Owner = id.Name
			one.Expires = signsUntil(entity, id.SelfSignature)
		}
		all = append(all, one)
	}
	return all
}

// signsUntil is the end of the last part of a key that may sign (RFC 9580, sections
// 5.2.3.13 and 5.2.3.29). A key without flags may.
func signsUntil(entity *openpgp.Entity, self *packet.Signature) time.Time {
	primary := ends(entity.PrimaryKey, self)
	if !self.FlagsValid || self.FlagSign {
		return primary
	}
	var last time.Time
	for _, sub := range entity.Subkeys {
		if !sub.Sig.FlagSign {
			continue
		}
		end := ends(sub.PublicKey, sub.Sig)
		if end.IsZero() {
			return primary
		}
		if end.After(last) {
			last = end
		}
	}
	if last.IsZero() || !primary.IsZero() && primary.Before(last) {
		return primary
	}
	return last
}

// ends is when a signature lets its key end; zero: never.
func ends(key *packet.PublicKey, by *packet.Signature) time.Time {
	if by == nil || by.KeyLifetimeSecs == nil || *by.KeyLifetimeSecs == 0 {
		return time.Time{}
	}
	return key.CreationTime.Add(time.Duration(*by.KeyLifetimeSecs) * time.Second).UTC()
}
