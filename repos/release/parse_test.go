package release_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/publish/publishtest"
	"ipivs.com/valtctl/repos/release"
)

func TestManifestErrorsNameFieldAndRemedy(t *testing.T) {
	for name, test := range mistakes() {
		t.Run(name, func(t *testing.T) {
			good := publishtest.Manifest("6.4.2")
			bad := bytes.Replace(good, []byte(test.old), []byte(test.new), 1)
			if bytes.Equal(good, bad) {
				t.Fatal("the case changes nothing")
			}
			_, err := release.ParseManifest(bad)
			wantProblem(t, err, problem.Input, test.field)
		})
	}
}

func TestAllManifestErrorsAreReportedAtOnce(t *testing.T) {
	text := strings.NewReplacer(`"0750"`, `"x"`, `[8087]`, `[0]`, `"2m"`, `""`).Replace(string(publishtest.Manifest("6.4.2")))
	_, err := release.ParseManifest([]byte(text))
	if got := len(problem.All(err)); got != 3 {
		t.Errorf("%d problems, want 3: %v", got, err)
	}
}

// Whatever is accepted can be written and read again to the same manifest.
func FuzzParseManifest(f *testing.F) {
	f.Add(publishtest.Manifest("6.4.2"))
	f.Add([]byte(`{"schema":"valtctl/release/v1","roles":{"app":{}}}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := release.ParseManifest(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := release.ParseManifest(again); err != nil {
			t.Errorf("accepted, but not after writing it again: %v", err)
		}
	})
}

func BenchmarkParseManifest(b *testing.B) {
	data := publishtest.Manifest("6.4.2")
	for b.Loop() {
		if _, err := release.ParseManifest(data); err != nil {
			b.Fatal(err)
		}
	}
}
