package release

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release/allowed"
)

// maxTarget caps one target file, in bytes: the agent is the largest, some 30 MB.
const maxTarget = 256 << 20

func manifestPath(version string) string { return "releases/" + version + "/manifest.json" }

// ChannelPath is the target of a channel.
func ChannelPath(name string) string { return "channels/" + name + ".json" }

// AgentPath is the target of valtctl's own Linux build, for hosts that are served from
// another system or architecture.
func AgentPath(version string) string { return "agent/" + version + "/valtctl-linux-amd64" }

// Channel is the schema of a channel's target.
type Channel struct {
	Schema  string `json:"schema"` // "valtctl/channel/v1"
	Channel string `json:"channel"`
	Release string `json:"release"`
	// Percent is how many of the sites that update unattended are to have it by now; absent:
	// all of them. A person is not held back by it.
	Percent *int `json:"percent,omitempty"`
}

// Share is Percent, from 0 to 100.
func (c Channel) Share() int {
	if c.Percent == nil {
		return 100
	}
	return min(max(*c.Percent, 0), 100)
}

// ChannelSchema and ManifestSchema mark the formats this package reads.
const (
	ChannelSchema  = "valtctl/channel/v1"
	ManifestSchema = "valtctl/release/v1"
)

// Channel is the version that a channel points to now. An unknown name is a problem of
// kind Input that lists the known ones.
func (r *Repository) Channel(ctx context.Context, name string) (string, error) {
	c, err := r.Pointer(ctx, name)
	return c.Release, err
}

// Pointer is a channel whole.
func (r *Repository) Pointer(ctx context.Context, name string) (Channel, error) {
	known := r.names(roleChannels, "channels/", ".json")
	if !slices.Contains(known, name) {
		return Channel{}, unknown("channel", name, known)
	}
	data, err := r.Target(ctx, ChannelPath(name))
	if err != nil {
		return Channel{}, err
	}
	var c Channel
	if err := decodeStrict(data, &c); err != nil {
		return Channel{}, fmt.Errorf("reading channel %s: %w", name, err)
	}
	if c.Schema != ChannelSchema || c.Channel != name {
		return Channel{}, &problem.Error{
			Kind: problem.Trust, Doing: "reading channel", Object: name,
			Err: fmt.Errorf("its file is %q for channel %q", c.Schema, c.Channel), Fix: "ask the vendor; a newer valtctl may be needed",
		}
	}
	return c, nil
}

// Versions lists the published releases, oldest first.
func (r *Repository) Versions() []string {
	versions := r.names(roleReleases, "releases/", "/manifest.json")
	SortVersions(versions)
	return versions
}

// Manifest reads and validates one release. An unknown version is a problem of kind
// Input that names the nearest ones.
func (r *Repository) Manifest(ctx context.Context, version string) (*Manifest, error) {
	if known := r.Versions(); !slices.Contains(known, version) {
		return nil, unknown("release", version, nearest(version, known))
	}
	data, err := r.Target(ctx, manifestPath(version))
	if err != nil {
		return nil, err
	}
	m, err := ParseManifest(data)
	if allowed.Refused(err) {
		return nil, &problem.Error{
			Kind: problem.Input, Doing: "reading release", Object: version, Err: err,
			Fix: "the release is not right: nothing was changed; ask the vendor for another one",
		}
	}
	if err != nil {
		return nil, &problem.Error{
			Kind: problem.Failed, Doing: "reading release", Object: version, Err: err,
			Fix: "the release may need a newer valtctl; ask the vendor",
		}
	}
	if m.Version != version {
		return nil, &problem.Error{
			Kind: problem.Trust, Doing: "reading release", Object: version,
			Err: fmt.Errorf("its manifest is for %s", m.Version), Fix: "ask the vendor before going on",
		}
	}
	return m, nil
}

// Compose reads the Compose file of one role of a release.
func (r *Repository) Compose(ctx context.Context, m *Manifest, role string) ([]byte, error) {
	spec, ok := m.Roles[role]
	if !ok {
		return nil, fmt.Errorf("reading the Compose file: release %s has no role %q", m.Version, role)
	}
	return r.Target(ctx, spec.Compose)
}

// Target reads one signed file, from the folder where it is there with the signed hash
// and else from the repository. Bytes that differ from what was signed are a problem of
// kind Trust, and so is a path that no role vouches for.
func (r *Repository) Target(ctx context.Context, name string) ([]byte, error) {
	if r.set == nil {
		return nil, errors.New("reading " + name + ": the repository was not refreshed")
	}
	info := r.lookup(name)
	if info == nil {
		return nil, &problem.Error{
			Kind: problem.Trust, Doing: "reading", Object: name, Err: errors.New("no role of the repository signs for it"),
			Fix: "ask the vendor: the release may be published incompletely",
		}
	}
	digest := hex.EncodeToString(info.Hashes["sha256"])
	if digest == "" || info.Length > maxTarget {
		return nil, r.explain(fmt.Errorf("it is signed with %d bytes and SHA-256 %q", info.Length, digest), name)
	}
	kept := filepath.Join(r.store.dir, "targets", digest)
	if data, err := os.ReadFile(kept); err == nil && info.VerifyLengthHashes(data) == nil {
		return data, nil
	}
	address := r.opts.URL + "targets/" + path.Dir(name) + "/" + digest + "." + path.Base(name)
	if r.offline {
		return notOffline(address, info.Length)
	}
	data, err := download(ctx, r.opts.HTTP, address, info.Length)
	if err == nil {
		err = info.VerifyLengthHashes(data)
	}
	if err != nil {
		return nil, r.explain(err, address)
	}
	if err := r.store.write(kept, data); err != nil {
		return nil, fmt.Errorf("keeping %s: %w", name, err)
	}
	return data, nil
}

// lookup finds who signs for a path, by the delegations' own path patterns and in their
// order (TUF specification 5.6.7). Both delegations were loaded with the rest.
func (r *Repository) lookup(name string) *metadata.TargetFiles {
	top := r.set.Targets[roleTargets]
	if info, ok := top.Signed.Targets[name]; ok {
		return info
	}
	if top.Signed.Delegations == nil {
		return nil
	}
	for _, role := range top.Signed.Delegations.GetRolesForTarget(name) {
		if loaded := r.set.Targets[role.Name]; loaded != nil && loaded.Signed.Targets[name] != nil {
			return loaded.Signed.Targets[name]
		}
		if role.Terminating {
			return nil
		}
	}
	return nil
}

// names lists what a role signs for between a prefix and a suffix, sorted.
func (r *Repository) names(role, prefix, suffix string) []string {
	if r.set == nil || r.set.Targets[role] == nil {
		return nil
	}
	var names []string
	for target := range r.set.Targets[role].Signed.Targets {
		name, ok := strings.CutPrefix(target, prefix)
		if !ok {
			continue
		}
		if name, ok = strings.CutSuffix(name, suffix); ok && !strings.Contains(name, "/") && r.lookup(target) != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func unknown(what, name string, known []string) error {
	fix := "the repository has none yet"
	if len(known) > 0 {
		fix = "the repository has " + strings.Join(known, ", ")
	}
	return &problem.Error{
		Kind: problem.Input, Doing: "choosing a release:", Object: what + " " + name,
		Err: errors.New("the repository does not have it"), Fix: fix,
	}
}

// decodeStrict decodes exactly one JSON value without unknown fields.
func decodeStrict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return errors.New("something follows the JSON value")
	}
	return nil
}
