package release

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"ipivs.com/valtctl/repos/problem"
)

// Trusted is what one reader has seen, for another reader to check and take over, so
// that every host of a site knows the newest. It holds signed public files only.
type Trusted struct {
	State    State             `json:"state"`
	Roots    map[int64][]byte  `json:"roots"`    // by version
	Metadata map[string][]byte `json:"metadata"` // by role
}

// Export returns what this reader keeps from its last good refresh; its State is zero
// where there was none.
func (r *Repository) Export() (Trusted, error) {
	c, err := r.store.chain()
	if err != nil {
		return Trusted{}, err
	}
	st, _, err := r.store.state()
	if err != nil {
		return Trusted{}, err
	}
	t := Trusted{State: st, Roots: map[int64][]byte{}}
	for _, one := range c.roots {
		t.Roots[one.version] = one.data
	}
	t.Metadata, _ = r.store.cached()
	return t, nil
}

// Import takes over what another reader has seen, where it is newer than what is kept
// here. It trusts the signatures and not the sender: the roots must continue this
// reader's own chain and sign for the rest. What is not newer is left alone; what does
// not verify is a problem of kind Trust. Refresh or LoadLast comes after it.
func (r *Repository) Import(t Trusted) error {
	c, seen, err := r.kept()
	if err != nil {
		return err
	}
	if t.State.Compare(seen) <= 0 {
		return nil
	}
	start, err := startRoot(c, r.opts.Root, r.opts.Dir)
	if err != nil {
		return err
	}
	roots, err := continueChain(start, t.Roots)
	if err != nil {
		return r.refuse(err)
	}
	files := map[string][]byte{}
	for _, role := range allRoles()[1:] {
		if data, ok := t.Metadata[role]; ok {
			files[role] = data
		}
	}
	got, err := r.verify(verification{start: roots[len(roots)-1], files: files, at: t.State.Refreshed})
	if err != nil {
		return r.refuse(err)
	}
	st := got.state(t.State.Refreshed)
	if err := NotOlder(st, seen, r.opts.Dir); err != nil {
		return err
	}
	for _, one := range roots {
		if err := r.store.addRoot(c, one); err != nil {
			return fmt.Errorf("keeping root version %d: %w", one.version, err)
		}
	}
	if err := r.store.commit(got.files, st); err != nil {
		return fmt.Errorf("keeping the release metadata of another host: %w", err)
	}
	r.state = st
	return nil
}

// continueChain returns the start root and the given roots that follow it, each signed
// by the one before and by itself (TUF specification 5.3).
func continueChain(start root, given map[int64][]byte) ([]root, error) {
	set, err := trustedmetadata.New(start.data)
	if err != nil {
		return nil, err
	}
	roots := []root{start}
	for _, version := range slices.Sorted(maps.Keys(given)) {
		if version <= start.version {
			continue
		}
		if _, err := set.UpdateRoot(given[version]); err != nil {
			return nil, fmt.Errorf("root version %d: %w", version, err)
		}
		roots = append(roots, root{version: version, data: given[version]})
	}
	return roots, nil
}

func (r *Repository) refuse(err error) error {
	if p := (*problem.Error)(nil); errors.As(err, &p) && p.Kind == problem.Trust {
		return err
	}
	return &problem.Error{
		Kind: problem.Trust, Doing: "taking over release metadata seen by another host into", Object: r.opts.Dir, Err: err,
		Fix: "that host may have followed another repository: compare its release state with this one's before going on",
	}
}
