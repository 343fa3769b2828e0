package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata"
)

// fileName is the name of a role's metadata in the cache and in a repository with
// consistent snapshots.
func fileName(role string, version int64) string {
	if role == roleTimestamp {
		return "timestamp.json"
	}
	return fmt.Sprintf("%d.%s.json", version, role)
}

// parsable says whether data is metadata of that role, signatures aside.
func parsable(role string, data []byte) error {
	var err error
	switch role {
	case roleTimestamp:
		_, err = metadata.Timestamp().FromBytes(data)
	case roleSnapshot:
		_, err = metadata.Snapshot().FromBytes(data)
	default:
		_, err = metadata.Targets().FromBytes(data)
	}
	return err
}

// cached reads the metadata of the last good refresh, by role. The timestamp names the
// snapshot's version and the snapshot all others; where one of them is lost, the newest
// parsable version stands in, because go-tuf verifies and still learns from it what must
// not go back.
func (s store) cached() (files map[string][]byte, dropped []string) {
	files = map[string][]byte{}
	want := map[string]int64{roleTimestamp: 1}
	for _, role := range allRoles()[1:] {
		data, lost := s.pick(role, want[role])
		dropped = append(dropped, lost...)
		if data == nil {
			continue
		}
		files[role] = data
		for name, version := range named(role, data) {
			want[name] = version
		}
	}
	return files, dropped
}

// named lists the versions of other roles that a timestamp or snapshot names.
func named(role string, data []byte) map[string]int64 {
	var meta map[string]*metadata.MetaFiles
	switch role {
	case roleTimestamp:
		if m, err := metadata.Timestamp().FromBytes(data); err == nil {
			meta = m.Signed.Meta
		}
	case roleSnapshot:
		if m, err := metadata.Snapshot().FromBytes(data); err == nil {
			meta = m.Signed.Meta
		}
	}
	versions := map[string]int64{}
	for name, m := range meta {
		if m == nil {
			continue
		}
		versions[strings.TrimSuffix(name, ".json")] = m.Version
	}
	return versions
}

// pick reads one role's cached file: the wanted version, else the newest parsable one.
func (s store) pick(role string, want int64) (data []byte, dropped []string) {
	candidates := s.versions(role)
	if want != 0 {
		candidates = append([]int64{want}, candidates...)
	}
	for _, version := range candidates {
		name := filepath.Join(s.metadataDir(), fileName(role, version))
		data, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = parsable(role, data)
		}
		if err == nil {
			return data, dropped
		}
		if line := fmt.Sprintf("%s: %v", name, err); !slices.Contains(dropped, line) {
			dropped = append(dropped, line)
		}
	}
	return nil, dropped
}

// versions lists the cached versions of a role, newest first. The timestamp has none.
func (s store) versions(role string) []int64 {
	names, _ := filepath.Glob(filepath.Join(s.metadataDir(), "*."+role+".json"))
	var versions []int64
	for _, name := range names {
		digits, _, _ := strings.Cut(filepath.Base(name), ".")
		if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
			versions = append(versions, n)
		}
	}
	slices.SortFunc(versions, func(a, b int64) int { return int(b - a) })
	return versions
}

// commit keeps the metadata of a good refresh. The timestamp goes last: until then the
// old one still names the old files, which are removed only after it. A run beside this
// one that has recorded more keeps what it wrote.
func (s store) commit(files map[string][]byte, st State) error {
	recorded, _, err := s.state()
	if err != nil {
		return err
	}
	if NotOlder(st, recorded, s.dir) != nil {
		return nil
	}
	roles := allRoles()[1:]
	slices.Reverse(roles)
	for _, role := range roles {
		name := filepath.Join(s.metadataDir(), fileName(role, st.Roles[role].Version))
		if old, err := os.ReadFile(name); err == nil && string(old) == string(files[role]) {
			continue
		}
		if err := s.write(name, files[role]); err != nil {
			return fmt.Errorf("keeping the %s metadata: %w", role, err)
		}
	}
	if err := s.record(st, recorded); err != nil {
		return err
	}
	return s.removeOld(st)
}

// record writes the state. Where nothing but the time moved, an hour's precision is
// enough: a run that finds nothing new then writes nothing.
func (s store) record(st, recorded State) error {
	if !st.Adds(recorded) && st.Refreshed.Sub(recorded.Refreshed) < time.Hour {
		return nil
	}
	data, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the release state: %w", err)
	}
	return s.write(s.statePath(), append(data, '\n'))
}

// removeOld removes the metadata that the current timestamp no longer leads to.
func (s store) removeOld(st State) error {
	var errs []error
	for _, role := range allRoles()[2:] {
		for _, version := range s.versions(role) {
			if version < st.Roles[role].Version {
				errs = append(errs, os.Remove(filepath.Join(s.metadataDir(), fileName(role, version))))
			}
		}
	}
	return errors.Join(errs...)
}
