package release_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/publish/publishtest"
	"ipivs.com/valtctl/repos/release"
)

// seen is a state of root, timestamp, snapshot, targets, releases, channels versions.
func seen(versions ...int64) release.State {
	roles := map[string]release.RoleState{}
	for i, name := range []string{"root", "timestamp", "snapshot", "targets", "releases", "channels"} {
		if i < len(versions) {
			roles[name] = release.RoleState{Version: versions[i]}
		}
	}
	return release.State{Roles: roles}
}

func TestComparingStates(t *testing.T) {
	tests := map[string]struct {
		offered, seen release.State
		compare       int
		back          string // what went back; empty: acceptable
	}{
		"nothing seen":                    {seen(1, 1, 1, 1, 1, 1), seen(), 1, ""},
		"equal":                           {seen(1, 5, 4, 1, 2, 3), seen(1, 5, 4, 1, 2, 3), 0, ""},
		"newer timestamp":                 {seen(1, 6, 4, 1, 2, 3), seen(1, 5, 4, 1, 2, 3), 1, ""},
		"older timestamp":                 {seen(1, 4, 4, 1, 2, 3), seen(1, 5, 4, 1, 2, 3), -1, "timestamp version 4 after 5"},
		"newer timestamp, older releases": {seen(1, 9, 9, 1, 1, 3), seen(1, 5, 4, 1, 2, 3), 1, "releases version 1 after 2"},
		"role gone":                       {seen(1, 9, 9, 1), seen(1, 5, 4, 1, 2, 3), 1, "releases version 0 after 2, channels version 0 after 3"},
		"older root":                      {seen(1, 9, 9, 9, 9, 9), seen(2, 5, 4, 1, 2, 3), -1, "root version 1 after 2"},
		"newer root, releases back":       {seen(2, 9, 9, 3, 10, 10), seen(1, 9, 9, 12, 250, 280), 1, "targets version 3 after 12, releases version 10 after 250, channels version 10 after 280"},
		"newer root, signers not known":   {seen(2, 1, 1, 1, 2, 3), seen(1, 5, 4, 1, 2, 3), 1, "timestamp version 1 after 5, snapshot version 1 after 4"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := test.offered.Compare(test.seen); got != test.compare {
				t.Errorf("Compare is %d, want %d", got, test.compare)
			}
			if got := test.seen.Compare(test.offered); got != -test.compare {
				t.Errorf("the other way round Compare is %d, want %d", got, -test.compare)
			}
			err := release.NotOlder(test.offered, test.seen, "host app1")
			if test.back == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantProblem(t, err, problem.Trust, test.back)
			if !strings.Contains(err.Error(), "app1") {
				t.Errorf("%v does not say who has seen more", err)
			}
		})
	}
}

// signed is a state of which it is known who may sign timestamp and snapshot: keys in words,
// and how many of them must.
func signed(s release.State, needed int, timestamp, snapshot string) release.State {
	for role, keys := range map[string]string{"timestamp": timestamp, "snapshot": snapshot} {
		r := s.Roles[role]
		r.Keys, r.Needed = strings.Fields(keys), needed
		s.Roles[role] = r
	}
	return s
}

