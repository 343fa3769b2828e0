package docker

import (
	"fmt"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/image"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
)

// ownTagged is an image that carries a tag of this test's alone, as an update's images do.
func ownTagged(t *testing.T, variant, tag string) ImageDigests {
	t.Helper()
	d := load(t, probeImage(t, variant))
	engine := dockerOf(t, engineMachine(nil))
	if err := engine.ImageTag(t.Context(), idOf(t, d), "docker.ipivs.com/"+variant+tag+"1"); err != nil {
		t.Fatal(err)
	}
	if _, err := engine.ImageRemove(t.Context(), loadedTag(t, d), image.RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOnlyImagesWithoutUseGo(t *testing.T) {
	tag := fmt.Sprintf(":valt-%s-", testRun)
	ancient, former, wanted := ownTagged(t, "ancient", tag), ownTagged(t, "former", tag), ownTagged(t, "wanted", tag)
	foreign := load(t, probeImage(t, "foreign"))
	p := containerFor(t, former) // what the update set aside
	if err := steptest.MakeStep(t, ContainerKind(), p).Apply(t.Context(), engineMachine(nil)); err != nil {
		t.Fatal(err)
	}
	h := engineMachine(nil)
	s := &prune{PruneParams: PruneParams{Images: []ImageDigests{wanted}}, tag: tag}
	found, err := s.Inspect(t.Context(), h)
	if err != nil || found.Change || len(found.Notes) != 1 || !strings.Contains(found.Notes[0], "ancient") {
		t.Errorf("it does not say what will go: %+v, %v", found, err)
	}
	engine := dockerOf(t, h)
	kept := &step.Machine{Root: t.TempDir(), Run: h.Run} // the list's place
	if err := s.keepFormer(t.Context(), kept, engine); err != nil {
		t.Fatal(err)
	}
	list, err := formerImages(kept)
	if err != nil || len(list) != 1 || list[0] != idOf(t, former) {
		t.Errorf("the release before is %v (%v), not %s", list, err, idOf(t, former))
	}
	// A change of settings alone, later: its containers have the release's own images.
	again := &prune{PruneParams: PruneParams{Images: []ImageDigests{wanted, former}}, tag: tag}
	if err := again.keepFormer(t.Context(), kept, engine); err != nil {
		t.Fatal(err)
	}
	if list, err := formerImages(kept); err != nil || len(list) != 1 {
		t.Errorf("the release before was forgotten: %v, %v", list, err)
	}
	h.Root = "" // the engine is this machine's
	if err := s.remove(t.Context(), h, engine); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		image ImageDigests
		stays bool
	}{"ancient": {ancient, false}, "former": {former, true}, "wanted": {wanted, true}, "foreign": {foreign, true}} {
		if _, err := findImage(t.Context(), h, engine, c.image); (err == nil) != c.stays {
			t.Errorf("%s: it stays %t (%v), want %t", name, err == nil, err, c.stays)
		}
	}
}
