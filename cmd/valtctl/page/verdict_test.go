package page

import (
	"testing"

	"ipivs.com/valtctl/installer/check"
)

// A server that was not asked is no good server, and what is not known comes before what
// will be trouble.
func TestTheHeadlineSaysWhatIsNotKnown(t *testing.T) {
	results := func(all ...check.Status) *check.Report {
		r := &check.Report{Servers: 3}
		for _, s := range all {
			r.Results = append(r.Results, check.Result{Status: s})
		}
		return r
	}
	lost := func(r *check.Report) *check.Report {
		r.Unreached = []string{"media1", "media2"}
		return r
	}
	for _, c := range []struct {
		r      *check.Report
		want   string
		status check.Status
		failed bool
	}{
		{results(check.Pass), "Everything that was asked is as it must be. 3 of 3 servers were asked.", check.Pass, false},
		{results(check.Warn), "Nothing fails; some things will be trouble. 3 of 3 servers were asked.", check.Warn, false},
		{results(check.Warn, check.Unknown), "Nothing that was asked fails; some things could not be asked. 3 of 3 servers were asked.", check.Unknown, false},
		{lost(results(check.Warn, check.Pass)), "Whether the site is ready is not known: media1, media2 could not be reached. 1 of 3 servers were asked.", check.Unknown, true},
		{lost(results(check.Fail)), "The site is not ready: one thing fails. 1 of 3 servers were asked.", check.Fail, true},
	} {
		if got, status := verdict(c.r); got != c.want || status != c.status || c.r.Failed() != c.failed {
			t.Errorf("got %q (%s, failed %v), want %q (%s, failed %v)", got, status, c.r.Failed(), c.want, c.status, c.failed)
		}
	}
}
