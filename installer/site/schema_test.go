package site

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/invopop/jsonschema"
)

var update = flag.Bool("update", false, "write the reference in docs/site-file.md again")

// schemaKeys lists the path of every key: hosts[].cameras[].http.
func schemaKeys(s *jsonschema.Schema, path string, visit func(path string, s *jsonschema.Schema, required bool)) {
	for _, option := range s.OneOf {
		schemaKeys(option, path, visit)
	}
	if s.Items != nil {
		schemaKeys(s.Items, path+"[]", visit)
	}
	if s.Properties == nil {
		return
	}
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		below := join(path, p.Key)
		visit(below, p.Value, slices.Contains(s.Required, p.Key))
		schemaKeys(p.Value, below, visit)
	}
}

// fileKeys lists the same of a site file, as its reader saw them.
func fileKeys(t *testing.T, name string) []string {
	t.Helper()
	s, err := Load(name, "/home/ops")
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for path := range s.lines {
		if path != "" && !strings.HasSuffix(path, "]") && !strings.HasPrefix(path, "settings.") && !strings.HasPrefix(path, "network.endpoints.") {
			keys = append(keys, withoutIndexes(path))
		}
	}
	return keys
}

// withoutIndexes turns hosts[1].name into hosts[].name.
func withoutIndexes(path string) string {
	var b strings.Builder
	for _, r := range path {
		if r < '0' || r > '9' || !strings.HasSuffix(b.String(), "[") {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func TestSchemaAndReaderKnowTheSameKeys(t *testing.T) {
	var want []string
	schemaKeys(schema(), "", func(path string, _ *jsonschema.Schema, _ bool) { want = append(want, path) })
	slices.Sort(want)
	got := append(fileKeys(t, "../../testdata/sites/full.yaml"), fileKeys(t, "../../testdata/sites/cloud.yaml")...)
	slices.Sort(got)
	if diff := cmp.Diff(want, slices.Compact(got)); diff != "" {
		t.Errorf("the schema's keys (-) and those of full.yaml and cloud.yaml (+) differ:\n%s", diff)
	}
}

func TestSchemaIsJSONThatDescribesEveryKey(t *testing.T) {
	if !json.Valid(Schema()) {
		t.Error("the schema is not JSON")
	}
	schemaKeys(schema(), "", func(path string, s *jsonschema.Schema, _ bool) {
		if s.Description == "" {
			t.Errorf("%s has no description", path)
		}
	})
}

const (
	referenceStart = "<!-- The table is written by: go test ./installer/site -run Reference -update -->\n"
	referencePage  = "../../docs/site-file.md"
)

// The reference is the schema, so that neither can be ahead of the other.
func TestReferenceHasEveryKey(t *testing.T) {
	var table bytes.Buffer
	fmt.Fprintln(&table, "| key | |\n|---|---|")
	schemaKeys(schema(), "", func(path string, s *jsonschema.Schema, required bool) {
		needed := ""
		if required {
			needed = " **Required.**"
		}
		fmt.Fprintf(&table, "| `%s` | %s%s |\n", path, s.Description, needed)
	})
	page, err := os.ReadFile(referencePage)
	if err != nil {
		t.Fatalf("reading the reference: %v", err)
	}
	head, got, found := strings.Cut(string(page), referenceStart)
	if !found {
		t.Fatalf("%s has no line %q", referencePage, referenceStart)
	}
	if *update {
		if err := os.WriteFile(referencePage, []byte(head+referenceStart+table.String()), 0o644); err != nil {
			t.Fatalf("writing the reference: %v", err)
		}
		return
	}
	if diff := cmp.Diff(table.String(), got); diff != "" {
		t.Errorf("the schema (-) and %s (+) differ; run the test with -update:\n%s", referencePage, diff)
	}
}
