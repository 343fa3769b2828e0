package docker

import (
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"

	"ipivs.com/valtctl/repos/problem"
)

// A host looks at what its database runs itself, whatever was said where the release was published.
func TestADatabasesImageDoesNotSlipIn(t *testing.T) {
	for name, c := range map[string]struct{ same, wanted, ok bool }{
		"the same":              {same: true, wanted: true, ok: true},
		"another, nothing said": {same: true},
		"another, and said":     {ok: true},
	} {
		current := &container.InspectResponse{ContainerJSONBase: &container.ContainerJSONBase{Image: "sha256:other"}}
		s := &containerStep{ContainerParams: ContainerParams{Name: "valt-db", SameImage: c.same}}
		err := s.slipped(sight{current: current, wanted: c.wanted})
		if (err == nil) != c.ok || err != nil && (problem.KindOf(err) != problem.Check || !strings.Contains(err.Error(), "sha256:other")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
