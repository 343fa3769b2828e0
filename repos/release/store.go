package release

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"ipivs.com/valtctl/repos/durable"
)

// store is the folder of one reader; doc.go shows its layout. Nothing in it is
// trusted for being there: what is read from it is verified again, and what cannot be
// parsed is dropped and named in the dropped lists.
type store struct{ dir string }

func (s store) rootDir() string     { return filepath.Join(s.dir, "root") }
func (s store) metadataDir() string { return filepath.Join(s.dir, "metadata") }
func (s store) statePath() string   { return filepath.Join(s.dir, "state.json") }

// root is one version of the root metadata.
type root struct {
	version int64
	data    []byte
}

// chain is what the root folder holds.
type chain struct {
	roots   []root   // usable ones, oldest first
	highest int64    // the highest version ever kept, usable or not
	dropped []string // what was not usable, and why
}

// newest is the last usable root; version 0 means that there is none.
func (c chain) newest() root {
	if len(c.roots) == 0 {
		return root{}
	}
	return c.roots[len(c.roots)-1]
}

// version is the root of that version, if it is kept.
func (c chain) version(n int64) (root, bool) {
	i := slices.IndexFunc(c.roots, func(r root) bool { return r.version == n })
	if i < 0 {
		return root{}, false
	}
	return c.roots[i], true
}

// chain reads the root folder. Every root in it was verified by its predecessor when
// it was added; here each must still be signed by its own keys.
func (s store) chain() (chain, error) {
	entries, err := os.ReadDir(s.rootDir())
	if errors.Is(err, fs.ErrNotExist) {
		return chain{}, nil
	}
	if err != nil {
		return chain{}, fmt.Errorf("reading the root chain: %w", err)
	}
	var c chain
	for _, e := range entries {
		n, ok := rootVersion(e.Name())
		if !ok {
			continue
		}
		c.highest = max(c.highest, n)
		name := filepath.Join(s.rootDir(), e.Name())
		data, err := os.ReadFile(name)
		if err == nil {
			err = checkRoot(data, n)
		}
		if err != nil {
			c.dropped = append(c.dropped, fmt.Sprintf("%s: %v", name, err))
			continue
		}
		c.roots = append(c.roots, root{version: n, data: data})
	}
	slices.SortFunc(c.roots, func(a, b root) int { return int(a.version - b.version) })
	return c, nil
}

// signers is a state with who might sign when it was written, by the root of that time. States
// of former versions of this program do not say so themselves.
func (c chain) signers(seen State) State {
	then, ok := c.version(seen.Roles[roleRoot].Version)
	if !ok {
		return seen
	}
	set, err := trustedmetadata.New(then.data)
	if err != nil { // it was read like this a moment ago
		return seen
	}
	return seen.withKeys(set.Root)
}

// checkRoot says whether data is a root of that version signed by its own keys. A
// version of 0 stands for any.
func checkRoot(data []byte, version int64) error {
	set, err := trustedmetadata.New(data)
	if err != nil {
		return err
	}
	if got := set.Root.Signed.Version; version != 0 && got != version {
		return fmt.Errorf("it holds version %d", got)
	}
	return nil
}

// addRoot keeps one root. A version that is usable already stays as it is.
func (s store) addRoot(c chain, r root) error {
	if _, ok := c.version(r.version); ok {
		return nil
	}
	return s.write(filepath.Join(s.rootDir(), fmt.Sprintf("%d.root.json", r.version)), r.data)
}

func (s store) write(name string, data []byte) error {
	if err := durable.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("making the folder of %s: %w", name, err)
	}
	return durable.WriteFile(name, data, 0o644)
}

// state reads what the last good refresh recorded. An unreadable record is dropped:
// the root chain and the metadata still hold most of what it says.
func (s store) state() (st State, dropped []string, err error) {
	data, err := os.ReadFile(s.statePath())
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil, nil
	}
	if err != nil {
		return State{}, nil, fmt.Errorf("reading the release state: %w", err)
	}
	if err := json.Unmarshal(data, &st); err != nil {
		return State{}, []string{fmt.Sprintf("%s: %v", s.statePath(), err)}, nil
	}
	return st, nil, nil
}
