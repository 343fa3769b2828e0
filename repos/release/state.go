package release

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"ipivs.com/valtctl/repos/problem"
)

// The roles of the repository: four of The Update Framework and two delegations.
const (
	roleRoot      = "root"
	roleTimestamp = "timestamp"
	roleSnapshot  = "snapshot"
	roleTargets   = "targets"
	roleReleases  = "releases" // releases/<version>/* and agent/<version>/*
	roleChannels  = "channels" // channels/<name>.json
)

// allRoles is in the order in which a reader trusts them.
func allRoles() []string {
	return []string{roleRoot, roleTimestamp, roleSnapshot, roleTargets, roleReleases, roleChannels}
}

// How long before its end an expiry is announced. The timestamp lives for days only
// and is signed again by a machine, so it is announced when that machine must have
// stopped.
const (
	announceBefore          = 90 * 24 * time.Hour
	announceTimestampBefore = 48 * time.Hour
)

// RoleState is one role's metadata as it was last trusted.
type RoleState struct {
	Version int64     `json:"version"`
	Expires time.Time `json:"expires"`
	// Keys are the ids of the keys that may sign a role which can restart, sorted, and Needed is
	// how many of them must. A state that was written before there were any has none.
	Keys   []string `json:"keys,omitempty"`
	Needed int      `json:"needed,omitempty"`
}

// mayRestart are the roles whose versions may start again once their keys were replaced
// (TUF specification 5.3.11): what a stolen key counted far ahead must not bind for ever. What
// releases there are is counted by offline keys, and goes forward alone.
func mayRestart() []string { return []string{roleTimestamp, roleSnapshot} }

// replacedBy says that nothing which the keys of s alone signed is trusted by whoever trusts
// now: too few of them may still sign. Where one of the two does not know its keys it is not so.
func (s RoleState) replacedBy(now RoleState) bool {
	if len(s.Keys) == 0 || len(now.Keys) == 0 {
		return false
	}
	still := 0
	for _, id := range s.Keys {
		if slices.Contains(now.Keys, id) {
			still++
		}
	}
	return still < max(1, now.Needed)
}

// State says what a reader has seen: the versions that no later answer may fall
// behind. It is small, so every host keeps one and sends it with its facts. The zero
// State has seen nothing.
type State struct {
	Refreshed time.Time            `json:"refreshed"` // last good refresh, UTC
	Roles     map[string]RoleState `json:"roles"`
}

// Compare puts states in an order: -1 where s comes before other, 1 where it comes after, and
// 0 where all versions are equal. Of two of which neither is behind the other in anything the
// later is the newer; whether one may follow the other NotOlder says, and Compare does not.
func (s State) Compare(other State) int {
	for _, role := range allRoles() {
		if c := int(s.Roles[role].Version - other.Roles[role].Version); c != 0 {
			return c / max(c, -c)
		}
	}
	return 0
}

// Adds says whether s tells anything that other does not: a version, or who may sign.
func (s State) Adds(other State) bool {
	return s.Compare(other) != 0 || slices.ContainsFunc(mayRestart(), func(role string) bool {
		return len(s.Roles[role].Keys) > 0 && len(other.Roles[role].Keys) == 0
	})
}

// NotOlder refuses an offered state that falls behind what holder has seen, with a
// problem of kind Trust that names every role that went back. A newer root forgives nothing
// but what it took the keys from: a timestamp or a snapshot that new keys sign may start again,
// while targets, releases and channels go forward alone.
func NotOlder(offered, seen State, holder string) error {
	newRoot := offered.Roles[roleRoot].Version > seen.Roles[roleRoot].Version
	var back []string
	for _, role := range allRoles() {
		o, s := offered.Roles[role], seen.Roles[role]
		restarts := newRoot && slices.Contains(mayRestart(), role) && s.replacedBy(o)
		if o.Version < s.Version && !restarts {
			back = append(back, fmt.Sprintf("%s version %d after %d", role, o.Version, s.Version))
		}
	}
	if len(back) == 0 {
		return nil
	}
	return &problem.Error{
		Kind: problem.Trust, Doing: "comparing the release repository with what was seen by", Object: holder,
		Err: errors.New("the repository went back: " + strings.Join(back, ", ")),
		Fix: "somebody may be replaying an old repository: compare release.url with the vendor's, and ask the vendor before going on",
	}
}

// Expiry is a role whose metadata ends soon or has ended.
type Expiry struct {
	Role    string    `json:"role"`
	Expires time.Time `json:"expires"`
}

// String says what ends when, and what that means for the reader.
func (e Expiry) String() string {
	return fmt.Sprintf("the release repository's %s metadata expires on %s; from then on no new release can be installed until the vendor signs it again",
		e.Role, e.Expires.UTC().Format("2006-01-02 15:04 UTC"))
}

// Notice is how long before its end a role's expiry is announced.
func (e Expiry) Notice() time.Duration {
	if e.Role == roleTimestamp {
		return announceTimestampBefore
	}
	return announceBefore
}

// Expiries lists when every role that was seen ends, soonest first.
func (s State) Expiries() []Expiry {
	var all []Expiry
	for _, role := range allRoles() {
		if r, ok := s.Roles[role]; ok {
			all = append(all, Expiry{Role: role, Expires: r.Expires})
		}
	}
	slices.SortStableFunc(all, func(a, b Expiry) int { return a.Expires.Compare(b.Expires) })
	return all
}

// Expiring lists what must be announced at now: everything within 90 days of its end,
// and the short-lived timestamp within two days. Soonest first.
func (s State) Expiring(now time.Time) []Expiry {
	return slices.DeleteFunc(s.Expiries(), func(e Expiry) bool { return e.Expires.Sub(now) >= e.Notice() })
}
