package release

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/config"
	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"
	"github.com/theupdateframework/go-tuf/v2/metadata/updater"

	"ipivs.com/valtctl/repos/problem"
)

// ErrExpired is in the chain of a problem whose cause is expired metadata. It blocks new
// releases only.
var ErrExpired = errors.New("the release metadata has expired")

// verification is one run of go-tuf.
type verification struct {
	start root
	files map[string][]byte // cached metadata by role
	at    time.Time         // expiries are judged at this time
	fetch *fetcher          // nil: the cached files alone
}

// verified is what a run of go-tuf trusts. After a failure only the root counts.
type verified struct {
	set   trustedmetadata.TrustedMetadata
	files map[string][]byte // by role, without the root
}

// verify runs go-tuf over a scratch copy of the cache, so that nothing it writes can
// hurt the kept files, and reads back what it verified.
func (r *Repository) verify(v verification) (got verified, err error) {
	scratch, err := os.MkdirTemp("", "valtctl-tuf-")
	if err != nil {
		return verified{}, fmt.Errorf("making a scratch folder: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	for role, data := range v.files {
		if err := os.WriteFile(filepath.Join(scratch, role+".json"), data, 0o600); err != nil {
			return verified{}, fmt.Errorf("copying the %s metadata: %w", role, err)
		}
	}
	up, err := r.updater(v, scratch)
	if err != nil {
		return verified{}, fmt.Errorf("starting from root version %d: %w", v.start.version, err)
	}
	err = loadAll(up)
	got.set = up.GetTrustedMetadataSet()
	if err != nil {
		return got, err
	}
	got.files, err = readBack(scratch)
	return got, err
}

// updater sets go-tuf up: our HTTP client, caps on every answer, no second try.
func (r *Repository) updater(v verification, scratch string) (*updater.Updater, error) {
	cfg, err := config.New(r.opts.URL+"metadata", v.start.data)
	if err != nil {
		return nil, err
	}
	cfg.LocalMetadataDir, cfg.LocalTargetsDir = scratch, scratch
	cfg.RootMaxLength = 512 << 10
	cfg.TimestampMaxLength = 16 << 10
	cfg.SnapshotMaxLength = 1 << 20
	cfg.TargetsMaxLength = 4 << 20
	cfg.MaxDelegations = 8
	cfg.UnsafeLocalMode = v.fetch == nil
	cfg.Fetcher = v.fetch
	if v.fetch == nil {
		cfg.Fetcher = &fetcher{get: notOffline}
	}
	up, err := updater.New(cfg)
	if err != nil {
		return nil, err
	}
	up.UnsafeSetRefTime(v.at)
	return up, nil
}

func notOffline(address string, _ int64) ([]byte, error) {
	return nil, &problem.Error{
		Kind: problem.Failed, Doing: "reading from the last good refresh", Object: address,
		Err: errors.New("it was not read before"), Fix: "run the command where the release repository can be reached",
	}
}

// loadAll refreshes the top-level roles and both delegations, so that everything this
// package answers afterwards comes from one consistent set. go-tuf loads a delegation
// only on the way to a target, found or not; and it dereferences what a signed timestamp
// or snapshot should name, so a vendor's broken signature must not end the program.
func loadAll(up *updater.Updater) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &metadata.ErrRepository{Msg: fmt.Sprintf("signed metadata is incomplete: %v", p)}
		}
	}()
	if err := up.Refresh(); err != nil {
		return err
	}
	for role, probe := range map[string]string{roleReleases: manifestPath("0"), roleChannels: ChannelPath("0")} {
		_, err := up.GetTargetInfo(probe)
		if up.GetTrustedMetadataSet().Targets[role] != nil {
			continue
		}
		return errors.Join(&metadata.ErrRepository{Msg: "the repository does not delegate to " + role}, err)
	}
	return nil
}

func readBack(scratch string) (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, role := range allRoles()[1:] {
		data, err := os.ReadFile(filepath.Join(scratch, role+".json"))
		if err != nil {
			return nil, fmt.Errorf("reading the verified %s metadata: %w", role, err)
		}
		files[role] = data
	}
	return files, nil
}

// rootVersion is the newest root that was verified, 0 for none.
func (v verified) rootVersion() int64 {
	if v.set.Root == nil {
		return 0
	}
	return v.set.Root.Signed.Version
}

// state sums up a complete verification made at a time.
func (v verified) state(at time.Time) State {
	roles := map[string]RoleState{
		roleRoot:      {Version: v.set.Root.Signed.Version, Expires: v.set.Root.Signed.Expires},
		roleTimestamp: {Version: v.set.Timestamp.Signed.Version, Expires: v.set.Timestamp.Signed.Expires},
		roleSnapshot:  {Version: v.set.Snapshot.Signed.Version, Expires: v.set.Snapshot.Signed.Expires},
	}
	for role, t := range v.set.Targets {
		roles[role] = RoleState{Version: t.Signed.Version, Expires: t.Signed.Expires}
	}
	return State{Refreshed: at.UTC(), Roles: roles}.withKeys(v.set.Root)
}

// withKeys is the state with who may sign what can restart, where it does not know that yet.
func (s State) withKeys(from *metadata.Metadata[metadata.RootType]) State {
	roles := maps.Clone(s.Roles)
	for _, role := range mayRestart() {
		st, seen := roles[role]
		signers := from.Signed.Roles[role]
		if !seen || signers == nil || len(st.Keys) > 0 {
			continue
		}
		st.Keys, st.Needed = slices.Sorted(slices.Values(signers.KeyIDs)), signers.Threshold
		roles[role] = st
	}
	s.Roles = roles
	return s
}

// explain words what go-tuf refused. at is the address or folder it was reading.
func (r *Repository) explain(err error, at string) error {
	p := (*problem.Error)(nil)
	missing := (*metadata.ErrDownloadHTTP)(nil)
	switch {
	case errors.As(err, &p):
		return err
	case errors.As(err, &missing):
		return &problem.Error{
			Kind: problem.Failed, Doing: "reading", Object: at, Err: fmt.Errorf("the server answered HTTP status %d", missing.StatusCode),
			Fix: "check release.url; if it is right, the vendor may be publishing: try again in a few minutes",
		}
	case errors.Is(err, &metadata.ErrExpiredMetadata{}):
		return &problem.Error{
			Kind: problem.Trust, Doing: "verifying", Object: at, Err: fmt.Errorf("%w: %w", ErrExpired, err),
			Fix: "check this machine's clock; if it is right, no new release can be installed until the vendor signs the metadata again, and everything installed goes on",
		}
	}
	return &problem.Error{
		Kind: problem.Trust, Doing: "verifying", Object: at, Err: err,
		Fix: "nothing was changed; compare release.url and release.root with the vendor's, and ask the vendor before going on",
	}
}
