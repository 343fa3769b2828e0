package publish

import (
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/theupdateframework/go-tuf/v2/metadata"

	"ipivs.com/valtctl/repos/durable"
)

// publish signs the named roles again (targets, releases, channels), then a snapshot
// that names them, then the timestamp, each with its version raised by one, and writes
// them in that order. Nothing written before the timestamp is visible to a reader.
func (r *Repository) publish(roles ...string) error {
	for _, role := range roles {
		t := r.targets[role]
		t.Signed.Version++
		t.Signed.Expires = r.expiry(role)
		data, err := signed(r, role, t)
		if err != nil {
			return err
		}
		if err := r.writeMetadata(fmt.Sprintf("%d.%s.json", t.Signed.Version, role), data); err != nil {
			return err
		}
		r.snapshot.Signed.Meta[role+".json"] = describe(t.Signed.Version, data)
	}
	return r.publishSnapshot()
}

func (r *Repository) publishSnapshot() error {
	s := r.snapshot
	s.Signed.Version++
	s.Signed.Expires = r.expiry(roleSnapshot)
	data, err := signed(r, roleSnapshot, s)
	if err != nil {
		return err
	}
	if err := r.writeMetadata(fmt.Sprintf("%d.snapshot.json", s.Signed.Version), data); err != nil {
		return err
	}
	r.timestamp.Signed.Meta["snapshot.json"] = describe(s.Signed.Version, data)
	return r.publishTimestamp()
}

func (r *Repository) publishTimestamp() error {
	t := r.timestamp
	t.Signed.Version++
	t.Signed.Expires = r.expiry(roleTimestamp)
	data, err := signed(r, roleTimestamp, t)
	if err != nil {
		return err
	}
	return r.writeMetadata("timestamp.json", data)
}

// writeRoot signs the root with every root key in keys and writes it. It refuses a root
// that readers of the one before, or new readers, would not accept.
func (r *Repository) writeRoot(before *metadata.Metadata[metadata.RootType], keys []ed25519.PrivateKey) error {
	r.root.Signed.Expires = r.expiry(roleRoot)
	data, err := sign(r.root, keys)
	if err != nil {
		return fmt.Errorf("signing the root: %w", err)
	}
	for _, judge := range []*metadata.Metadata[metadata.RootType]{before, r.root} {
		if judge == nil {
			continue
		}
		if err := judge.VerifyDelegate(roleRoot, r.root); err != nil {
			return fmt.Errorf("signing root version %d with the root keys at hand: %w", r.root.Signed.Version, err)
		}
	}
	return r.writeMetadata(fmt.Sprintf("%d.root.json", r.root.Signed.Version), data)
}

// signed signs a role's metadata with its key, and with the one being retired while it
// is rotated.
func signed[T metadata.Roles](r *Repository, role string, m *metadata.Metadata[T]) ([]byte, error) {
	key, err := r.opts.Keys.key(role)
	if err != nil {
		return nil, err
	}
	data, err := sign(m, append([]ed25519.PrivateKey{key}, r.retiring[role]...))
	if err != nil {
		return nil, fmt.Errorf("signing the %s role: %w", role, err)
	}
	if role == roleReleases || role == roleChannels {
		err = r.targets[roleTargets].VerifyDelegate(role, m)
	} else {
		err = r.root.VerifyDelegate(role, m)
	}
	if err != nil {
		return nil, fmt.Errorf("signing the %s role with a key that the repository does not list: %w", role, err)
	}
	return data, nil
}

func sign[T metadata.Roles](m *metadata.Metadata[T], keys []ed25519.PrivateKey) ([]byte, error) {
	m.ClearSignatures()
	for _, key := range keys {
		signer, err := signature.LoadSigner(key, crypto.Hash(0))
		if err != nil {
			return nil, fmt.Errorf("loading a key: %w", err)
		}
		if _, err := m.Sign(signer); err != nil {
			return nil, err
		}
	}
	return m.ToBytes(true)
}

// describe names a metadata file by version, length and hash, so that a file of the
// same version with other bytes is refused.
func describe(version int64, data []byte) *metadata.MetaFiles {
	sum := sha256.Sum256(data)
	return &metadata.MetaFiles{
		Version: version, Length: int64(len(data)), Hashes: metadata.Hashes{"sha256": sum[:]},
	}
}

// expiry is the end of a signature made now, in whole seconds as the format has it.
func (r *Repository) expiry(role string) time.Time {
	return r.opts.Now().Add(r.opts.Lifetimes.of(role)).UTC().Truncate(time.Second)
}

func (r *Repository) writeMetadata(name string, data []byte) error {
	return write(r.metadataPath(name), data)
}

// writeTarget writes a target file under its hash and describes it. The file is
// invisible until a signed role names it.
func (r *Repository) writeTarget(name string, data []byte) (*metadata.TargetFiles, error) {
	info, err := metadata.TargetFile().FromBytes(name, data, "sha256")
	if err != nil {
		return nil, fmt.Errorf("hashing %s: %w", name, err)
	}
	file := hex.EncodeToString(info.Hashes["sha256"]) + "." + path.Base(name)
	return info, write(filepath.Join(r.opts.Dir, "targets", filepath.FromSlash(path.Dir(name)), file), data)
}

func write(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("making the folder of %s: %w", name, err)
	}
	return durable.WriteFile(name, data, 0o644)
}
