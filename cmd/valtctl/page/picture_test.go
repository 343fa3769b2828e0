package page

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ipivs.com/valtctl/installer/check"
	"ipivs.com/valtctl/installer/network"
)

// drawn is what a browser finds in the picture and in the tables.
type drawn struct {
	Groups []map[string]string `json:"groups"`
	Rows   []map[string]string `json:"rows"`
	Counts map[string]string   `json:"counts"`
}

const readPicture = `({
  groups: [...document.querySelectorAll('#picture g.flow')].map(g => ({...g.dataset, mark: g.querySelector('use').getAttribute('href'), seen: String(g.getBoundingClientRect().width > 0)})),
  rows: [...document.querySelectorAll('table.results tbody tr')].map(r => ({...r.dataset, text: r.textContent.replace(/\s+/g, ' ')})),
  counts: Object.fromEntries([...document.querySelectorAll('.counts li')].map(l => [l.dataset.status, l.dataset.count])),
})`

// Every flow of the table is drawn once, each line says what the table says of its flows,
// and the summary counts the table's rows.
func pictureAndTableAgree(t *testing.T, tab context.Context) {
	t.Helper()
	d := ask[drawn](t, tab, readPicture)
	status, rows := map[string]string{}, map[string]int{}
	for _, r := range d.Rows {
		rows[r["status"]]++
		if _, isFlow := r["flow"]; isFlow {
			status[r["id"]] = r["status"]
		}
	}
	for s, n := range d.Counts {
		if strconv.Itoa(rows[s]) != n {
			t.Errorf("the summary counts %s of %q, the tables have %d", n, s, rows[s])
		}
	}
	agree(t, d.Groups, status)
}

// agree takes each drawn flow off the table's.
func agree(t *testing.T, groups []map[string]string, status map[string]string) {
	t.Helper()
	if len(status) == 0 {
		t.Fatal("the table has no flow")
	}
	for _, g := range groups {
		counts := map[string]int{}
		for _, id := range strings.Fields(g["flows"]) {
			if status[id] == "" {
				t.Errorf("%s is drawn, and the table lacks it or it is drawn twice", id)
			}
			counts[status[id]]++
			delete(status, id)
		}
		for _, s := range []string{"pass", "warn", "fail", "unknown"} {
			if strconv.Itoa(counts[s]) != g[s] {
				t.Errorf("a line says %s of %q, its flows in the table are %d: %s", g[s], s, counts[s], g["flows"])
			}
		}
		if counts[g["status"]] == 0 || g["mark"] != "#mark-"+g["status"] || g["seen"] != "true" {
			t.Errorf("a line with the status %q and mark %q (visible: %s) has the counts %v", g["status"], g["mark"], g["seen"], counts)
		}
	}
	for id := range status {
		t.Errorf("the picture lacks %s", id)
	}
}

// However many hosts and cameras, nothing in the picture lies on something else.
func TestNothingOverlapsInAPictureOfManyHostsAndCameras(t *testing.T) {
	s := bigSite(t)
	p := draw(s, reportOn(s, 10).Results)
	if len(p.Rows) != 9 || p.Rows[0].Name != "app1" || len(p.Dots) != 200 {
		t.Fatalf("%d rows, the first %s, and %d cameras", len(p.Rows), p.Rows[0].Name, len(p.Dots))
	}
	for i, r := range p.Rows[1:] {
		if before := p.Rows[i]; r.Y < before.Y+before.Height {
			t.Errorf("%s lies on %s", r.Name, before.Name)
		}
	}
	places := map[[2]int]bool{}
	for _, l := range p.Links {
		at := [2]int{l.To, l.Y}
		if places[at] || l.Y < l.row.Y || l.Y > l.row.Y+l.row.Height {
			t.Errorf("%s ends on another line or beside its host", l.Title)
		}
		places[at] = true
	}
	for _, d := range p.Dots {
		if at := [2]int{d.X, d.Y}; places[at] || d.X > p.Width || d.Y > p.Height {
			t.Errorf("%s lies on another or outside", d.Title)
		} else {
			places[at] = true
		}
	}
}

func TestALineCarriesTheWorstOfItsFlows(t *testing.T) {
	result := func(s check.Status) check.Result { return check.Result{Status: s} }
	for _, tt := range []struct {
		of   []check.Status
		want check.Status
	}{
		{[]check.Status{check.Pass, check.Pass}, check.Pass}, {[]check.Status{check.Pass, check.Unknown}, check.Unknown},
		{[]check.Status{check.Unknown, check.Warn, check.Pass}, check.Warn}, {[]check.Status{check.Warn, check.Fail, check.Unknown}, check.Fail},
	} {
		var results []check.Result
		for _, s := range tt.of {
			results = append(results, result(s))
		}
		if got := worst(results); got != tt.want {
			t.Errorf("of %v the worst is %s, want %s", tt.of, got, tt.want)
		}
	}
}

func TestWhatFailsComesFirstAndOneCauseIsOneFinding(t *testing.T) {
	results := []check.Result{
		{Subject: "a", Status: check.Pass}, {Subject: "b", Status: check.Warn, Cause: "old"},
		{Subject: "c", Status: check.Fail, Cause: "filtered", Fix: "allow c", Evidence: []string{"silence"}},
		{Subject: "d", Status: check.Fail, Cause: "filtered", Fix: "allow d", Evidence: []string{"silence", "no arrival"}},
		{Subject: "e", Status: check.Fail, Cause: "refused", Fix: "start it"}, {Subject: "f", Status: check.Fail, Cause: "refused", Fix: "start it"},
	}
	want := []findingList{
		{ID: "fails", Title: "What fails", Findings: []finding{
			{Status: check.Fail, Title: "2 of the same cause", Cause: "filtered", Subjects: []subject{{"c", "allow c"}, {"d", "allow d"}}, Evidence: []string{"silence", "no arrival"}},
			{Status: check.Fail, Title: "2 of the same cause", Cause: "refused", Fix: "start it", Subjects: []subject{{"e", ""}, {"f", ""}}},
		}},
		{ID: "warnings", Title: "What will be trouble", Findings: []finding{{Status: check.Warn, Title: "b", Cause: "old"}}},
	}
	if diff := cmp.Diff(want, findingLists(results)); diff != "" {
		t.Errorf("wanted (-) and got (+):\n%s", diff)
	}
}

// Names of the site file are text on a page, whatever they hold.
func TestNamesOfTheSiteFileAreTextOnAPage(t *testing.T) {
	for name, html := range pages(t) {
		if bytes.Contains(html, []byte("<script")) {
			t.Errorf("%s holds a script", name)
		}
	}
}

// The lines of a request add up to the connections that it asks for.
func everyConnectionIsThere(t *testing.T, tab context.Context) {
	t.Helper()
	s := bigSite(t)
	items := network.Request(s, network.Flows(s), nil)
	total := 0
	numbers := ask[[]int](t, tab, `[...document.querySelectorAll('table.asked tbody tr')].map(r => +r.dataset.count)`)
	for _, n := range numbers {
		total += n
	}
	if total != len(items) || slices.Contains(numbers, 0) {
		t.Errorf("%d lines ask for %d connections, want %d", len(numbers), total, len(items))
	}
	if text := ask[string](t, tab, `document.body.innerText`); !strings.Contains(text, "10.0.20.11–10.0.20.35 (25)") || !strings.Contains(text, "explains the asterisk nowhere") {
		t.Error("the page lacks its cameras as a range, or the note on port 8000")
	}
}
