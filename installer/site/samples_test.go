package site

import (
	"encoding/json"
	"net/netip"
	"path/filepath"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func sampleFiles(t testing.TB) []string {
	t.Helper()
	var files []string
	for _, dir := range []string{"network", "sites"} {
		found, err := filepath.Glob("../../testdata/" + dir + "/*.yaml")
		if err != nil || len(found) == 0 {
			t.Fatalf("finding sample sites in %s: %v, %d found", dir, err, len(found))
		}
		files = append(files, found...)
	}
	return files
}

// rewrite writes a site as site show does.
func rewrite(t *testing.T, s *Site) []byte {
	t.Helper()
	asJSON, err := json.Marshal(s)
	if err != nil {
		t.Fatalf("writing the site as JSON: %v", err)
	}
	asYAML, err := yaml.JSONToYAML(asJSON)
	if err != nil {
		t.Fatalf("turning the site into YAML: %v", err)
	}
	return asYAML
}

// sameSite compares what sites mean: not where they stand.
func sameSite(a, b *Site) string {
	return cmp.Diff(a, b, cmpopts.IgnoreUnexported(Site{}), cmpopts.IgnoreFields(Site{}, "Warnings"),
		cmpopts.EquateComparable(netip.Addr{}, netip.Prefix{}), cmpopts.EquateEmpty())
}

func TestASiteWrittenOutMeansTheSame(t *testing.T) {
	for _, file := range sampleFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			s, err := Load(file, "/home/ops")
			if err != nil {
				t.Fatal(err)
			}
			if len(s.Warnings) > 0 {
				t.Errorf("a sample site has warnings: %v", s.Warnings)
			}
			again, err := Parse(file, rewrite(t, s), "")
			if err != nil {
				t.Fatalf("reading it again: %v", err)
			}
			if diff := sameSite(s, again); diff != "" {
				t.Errorf("the first (-) and the second reading (+) differ:\n%s", diff)
			}
		})
	}
}
