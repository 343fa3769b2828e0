package publish

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"ipivs.com/valtctl/repos/problem"
)

// Lifetimes are how long new signatures hold. The zero value is usual for production:
// two years for the root, a year for what is signed offline, 14 days for the timestamp.
type Lifetimes struct {
	Root      time.Duration
	Offline   time.Duration // targets, releases, channels and snapshot
	Timestamp time.Duration
}

const day = 24 * time.Hour

func (l Lifetimes) of(role string) time.Duration {
	pick := func(set, usual time.Duration) time.Duration {
		if set != 0 {
			return set
		}
		return usual
	}
	switch role {
	case roleRoot:
		return pick(l.Root, 730*day)
	case roleTimestamp:
		return pick(l.Timestamp, 14*day)
	}
	return pick(l.Offline, 365*day)
}

// Options say where a repository is written and with what.
type Options struct {
	Dir       string           // of the repository; metadata/ and targets/ are made in it
	Keys      Keyring          // where the private keys are
	Now       func() time.Time // the clock that expiries are counted from
	Lifetimes Lifetimes
}

// Repository is a repository that is being written. One process at a time may write it.
type Repository struct {
	opts      Options
	root      *metadata.Metadata[metadata.RootType]
	timestamp *metadata.Metadata[metadata.TimestampType]
	snapshot  *metadata.Metadata[metadata.SnapshotType]
	targets   map[string]*metadata.Metadata[metadata.TargetsType] // targets, releases, channels
	// retiring holds keys being rotated out: what they signed is signed by both once
	// more, so that a reader who has the old root still and one who has the new agree.
	retiring map[string][]ed25519.PrivateKey
}

// Create makes a repository without releases, with the root keys that are at hand, of
// which threshold must sign the root, and one key for each other role. Missing keys are
// an error: NewKeys makes them.
func Create(opts Options, threshold int) (*Repository, error) {
	r := &Repository{opts: opts}
	if _, err := os.Stat(r.metadataPath("1.root.json")); err == nil {
		return nil, &problem.Error{
			Kind: problem.Input, Doing: "making a repository in", Object: opts.Dir, Err: errors.New("there is one already"),
			Fix: "use root rotate to change its keys",
		}
	}
	now := opts.Now()
	r.root = metadata.Root(now)
	r.root.Signed.ConsistentSnapshot = true
	r.timestamp, r.snapshot = metadata.Timestamp(now), metadata.Snapshot(now)
	r.targets = map[string]*metadata.Metadata[metadata.TargetsType]{}
	for _, role := range []string{roleTargets, roleReleases, roleChannels} {
		r.targets[role] = metadata.Targets(now)
	}
	if err := r.addRootKeys(threshold); err != nil {
		return nil, err
	}
	if err := r.delegate(); err != nil {
		return nil, err
	}
	for _, version := range []*int64{
		&r.timestamp.Signed.Version, &r.snapshot.Signed.Version, &r.targets[roleTargets].Signed.Version,
		&r.targets[roleReleases].Signed.Version, &r.targets[roleChannels].Signed.Version,
	} {
		*version = 0 // publish raises it
	}
	if err := r.publish(roleTargets, roleReleases, roleChannels); err != nil {
		return nil, err
	}
	roots, err := opts.Keys.rootKeys()
	if err != nil {
		return nil, err
	}
	return r, r.writeRoot(nil, roots)
}

// NewKeys makes roots root keys and one key for every other role, those that are missing.
func NewKeys(k Keyring, roots int) error {
	names := SigningRoles()
	for i := range roots {
		names = append(names, roleRoot+"-"+strconv.Itoa(i+1))
	}
	for _, name := range names {
		if _, err := k.find(name); err == nil {
			continue
		}
		if err := k.New(name); err != nil {
			return err
		}
	}
	return nil
}

func (r *Repository) addRootKeys(threshold int) error {
	roots, err := r.opts.Keys.rootKeys()
	if err != nil {
		return err
	}
	if threshold < 1 || threshold > len(roots) {
		return &problem.Error{
			Kind: problem.Input, Doing: "making a repository in", Object: r.opts.Dir,
			Err: fmt.Errorf("%d of %d root keys cannot sign", threshold, len(roots)), Fix: "make root keys first, such as 3 with a threshold of 2",
		}
	}
	for _, private := range roots {
		key, _, err := public(private)
		if err != nil {
			return err
		}
		if err := r.root.Signed.AddKey(key, roleRoot); err != nil {
			return fmt.Errorf("adding a root key: %w", err)
		}
	}
	r.root.Signed.Roles[roleRoot].Threshold = threshold
	for _, role := range []string{roleTimestamp, roleSnapshot, roleTargets} {
		private, err := r.opts.Keys.key(role)
		if err != nil {
			return err
		}
		key, _, err := public(private)
		if err != nil {
			return err
		}
		if err := r.root.Signed.AddKey(key, role); err != nil {
			return fmt.Errorf("adding the %s key: %w", role, err)
		}
	}
	return nil
}

