package publish

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"

	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// Release is what one release publishes: its manifest, and the files the manifest
// names by their last path element ("compose.app.yaml").
type Release struct {
	Manifest []byte
	Files    map[string][]byte
}

// ReadRelease reads a release from a folder: manifest.json and the Compose files that it
// names.
func ReadRelease(dir string) (Release, error) {
	data, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		return Release{}, fmt.Errorf("reading the release in %s: %w", dir, err)
	}
	m, err := release.ParseManifest(data)
	if err != nil {
		return Release{}, fmt.Errorf("reading the release in %s: %w", dir, err)
	}
	rel := Release{Manifest: data, Files: map[string][]byte{}}
	for _, name := range slices.Sorted(maps.Keys(m.Roles)) {
		file := path.Base(m.Roles[name].Compose)
		if rel.Files[file], err = os.ReadFile(filepath.Join(dir, file)); err != nil {
			return Release{}, fmt.Errorf("reading the release in %s: %w", dir, err)
		}
	}
	return rel, nil
}

// AddRelease publishes a release and returns its version. The manifest must be valid and
// every Compose file it names present. A published release never changes: the same bytes
// again are accepted, others refused.
func (r *Repository) AddRelease(rel Release) (string, error) {
	m, err := release.ParseManifest(rel.Manifest)
	if err != nil {
		return "", err
	}
	folder := "releases/" + m.Version + "/"
	files := map[string][]byte{folder + "manifest.json": rel.Manifest}
	for _, role := range slices.Sorted(maps.Keys(m.Roles)) {
		name := m.Roles[role].Compose
		data, ok := rel.Files[path.Base(name)]
		if !ok {
			return "", &problem.Error{
				Kind: problem.Input, Doing: "publishing release", Object: m.Version,
				Err: fmt.Errorf("the Compose file of %s is missing", role), Fix: "put " + path.Base(name) + " beside manifest.json",
			}
		}
		files[name] = data
	}
	if err := r.takesOver(m); err != nil {
		return "", err
	}
	return m.Version, r.addFiles(files)
}

// AddAgent publishes valtctl's own linux/amd64 build of that version.
func (r *Repository) AddAgent(version string, binary []byte) error {
	return r.addFiles(map[string][]byte{release.AgentPath(version): binary})
}

// addFiles writes targets of the releases role and signs for them.
func (r *Repository) addFiles(files map[string][]byte) error {
	listed := r.targets[roleReleases].Signed.Targets
	changed := false
	for _, name := range slices.Sorted(maps.Keys(files)) {
		info, err := metadata.TargetFile().FromBytes(name, files[name], "sha256")
		if err != nil {
			return fmt.Errorf("hashing %s: %w", name, err)
		}
		if old, ok := listed[name]; ok && !old.Equal(*info) {
			return &problem.Error{
				Kind: problem.Input, Doing: "publishing", Object: name, Err: errors.New("it is published with other content"),
				Fix: "sites may have installed it: publish a new version instead",
			}
		} else if ok {
			continue
		}
		if listed[name], err = r.writeTarget(name, files[name]); err != nil {
			return err
		}
		changed = true
	}
	if !changed {
		return nil
	}
	return r.publish(roleReleases)
}

// SetChannel points a channel to a published release, for every site.
func (r *Repository) SetChannel(name, version string) error {
	return r.SetChannelFor(name, version, 100)
}

// SetChannelFor points a channel to a published release; of the sites that update
// unattended only the given share takes it yet, in percent.
func (r *Repository) SetChannelFor(name, version string, percent int) error {
	if percent < 0 || percent > 100 {
		return &problem.Error{
			Kind: problem.Input, Doing: "pointing channel " + name + " to", Object: version, Err: fmt.Errorf("%d is no share of all sites", percent), Fix: "write a percentage from 0 to 100",
		}
	}
	if versions := r.Versions(); !slices.Contains(versions, version) {
		return &problem.Error{
			Kind: problem.Input, Doing: "pointing channel " + name + " to", Object: version, Err: errors.New("it is not published"),
			Fix: "publish it first; published are: " + strings.Join(versions, ", "),
		}
	}
	if name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return &problem.Error{
			Kind: problem.Input, Doing: "setting channel", Object: name, Err: errors.New("it cannot be a channel's name"), Fix: "use a-z, 0-9 and -",
		}
	}
	pointer := release.Channel{Schema: release.ChannelSchema, Channel: name, Release: version}
	if percent < 100 {
		pointer.Percent = &percent
	}
	data, err := json.Marshal(pointer)
	if err != nil {
		return fmt.Errorf("encoding channel %s: %w", name, err)
	}
	target := release.ChannelPath(name)
	if r.targets[roleChannels].Signed.Targets[target], err = r.writeTarget(target, append(data, '\n')); err != nil {
		return err
	}
	return r.publish(roleChannels)
}

// renewSnapshotBefore is when the timestamp's machine also signs the snapshot again,
// well before readers announce its end.
const renewSnapshotBefore = 120 * day

// SignTimestamp signs the timestamp again, and the snapshot where it will end soon. It
// needs the two online keys only. Further roles named (targets, releases, channels) are
// signed again too, each with its own key.
func (r *Repository) SignTimestamp(roles ...string) error {
	for _, role := range roles {
		if _, ok := r.targets[role]; !ok {
			return &problem.Error{
				Kind: problem.Input, Doing: "signing again role", Object: role, Err: errors.New("there is no such role"),
				Fix: "name targets, releases or channels",
			}
		}
	}
	if len(roles) > 0 || r.snapshot.Signed.Expires.Sub(r.opts.Now()) < min(renewSnapshotBefore, r.opts.Lifetimes.of(roleSnapshot)/3) {
		return r.publish(roles...)
	}
	return r.publishTimestamp()
}

// Versions lists the published releases, oldest first.
func (r *Repository) Versions() []string {
	var versions []string
	for name := range r.targets[roleReleases].Signed.Targets {
		if folder, file := path.Split(name); file == "manifest.json" {
			versions = append(versions, path.Base(folder))
		}
	}
	release.SortVersions(versions)
	return versions
}

// RoleSummary is one role as Show lists it.
type RoleSummary struct {
	Role    string
	Version int64
	Expires time.Time
	Keys    []string // ids of the keys that may sign
	Needed  int      // how many of them must
}

// Show lists the roles in the order of trust, for people.
func (r *Repository) Show() []RoleSummary {
	top := map[string]RoleSummary{
		roleRoot:      {Version: r.root.Signed.Version, Expires: r.root.Signed.Expires},
		roleTimestamp: {Version: r.timestamp.Signed.Version, Expires: r.timestamp.Signed.Expires},
		roleSnapshot:  {Version: r.snapshot.Signed.Version, Expires: r.snapshot.Signed.Expires},
	}
	for role, t := range r.targets {
		top[role] = RoleSummary{Version: t.Signed.Version, Expires: t.Signed.Expires}
	}
	keys := map[string]metadata.Role{}
	for role, k := range r.root.Signed.Roles {
		keys[role] = *k
	}
	for _, d := range r.targets[roleTargets].Signed.Delegations.Roles {
		keys[d.Name] = metadata.Role{KeyIDs: d.KeyIDs, Threshold: d.Threshold}
	}
	var all []RoleSummary
	for _, role := range []string{roleRoot, roleTimestamp, roleSnapshot, roleTargets, roleReleases, roleChannels} {
		s := top[role]
		s.Role, s.Keys, s.Needed = role, keys[role].KeyIDs, keys[role].Threshold
		all = append(all, s)
	}
	return all
}
