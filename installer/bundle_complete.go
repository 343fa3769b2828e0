package installer

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/apt"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/repos/bundle"
	"ipivs.com/valtctl/repos/problem"
)

// bundleSuits asks, in a run with a bundle and before anything is changed, whether the bundle
// has all that a host will take, and whether the host has the space for it.
func (r *Run) bundleSuits(ctx context.Context, h *fleet.Host, steps []step.Spec, findings []agent.StepFinding) error {
	if r.Options.Carrier == nil {
		return nil
	}
	b := bundleView{r.Options.Carrier.Bundle}
	full := sync.OnceValues(func() (facts.Facts, error) {
		reply, err := h.AskFacts(ctx, true)
		return reply.Facts, err
	})
	debs, err := r.missingDebs(ctx, h, b, steps, findings)
	if err != nil {
		return err
	}
	layers, err := b.missingImages(full, steps, findings)
	if err != nil {
		return err
	}
	if missing := append(debs, layers...); len(missing) > 0 {
		return &problem.Error{Kind: problem.Check, Doing: "checking that the bundle has what is needed by host", Object: h.Name,
			Err: fmt.Errorf("it lacks %s", strings.Join(missing, ", ")),
			Fix: "make one for this server too: valtctl facts --full -o json >facts.json, then valtctl bundle create --have facts.json; or one without --have. Nothing was changed"}
	}
	known := h.Facts().Facts
	return b.checkSpace(h.Name, &known, full, steps, findings)
}

// bundleView is a bundle as it is held against what hosts lack.
type bundleView struct{ *bundle.Reader }

// fetches says whether a step will take something in this run: what an installation defers,
// since it would interrupt something, and what an update has fetched before, takes nothing.
func fetches(s step.Spec, f agent.StepFinding) bool {
	return f.Finding.Change && s.Half == step.Fetch && !interrupts(f.Finding.Disrupts)
}

// missingDebs has the host's own apt plan its packages from the bundle alone, and names those
// that the bundle has not.
func (r *Run) missingDebs(ctx context.Context, h *fleet.Host, b bundleView, steps []step.Spec, findings []agent.StepFinding) ([]string, error) {
	var ask []step.Spec
	packages := false
	for n, spec := range steps {
		switch spec.Kind {
		case apt.KindSource:
			ask = append(ask, spec)
		case apt.KindPackages, apt.KindDownload:
			if fetches(spec, findings[n]) {
				ask, packages = append(ask, spec), true
			}
		}
	}
	if !packages {
		return nil, nil
	}
	// It reads the lists first, which takes a while where they are large and the line is slow.
	r.Options.Observer.Observe(event.Event{Kind: event.Note, Host: h.Name, Text: "planning its packages from the bundle"})
	files, err := h.ProveBundle(ctx, agent.ProveRequest{Steps: ask, Secrets: r.secrets(h)})
	if err != nil {
		return nil, err
	}
	var missing []string
	for _, f := range files {
		if _, here, _ := b.Contents.Blob("sha256:" + f.SHA256); !here {
			missing = append(missing, "package "+f.Package)
		}
	}
	return missing, nil
}

// missingImages names the images that are neither in the bundle nor, in parts, on the host.
func (b bundleView) missingImages(full func() (facts.Facts, error), steps []step.Spec, findings []agent.StepFinding) ([]string, error) {
	var missing []string
	for n, spec := range steps {
		if spec.Kind != docker.KindImage || !fetches(spec, findings[n]) || findings[n].Finding.Fetch == 0 {
			continue
		}
		var p docker.ImageParams
		if err := json.Unmarshal(spec.Params, &p); err != nil {
			return nil, fmt.Errorf("reading what step %s takes: %w", spec.ID, err)
		}
		n, err := b.missingLayers(full, p.Digests)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			missing = append(missing, fmt.Sprintf("image %s (%d of its blobs)", p.Repository, n))
		}
	}
	return missing, nil
}

// missingLayers counts the blobs of an image that neither bundle nor host have. What the host
// has is asked only where the bundle is not enough.
func (b bundleView) missingLayers(full func() (facts.Facts, error), image docker.ImageDigests) (int, error) {
	if _, here, _ := b.Contents.Blob(image.Manifest); !here {
		return 1, nil
	}
	m, err := b.manifest(image.Manifest)
	if err != nil {
		return 0, err
	}
	if _, here, _ := b.Contents.Blob(m.Config.Digest); !here {
		return 1, nil
	}
	lack := func(layers []blobName) (n int) {
		for _, l := range layers {
			if _, here, _ := b.Contents.Blob(l.Digest); !here {
				n++
			}
		}
		return n
	}
	if lack(m.Layers) == 0 {
		return 0, nil
	}
	known, err := full()
	if err != nil {
		return 0, err
	}
	there, err := b.layersThere(&known, image, m)
	return lack(m.Layers[min(there, len(m.Layers)):]), err
}
