package site

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Updates says where releases come from, when they may be rolled out, and how carefully.
type Updates struct {
	Source          Source     `json:"source" jsonschema_description:"online (the default) or bundle: releases are carried in as one file."`
	Windows         []Window   `json:"windows,omitempty" jsonschema_description:"When hosts may be changed unattended, such as Sun 02:00-05:00. An end before the start is on the next day."`
	Timezone        string     `json:"timezone,omitempty" jsonschema_description:"The time zone of windows and blackouts, such as America/Chicago. Needed with either."`
	Blackouts       []Blackout `json:"blackouts,omitempty" jsonschema_description:"Days without changes, such as 2026-12-20/2027-01-03, both included."`
	Canary          string     `json:"canary,omitempty" jsonschema_description:"The host that is updated first."`
	Wave            Wave       `json:"wave" jsonschema_description:"How many hosts are updated together: a share such as 25% (the default), or a number."`
	MaxFailures     int        `json:"max_failures" jsonschema_description:"How many hosts may fail before a rollout stops. The default is 0."`
	MinMediaServing int        `json:"min_media_serving" jsonschema_description:"How many media hosts keep serving throughout. The default is 1, and 0 with one media host."`
	HostWithin      Duration   `json:"host_within" jsonschema_description:"How long the change of one host may take in all, beside the wait for its recordings; then it is taken back, or counts as stuck. The default is 2h."`
	ConfirmWithin   Duration   `json:"confirm_within" jsonschema_description:"How long a switched host waits to be confirmed before it goes back by itself. The default is 10m."`
	Notify          Notify     `json:"notify,omitzero" jsonschema_description:"Who is told what the site does unattended (valtctl schedule)."`
}

// Source is where releases come from.
type Source string

// The sources: the release repository, or a file that is carried in.
const (
	Online Source = "online"
	Bundle Source = "bundle"
)

// Window is a weekly time in the site's time zone. From and To count from midnight of Day;
// a To at or before From is on the day after.
type Window struct {
	Day      time.Weekday
	From, To time.Duration
}

// String is the form of the site file: Sun 02:00-05:00.
func (w Window) String() string {
	return fmt.Sprintf("%s %s-%s", w.Day.String()[:3], clockText(w.From), clockText(w.To))
}

// MarshalText is String.
func (w Window) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

func clockText(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60)
}

// Blackout is a span of days without changes, both ends included, in the site's time
// zone. The times are midnights in UTC and stand for their dates.
type Blackout struct{ First, Last time.Time }

// String is the form of the site file: 2026-12-20/2027-01-03.
func (b Blackout) String() string {
	return b.First.Format(time.DateOnly) + "/" + b.Last.Format(time.DateOnly)
}

// MarshalText is String.
func (b Blackout) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// Wave is how many hosts are updated together: Percent of them, or else Hosts.
type Wave struct{ Percent, Hosts int }

// MarshalJSON writes "25%" or a number.
func (w Wave) MarshalJSON() ([]byte, error) {
	if w.Percent > 0 {
		return json.Marshal(strconv.Itoa(w.Percent) + "%")
	}
	return json.Marshal(w.Hosts)
}

func parseWave(s string) (Wave, error) {
	fix := "write a share from 1% to 100%, or a number of hosts from 1"
	if share, ok := strings.CutSuffix(s, "%"); ok {
		n, err := strconv.Atoi(share)
		if err != nil || n < 1 || n > 100 {
			return Wave{}, &wrong{fmt.Sprintf("%q is not a share of the hosts", s), fix}
		}
		return Wave{Percent: n}, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 {
		return Wave{}, &wrong{fmt.Sprintf("%q is not a number of hosts", s), fix}
	}
	return Wave{Hosts: n}, nil
}

// Duration is a span of time, written as Go writes it: 10m, 1h30m.
type Duration time.Duration

// MarshalText writes the shortest form: 10m rather than 10m0s.
func (d Duration) MarshalText() ([]byte, error) {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return []byte(s), nil
}

func parseDuration(s string) (Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, &wrong{fmt.Sprintf("%q is not a span of time", s), "write a number with its unit, such as 10m"}
	}
	return Duration(d), nil
}
