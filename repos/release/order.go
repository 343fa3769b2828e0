package release

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/go-version"

	"ipivs.com/valtctl/repos/problem"
)

// SortVersions sorts oldest first, as hashicorp/go-version orders them. What is not a
// version sorts before all that are, by its text.
func SortVersions(versions []string) {
	slices.SortStableFunc(versions, compareVersions)
}

// Newest is the newest of the given versions, or "" for none.
func Newest(versions []string) string {
	if len(versions) == 0 {
		return ""
	}
	return slices.MaxFunc(versions, compareVersions)
}

func compareVersions(a, b string) int {
	va, errA := version.NewVersion(a)
	vb, errB := version.NewVersion(b)
	switch {
	case errA != nil && errB != nil:
		return strings.Compare(a, b)
	case errA != nil:
		return -1
	case errB != nil:
		return 1
	}
	return va.Compare(vb)
}

// nearest lists at most five known versions around the wanted one, oldest first.
func nearest(wanted string, known []string) []string {
	at, _ := slices.BinarySearchFunc(known, wanted, compareVersions)
	from := max(0, min(at-2, len(known)-5))
	return known[from:min(len(known), from+5)]
}

// AllowsFrom says whether an update to this release may start from the installed
// version. Nothing installed ("") is always allowed.
func (m *Manifest) AllowsFrom(installed string) error {
	if installed == "" {
		return nil
	}
	return allows(m.From, installed, fmt.Sprintf("release %s can be reached from", m.Version),
		"update to a release in between first")
}

// AllowsBeside says whether a host of that role may serve that version while others
// serve this release.
func (m *Manifest) AllowsBeside(role, serving string) error {
	return allows(m.Beside[role], serving, fmt.Sprintf("release %s works beside %s servers of", m.Version, role),
		"update the "+role+" servers to a release in that range first")
}

// allows checks one constraint; an empty one allows every version. A pre-release is
// held to a constraint by its core version: 6.4.0-rc1 satisfies ">= 6.2".
func allows(constraint, have, doing, fix string) error {
	v, err := version.NewVersion(have)
	if err != nil {
		return fmt.Errorf("comparing version %q: %w", have, err)
	}
	if constraint == "" {
		return nil
	}
	c, err := version.NewConstraint(constraint)
	if err != nil {
		return fmt.Errorf("comparing with %q: %w", constraint, err)
	}
	if c.Check(v.Core()) {
		return nil
	}
	return &problem.Error{Kind: problem.Check, Doing: doing, Object: constraint, Err: errors.New("this is " + have), Fix: fix}
}

// Way lists the releases to go through from the installed version to the newest of the
// given manifests, that one last, in as few updates as their From allows. There being no
// way is a problem of kind Check.
func Way(installed string, releases []*Manifest) ([]*Manifest, error) {
	steps := slices.Clone(releases)
	slices.SortStableFunc(steps, func(a, b *Manifest) int { return compareVersions(a.Version, b.Version) })
	steps = slices.DeleteFunc(steps, func(m *Manifest) bool { return compareVersions(m.Version, installed) <= 0 })
	if len(steps) == 0 {
		return nil, nil
	}
	// hops is how many updates each needs at least, found oldest first: a way only goes up.
	before := map[int]int{} // index in steps, or -1 for the installed version
	hops := map[int]int{-1: 0}
	version := func(i int) string {
		if i < 0 {
			return installed
		}
		return steps[i].Version
	}
	for i, m := range steps {
		for from := -1; from < i; from++ {
			n, reached := hops[from]
			if was, known := hops[i]; !reached || known && was <= n+1 || m.AllowsFrom(version(from)) != nil {
				continue
			}
			hops[i], before[i] = n+1, from
		}
	}
	last := len(steps) - 1
	if _, reached := hops[last]; !reached {
		return nil, &problem.Error{Kind: problem.Check, Doing: "looking for a way from " + installed + " to", Object: "release " + version(last),
			Err: errors.New("no release in between can be reached from it"), Fix: "ask the vendor how to get there"}
	}
	var way []*Manifest
	for i := last; i >= 0; i = before[i] {
		way = append(way, steps[i])
	}
	slices.Reverse(way)
	return way, nil
}