// A newer root forgives nothing but what it took the keys from (TUF specification 5.3.11).
func TestOnlyWhatNewKeysSignStartsAgain(t *testing.T) {
	before := func() release.State { return signed(seen(1, 5, 4, 1, 2, 3), 1, "t1", "s1") }
	tests := map[string]struct {
		offered release.State
		back    string // empty: acceptable
	}{
		"both keys replaced":               {signed(seen(2, 1, 1, 1, 2, 3), 1, "t2", "s2"), ""},
		"timestamp's key replaced":         {signed(seen(2, 1, 4, 1, 2, 3), 1, "t2", "s1"), ""},
		"snapshot's key replaced":          {signed(seen(2, 5, 1, 1, 2, 3), 1, "t1", "s2"), ""},
		"no key replaced":                  {signed(seen(2, 1, 1, 1, 2, 3), 1, "t1", "s1"), "timestamp version 1 after 5, snapshot version 1 after 4"},
		"the other's key replaced":         {signed(seen(2, 1, 4, 1, 2, 3), 1, "t1", "s2"), "timestamp version 1 after 5"},
		"snapshot back, timestamp's key":   {signed(seen(2, 1, 3, 1, 2, 3), 1, "t2", "s1"), "snapshot version 3 after 4"},
		"a key added, the old one stays":   {signed(seen(2, 1, 4, 1, 2, 3), 1, "t1 t2", "s1"), "timestamp version 1 after 5"},
		"the old one is too few by itself": {signed(seen(2, 1, 4, 1, 2, 3), 2, "t1 t2", "s1"), ""},
		"new keys without a new root":      {signed(seen(1, 1, 4, 1, 2, 3), 1, "t2", "s1"), "timestamp version 1 after 5"},
		"targets go forward alone":         {signed(seen(2, 1, 1, 0, 2, 3), 1, "t2", "s2"), "targets version 0 after 1"},
		"releases go forward alone":        {signed(seen(2, 1, 1, 1, 1, 3), 1, "t2", "s2"), "releases version 1 after 2"},
		"channels go forward alone":        {signed(seen(2, 1, 1, 1, 2, 1), 1, "t2", "s2"), "channels version 1 after 3"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			err := release.NotOlder(test.offered, before(), "host app1")
			if test.back != "" {
				wantProblem(t, err, problem.Trust, "went back: "+test.back)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

// A state of a former version of this program does not say who may sign: it is read, and one
// that says so has more to tell, once.
func TestStatesTellWhatOthersDoNot(t *testing.T) {
	var former release.State
	if err := json.Unmarshal([]byte(`{"refreshed":"2026-01-15T12:00:00Z","roles":{"root":{"version":1,"expires":"2028-01-15T12:00:00Z"},"timestamp":{"version":5,"expires":"2026-01-29T12:00:00Z"}}}`), &former); err != nil {
		t.Fatal(err)
	}
	known := signed(seen(1, 5), 1, "t1", "s1")
	for name, test := range map[string]struct {
		s, other release.State
		adds     bool
	}{
		"who may sign": {known, former, true}, "nothing": {known, known, false},
		"less": {former, known, false}, "a version": {seen(1, 6), known, true},
	} {
		if got := test.s.Adds(test.other); got != test.adds {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestExpiriesAreAnnounced(t *testing.T) {
	t.Parallel()
	repo := publishtest.Published(t)
	reader := repo.Reader(t, t.TempDir())
	refresh(t, reader)
	const day = 24 * time.Hour
	tests := map[string]struct {
		after time.Duration
		want  []string
	}{
		"fresh":                        {0, nil},
		"timestamp two days from end":  {13 * day, []string{"timestamp"}},
		"91 days before the year ends": {274*day - time.Hour, []string{"timestamp"}},
		"89 days before the year ends": {276 * day, []string{"timestamp", "snapshot", "targets", "releases", "channels"}},
		"all over":                     {800 * day, []string{"timestamp", "snapshot", "targets", "releases", "channels", "root"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, e := range reader.State().Expiring(repo.Now().Add(test.after)) {
				got = append(got, e.Role)
				if !strings.Contains(e.String(), e.Role) || !strings.Contains(e.String(), e.Expires.Format("2006-01-02")) {
					t.Errorf("%q does not say what ends when", e)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("announced are %v, want %v", got, test.want)
			}
		})
	}
}

func TestExpiriesListsEveryRoleSoonestFirst(t *testing.T) {
	at := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	s := release.State{Roles: map[string]release.RoleState{"root": {Expires: at.AddDate(1, 0, 0)}, "timestamp": {Expires: at.AddDate(0, 0, 3)}, "releases": {Expires: at.AddDate(0, 6, 0)}}}
	var roles []string
	for _, e := range s.Expiries() {
		roles = append(roles, e.Role)
		if e.Role == "timestamp" && e.Notice() != 48*time.Hour || e.Role == "root" && e.Notice() != 90*24*time.Hour {
			t.Errorf("%s is announced %s before", e.Role, e.Notice())
		}
	}
	if want := []string{"timestamp", "releases", "root"}; !slices.Equal(roles, want) {
		t.Errorf("listed %v, want %v", roles, want)
	}
}
