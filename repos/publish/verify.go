package publish

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"ipivs.com/valtctl/repos/problem"
)

// verifyRole refuses metadata that somebody else has changed, before a key signs it
// again: whoever holds the web server could else slip a release into the next signature.
// It must be signed as the repository says and, since a stranger could have replaced
// that too, by a key of this keyring wherever the keyring holds the role's key.
func verifyRole[T metadata.Roles](r *Repository, role string, m *metadata.Metadata[T]) error {
	var err error
	if role == roleReleases || role == roleChannels {
		err = r.targets[roleTargets].VerifyDelegate(role, m)
	} else {
		err = r.root.VerifyDelegate(role, m)
	}
	if err != nil {
		return distrust(role, err)
	}
	if _, err := r.opts.Keys.find(role); err != nil {
		return nil // that key is elsewhere, and so this role is not signed here
	}
	ids := make([]string, len(m.Signatures))
	for i, s := range m.Signatures {
		ids[i] = s.KeyID
	}
	err = errors.New("it carries no signature of them")
	for _, key := range r.opts.Keys.byID(ids) {
		if err = signedBy(key, m); err == nil {
			return nil
		}
	}
	return distrust(role, fmt.Errorf("no key of this keyring vouches for it: %w", err))
}

// signedBy says whether m carries a valid signature of that key. A root of one key
// stands in for the repository's, because go-tuf verifies through a delegator only.
func signedBy[T metadata.Roles](key ed25519.PrivateKey, m *metadata.Metadata[T]) error {
	judge := metadata.Root(time.Time{}) // its expiry is not looked at
	pub, _, err := public(key)
	if err != nil {
		return err
	}
	if err := judge.Signed.AddKey(pub, roleTargets); err != nil {
		return err
	}
	return judge.VerifyDelegate(roleTargets, m)
}

func distrust(role string, err error) error {
	return &problem.Error{
		Kind: problem.Trust, Doing: "checking before signing: role", Object: role, Err: err,
		Fix: "compare the folder with the vendor's own copy; if a rotation was interrupted, run it again from a good copy",
	}
}
