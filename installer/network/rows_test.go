package network

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ipivs.com/valtctl/installer/site"
)

const page = "../../testdata/network/network-requirements.txt"

// The page's own headings, each with the one that ends its table.
var pageTables = []struct{ id, from, to string }{
	{"client", "Client to Application & Media Server(s)", "Media Server(s) to Video Device(s)"},
	{"camera", "Media Server(s) to Video Device(s)", "Other Configurations"},
	{"beam", "BEAM (Mobile Application)", "Online Updates"},
	{"updates", "Online Updates", "Multiple Server Configurations"},
	{"app-to-media", "Application Server to Media Server(s)", "Media Server(s) to Application Server"},
	{"media-to-app", "Media Server(s) to Application Server", "Digital Wowza License"},
	{"wowza", "Media Servers to Wowza Licensing Servers", "VALT Cloud"},
	{"tunnel", "On-Premise Media Server to Cloud Application Server", "VALT Cloud utilizes"},
	{"certificate", "Let's Encrypt", ""},
}

// pageRows lists the lines of one table: those that start with a key, a protocol or both.
func pageRows(t *testing.T, from, to string) []string {
	t.Helper()
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatalf("reading the vendor's page: %v", err)
	}
	var rows []string
	inside := false
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		switch {
		case line == from:
			inside = true
		case inside && to != "" && strings.HasPrefix(line, to):
			return rows
		case inside && isRow(line):
			rows = append(rows, line)
		}
	}
	return rows
}

func isRow(line string) bool {
	fields := strings.Fields(line)
	if len(fields) > 0 && strings.ContainsAny(fields[0], "🔓🔒🔧") {
		fields = fields[1:]
	}
	return len(fields) > 2 && slices.Contains([]string{"TCP", "UDP", "GRE"}, fields[0])
}

// asWritten is a row as the page writes it.
func asWritten(r Row) string {
	marks := map[Key]string{SSLOff: "🔓", SSLOn: "🔒", Administration: "🔧"}
	parts := []string{marks[r.Key], strings.ToUpper(string(r.Protocol))}
	if r.Port != 0 {
		parts = append(parts, fmt.Sprint(r.Port))
	}
	return strings.Join(slices.DeleteFunc(append(parts, r.Application, r.Service, r.Source, r.Destination),
		func(s string) bool { return s == "" }), " ")
}

func TestEveryRowOfTheVendorsPageIsDataAndNoOther(t *testing.T) {
	tables := map[string]Table{}
	vendor := 0
	for _, table := range Tables() {
		tables[table.ID] = table
		if table.Basis == Vendor {
			vendor++
		}
	}
	if vendor != len(pageTables) {
		t.Errorf("%d vendor tables as data, %d on the page", vendor, len(pageTables))
	}
	counts := map[string]int{"client": 7, "camera": 2, "beam": 4, "updates": 6, "app-to-media": 6, "media-to-app": 5, "wowza": 5, "tunnel": 3, "certificate": 2}
	for _, p := range pageTables {
		t.Run(p.id, func(t *testing.T) {
			var data []string
			for _, r := range tables[p.id].Rows {
				data = append(data, asWritten(r))
			}
			written := pageRows(t, p.from, p.to)
			if len(written) != counts[p.id] {
				t.Errorf("the page's table has %d rows, want %d", len(written), counts[p.id])
			}
			if diff := cmp.Diff(written, data); diff != "" {
				t.Errorf("page (-) and data (+) differ:\n%s", diff)
			}
		})
	}
}

func TestNotesAreThePagesOwnWords(t *testing.T) {
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatalf("reading the vendor's page: %v", err)
	}
	for _, table := range Tables() {
		if table.Basis == Vendor && !strings.Contains(string(data), table.Title) {
			t.Errorf("%s: the page has no heading %q", table.ID, table.Title)
		}
		for _, note := range table.Notes {
			if !strings.Contains(string(data), note) {
				t.Errorf("%s: the page does not say %q", table.ID, note)
			}
		}
	}
}

func TestRowIDsAreUniqueAndFitForFlowIDs(t *testing.T) {
	seen := map[string]bool{}
	for _, table := range Tables() {
		for _, r := range table.Rows {
			if seen[r.ID] {
				t.Errorf("the id %s stands twice", r.ID)
			}
			seen[r.ID] = true
			if strings.Trim(r.ID, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
				t.Errorf("the id %s has other than letters, digits, dots and hyphens", r.ID)
			}
		}
	}
}

func TestEveryEndpointOfThePageCanBeReplacedAndNoOther(t *testing.T) {
	var names []string
	for _, table := range Tables() {
		for _, r := range table.Rows {
			if r.To == Endpoint {
				_, name, found := strings.Cut(r.Destination, "://")
				if !found {
					name = r.Destination
				}
				names = append(names, name)
			}
		}
	}
	if diff := cmp.Diff(site.EndpointNames(), names); diff != "" {
		t.Errorf("site.EndpointNames (-) and the rows (+) differ:\n%s", diff)
	}
}
