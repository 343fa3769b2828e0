package plan

import "testing"

// BenchmarkBuild is what every run of install pays before any host is asked what differs.
func BenchmarkBuild(b *testing.B) {
	in := input(b, sampleSite)
	for b.Loop() {
		if _, err := Build(b.Context(), in); err != nil {
			b.Fatal(err)
		}
	}
}
