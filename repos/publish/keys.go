package publish

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/problem"
)

// The roles that sign. Root keys are several, named root-1, root-2, …
const (
	roleRoot      = metadata.ROOT
	roleTimestamp = metadata.TIMESTAMP
	roleSnapshot  = metadata.SNAPSHOT
	roleTargets   = metadata.TARGETS
	roleReleases  = "releases"
	roleChannels  = "channels"
)

// SigningRoles are the roles with one key each; the root has several.
func SigningRoles() []string {
	return []string{roleTargets, roleReleases, roleChannels, roleSnapshot, roleTimestamp}
}

const keySuffix = ".key"

// Keyring finds private keys by name in folders, the first that has it: root keys may
// so live on media of their own. Keys are Ed25519 in PEM (PKCS #8), files of mode 0600.
type Keyring struct {
	Dirs []string // searched in this order; new keys go to the first
}

// New makes a key and keeps it. An existing one is never replaced.
func (k Keyring) New(name string) error {
	if path, err := k.find(name); err == nil {
		return &problem.Error{
			Kind: problem.Input, Doing: "making key", Object: name, Err: fmt.Errorf("%s exists", path),
			Fix: "move it away first, or rotate it",
		}
	}
	_, err := k.make(name)
	return err
}

func (k Keyring) make(name string) (ed25519.PrivateKey, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("making key %s: %w", name, err)
	}
	return private, k.save(name, private)
}

func (k Keyring) save(name string, private ed25519.PrivateKey) error {
	if len(k.Dirs) == 0 {
		return errors.New("keeping a key: no folder for keys was named")
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return fmt.Errorf("encoding key %s: %w", name, err)
	}
	if err := os.MkdirAll(k.Dirs[0], 0o700); err != nil {
		return fmt.Errorf("making the folder for keys: %w", err)
	}
	data := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return durable.WriteFile(filepath.Join(k.Dirs[0], name+keySuffix), data, 0o600)
}

func (k Keyring) find(name string) (string, error) {
	for _, dir := range k.Dirs {
		path := filepath.Join(dir, name+keySuffix)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", &problem.Error{
		Kind: problem.Input, Doing: "looking for key", Object: name + keySuffix,
		Err: fmt.Errorf("it is not in %s: %w", strings.Join(k.Dirs, ", "), fs.ErrNotExist),
		Fix: "name the folder that holds it with --keys",
	}
}

// key loads one private key.
func (k Keyring) key(name string) (ed25519.PrivateKey, error) {
	path, err := k.find(name)
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading key %s: %w", name, err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, fmt.Errorf("reading key %s: %s holds no PEM block", name, path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("reading key %s: %w", path, err)
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("reading key %s: it is a %T, not an Ed25519 key", path, parsed)
	}
	return private, nil
}

// Names lists the keys at hand, retired ones included, sorted.
func (k Keyring) Names() []string { return k.names("*") }

// rootNames lists the root keys that are at hand, in order.
func (k Keyring) rootNames() []string { return k.names(roleRoot + "-*") }

func (k Keyring) names(pattern string) []string {
	var names []string
	for _, dir := range k.Dirs {
		paths, _ := filepath.Glob(filepath.Join(dir, pattern+keySuffix))
		for _, p := range paths {
			names = append(names, strings.TrimSuffix(filepath.Base(p), keySuffix))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// rootKeys loads every root key that is at hand.
func (k Keyring) rootKeys() ([]ed25519.PrivateKey, error) {
	var keys []ed25519.PrivateKey
	for _, name := range k.rootNames() {
		key, err := k.key(name)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// public is a key as metadata carries it, with its id.
func public(private ed25519.PrivateKey) (*metadata.Key, string, error) {
	key, err := metadata.KeyFromPublicKey(private.Public())
	if err != nil {
		return nil, "", fmt.Errorf("encoding a public key: %w", err)
	}
	id, err := key.ID()
	if err != nil {
		return nil, "", fmt.Errorf("naming a public key: %w", err)
	}
	return key, id, nil
}