// delegate gives releases and channels their paths. Both end the search: neither may
// answer for the other.
func (r *Repository) delegate() error {
	d := &metadata.Delegations{Keys: map[string]*metadata.Key{}}
	paths := map[string][]string{
		roleReleases: {"releases/*/*", "agent/*/*"},
		roleChannels: {"channels/*.json"},
	}
	for _, role := range []string{roleReleases, roleChannels} {
		private, err := r.opts.Keys.key(role)
		if err != nil {
			return err
		}
		key, id, err := public(private)
		if err != nil {
			return err
		}
		d.Keys[id] = key
		d.Roles = append(d.Roles, metadata.DelegatedRole{
			Name: role, KeyIDs: []string{id}, Threshold: 1, Terminating: true, Paths: paths[role],
		})
	}
	r.targets[roleTargets].Signed.Delegations = d
	return nil
}

// Open reads a repository to change it. It reads what the timestamp leads to, so what
// an interrupted change left behind does not count. What the folder's own keys do not
// vouch for is a problem of kind Trust: it must never be signed again.
func Open(opts Options) (*Repository, error) {
	r := &Repository{opts: opts, targets: map[string]*metadata.Metadata[metadata.TargetsType]{}}
	version, err := r.newestRoot()
	if err != nil {
		return nil, err
	}
	if r.root, err = metadata.Root().FromFile(r.metadataPath(fmt.Sprintf("%d.root.json", version))); err != nil {
		return nil, fmt.Errorf("reading the root: %w", err)
	}
	if err := r.root.VerifyDelegate(roleRoot, r.root); err != nil {
		return nil, distrust(roleRoot, err)
	}
	if r.timestamp, err = metadata.Timestamp().FromFile(r.metadataPath("timestamp.json")); err != nil {
		return nil, fmt.Errorf("reading the timestamp: %w", err)
	}
	if err := verifyRole(r, roleTimestamp, r.timestamp); err != nil {
		return nil, err
	}
	meta := r.timestamp.Signed.Meta["snapshot.json"]
	if r.snapshot, err = readNamed(r, roleSnapshot, meta, metadata.Snapshot()); err != nil {
		return nil, err
	}
	for _, role := range []string{roleTargets, roleReleases, roleChannels} {
		meta := r.snapshot.Signed.Meta[role+".json"]
		if r.targets[role], err = readNamed(r, role, meta, metadata.Targets()); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// readNamed reads and verifies a role's metadata as the metadata above it names it, by
// version, length and hash.
func readNamed[T metadata.Roles](r *Repository, role string, meta *metadata.MetaFiles, into *metadata.Metadata[T]) (*metadata.Metadata[T], error) {
	if meta == nil {
		return nil, distrust(role, errors.New("nothing names its version"))
	}
	data, err := os.ReadFile(r.metadataPath(fmt.Sprintf("%d.%s.json", meta.Version, role)))
	if err != nil {
		return nil, fmt.Errorf("reading the %s role: %w", role, err)
	}
	if err := meta.VerifyLengthHashes(data); err != nil {
		return nil, distrust(role, err)
	}
	m, err := into.FromBytes(data)
	if err != nil {
		return nil, fmt.Errorf("reading the %s role: %w", role, err)
	}
	return m, verifyRole(r, role, m)
}

func (r *Repository) newestRoot() (int64, error) {
	paths, err := filepath.Glob(r.metadataPath("*.root.json"))
	if err != nil {
		return 0, fmt.Errorf("listing the roots: %w", err)
	}
	var newest int64
	for _, p := range paths {
		digits, _, _ := strings.Cut(filepath.Base(p), ".")
		if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
			newest = max(newest, n)
		}
	}
	if newest == 0 {
		return 0, &problem.Error{
			Kind: problem.Input, Doing: "opening the repository in", Object: r.opts.Dir, Err: errors.New("there is no root"),
			Fix: "make one with root init",
		}
	}
	return newest, nil
}

func (r *Repository) metadataPath(name string) string {
	return filepath.Join(r.opts.Dir, "metadata", name)
}
