package publish

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"ipivs.com/valtctl/repos/problem"
)

// Renew signs a new root version with the same keys, for one that will expire.
func (r *Repository) Renew() error {
	before, err := r.nextRoot()
	if err != nil {
		return err
	}
	keys, err := r.opts.Keys.rootKeys()
	if err != nil {
		return err
	}
	return r.writeRoot(before, keys)
}

// Rotate replaces one key by a new one and revokes the old. name is a role or one root
// key ("root-2"); oldID names the root key to revoke by the start of its id where its file is
// lost, and is else empty. The old file stays beside the new one as "retired-…". Readers in the middle of
// it keep working: what they may see is signed by both keys until the next change.
func (r *Repository) Rotate(name, oldID string) error {
	switch {
	case name == roleReleases || name == roleChannels:
		return r.rotateDelegation(name)
	case strings.HasPrefix(name, roleRoot+"-"):
		return r.rotateRootKey(name, oldID)
	case name == roleTimestamp || name == roleSnapshot || name == roleTargets:
		return r.rotateTop(name)
	}
	return &problem.Error{
		Kind: problem.Input, Doing: "rotating key", Object: name, Err: errors.New("there is no such key"),
		Fix: "name one of " + strings.Join(SigningRoles(), ", ") + ", root-1, root-2, …",
	}
}

// nextRoot raises the root's version and returns the root as it was.
func (r *Repository) nextRoot() (*metadata.Metadata[metadata.RootType], error) {
	data, err := r.root.ToBytes(false)
	if err != nil {
		return nil, fmt.Errorf("copying the root: %w", err)
	}
	before, err := metadata.Root().FromBytes(data)
	if err != nil {
		return nil, fmt.Errorf("copying the root: %w", err)
	}
	r.root.Signed.Version++
	return before, nil
}

func (r *Repository) rotateRootKey(name, oldID string) error {
	keys, err := r.opts.Keys.rootKeys()
	if err != nil {
		return err
	}
	if oldID == "" {
		oldID, err = r.opts.Keys.ID(name)
	} else {
		oldID, err = r.rootKeyID(oldID)
	}
	if err != nil {
		return err
	}
	before, err := r.nextRoot()
	if err != nil {
		return err
	}
	private, err := r.opts.Keys.replace(name)
	if err != nil {
		return err
	}
	if err := r.root.Signed.RevokeKey(oldID, roleRoot); err != nil {
		return fmt.Errorf("revoking root key %s: %w", oldID, err)
	}
	if err := r.trust(private, roleRoot); err != nil {
		return err
	}
	return r.writeRoot(before, append(keys, private))
}

// rootKeyID is the full id of the one root key whose id starts so.
func (r *Repository) rootKeyID(prefix string) (string, error) {
	var ids []string
	for _, id := range r.root.Signed.Roles[roleRoot].KeyIDs {
		if strings.HasPrefix(id, prefix) {
			ids = append(ids, id)
		}
	}
	if len(ids) != 1 {
		return "", &problem.Error{
			Kind: problem.Input, Doing: "looking for the root key", Object: prefix, Err: fmt.Errorf("%d root keys have an id that starts so", len(ids)),
			Fix: "show lists the ids of the root's keys, key list those at hand",
		}
	}
	return ids[0], nil
}

// rotateTop changes the key of a role that the root lists. A reader asks for the next
// root before it asks for the timestamp: so everything it may find is signed by both keys
// first, and the root that revokes the old key comes last.
func (r *Repository) rotateTop(role string) error {
	roots, err := r.opts.Keys.rootKeys()
	if err != nil {
		return err
	}
	before, err := r.nextRoot()
	if err != nil {
		return err
	}
	old := slices.Clone(r.root.Signed.Roles[role].KeyIDs)
	r.retiring = map[string][]ed25519.PrivateKey{role: r.opts.Keys.byID(old)}
	defer func() { r.retiring = nil }()
	private, err := r.opts.Keys.replace(role)
	if err != nil {
		return err
	}
	for _, id := range old {
		if err := r.root.Signed.RevokeKey(id, role); err != nil {
			return fmt.Errorf("revoking the %s key: %w", role, err)
		}
	}
	if err := r.trust(private, role); err != nil {
		return err
	}
	changed := []string{}
	if role == roleTargets {
		changed = append(changed, roleTargets)
	}
	if err := r.publish(changed...); err != nil {
		return err
	}
	return r.writeRoot(before, roots)
}

// rotateDelegation changes the key of releases or channels. The targets role lists it,
// so one timestamp switches both.
func (r *Repository) rotateDelegation(role string) error {
	private, err := r.opts.Keys.replace(role)
	if err != nil {
		return err
	}
	key, _, err := public(private)
	if err != nil {
		return err
	}
	top := &r.targets[roleTargets].Signed
	for _, d := range top.Delegations.Roles {
		if d.Name != role {
			continue
		}
		for _, id := range slices.Clone(d.KeyIDs) {
			if err := top.RevokeKey(id, role); err != nil {
				return fmt.Errorf("revoking the %s key: %w", role, err)
			}
		}
	}
	if err := top.AddKey(key, role); err != nil {
		return fmt.Errorf("adding the new %s key: %w", role, err)
	}
	return r.publish(roleTargets, role)
}

func (r *Repository) trust(private ed25519.PrivateKey, role string) error {
	key, _, err := public(private)
	if err != nil {
		return err
	}
	if err := r.root.Signed.AddKey(key, role); err != nil {
		return fmt.Errorf("adding the new %s key: %w", role, err)
	}
	return nil
}

// replace makes a new key of that name and keeps the old one's file as
// "retired-NAME-ID".
func (k Keyring) replace(name string) (ed25519.PrivateKey, error) {
	path, err := k.find(name)
	if errors.Is(err, os.ErrNotExist) {
		return k.make(name)
	}
	if err != nil {
		return nil, err
	}
	id, err := k.ID(name)
	if err != nil {
		return nil, err
	}
	retired := filepath.Join(filepath.Dir(path), fmt.Sprintf("retired-%s-%.8s%s", name, id, keySuffix))
	if err := os.Rename(path, retired); err != nil {
		return nil, fmt.Errorf("retiring key %s: %w", name, err)
	}
	return k.make(name)
}

// ID is the key id of the key of that name.
func (k Keyring) ID(name string) (string, error) {
	private, err := k.key(name)
	if err != nil {
		return "", err
	}
	_, id, err := public(private)
	return id, err
}

// byID finds the private keys with these ids among all files of the keyring, retired
// ones included. Those that are not at hand are left out.
func (k Keyring) byID(ids []string) []ed25519.PrivateKey {
	var found []ed25519.PrivateKey
	for _, name := range k.Names() {
		if id, err := k.ID(name); err != nil || !slices.Contains(ids, id) {
			continue
		}
		if private, err := k.key(name); err == nil {
			found = append(found, private)
		}
	}
	return found
}
