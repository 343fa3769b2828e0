package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/client"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/durable"
)

// PruneParams is which images a release needs.
type PruneParams struct {
	Images []ImageDigests `json:"images"`
}

// keptImages is the host's list of images that the release before needs, so that going
// back fetches nothing.
const keptImages = "/var/lib/valtctl/rollback/images.json"

// ownTag is the part of our tags (imageStep.tag) that nobody else's have.
const ownTag = ":valt-"

// KindPrune names what PruneKind makes.
const KindPrune step.KindName = "prune"

// PruneKind removes the images that an update leaves without use: those that carry a tag of
// ours, belong neither to the release nor to the one before, and that no container has. It
// does so when the update is confirmed, and changes nothing earlier. What others brought is
// never touched. It must be a plan's last step, so that it is settled while the containers
// that were set aside still tell what the release before was.
func PruneKind() step.Kind {
	return step.KindOf(KindPrune, step.Reversible, func(p PruneParams) (step.Step, error) { return &prune{PruneParams: p, tag: ownTag}, nil })
}

type prune struct {
	PruneParams
	tag string // part of every tag of ours
}

// Inspect tells what will go.
func (p *prune) Inspect(ctx context.Context, h *step.Machine) (step.Finding, error) {
	found := step.Finding{Disrupts: step.Nothing}
	engine, err := h.Docker()
	if err != nil {
		return found, fmt.Errorf("looking for images without use: %w", err)
	}
	useless, err := p.useless(ctx, h, engine)
	if err != nil && !noEngine(err) {
		return found, err
	}
	for _, i := range useless {
		found.Notes = append(found.Notes, fmt.Sprintf("image %s has no use and is removed when all is confirmed", strings.Join(i.RepoTags, ", ")))
	}
	return found, nil
}

// Apply has nothing to do.
func (p *prune) Apply(context.Context, *step.Machine) error { return nil }

// Undo has nothing to take back.
func (p *prune) Undo(context.Context, *step.Machine) error { return nil }

// Settle keeps in mind what the release before needs, and removes the rest.
func (p *prune) Settle(ctx context.Context, h *step.Machine) error {
	engine, err := h.Docker()
	if err != nil {
		return fmt.Errorf("removing images without use: %w", err)
	}
	if err := p.keepFormer(ctx, h, engine); err != nil {
		return err
	}
	return p.remove(ctx, h, engine)
}

func (p *prune) remove(ctx context.Context, h *step.Machine, engine *client.Client) error {
	useless, err := p.useless(ctx, h, engine)
	if err != nil {
		return err
	}
	for _, i := range useless {
		for _, tag := range i.RepoTags {
			if _, err := engine.ImageRemove(ctx, tag, image.RemoveOptions{PruneChildren: true}); err != nil {
				h.Report(step.Progress{Text: fmt.Sprintf("%s stays: %v", tag, err)}) // somebody uses it: no harm
			}
		}
	}
	return nil
}

// keepFormer notes the images of ours that containers have and the release does not. Where
// there are none it was no change of release, and the one before stays what it was.
func (p *prune) keepFormer(ctx context.Context, h *step.Machine, engine *client.Client) error {
	ours, err := p.ownImages(ctx, engine)
	if err != nil {
		return err
	}
	used, err := inUse(ctx, engine)
	if err != nil {
		return err
	}
	own, err := p.own(ctx, h, engine, ours)
	if err != nil {
		return err
	}
	var former []string
	for _, i := range ours {
		if slices.Contains(used, i.ID) && !slices.Contains(own, i.ID) {
			former = append(former, i.ID)
		}
	}
	if len(former) == 0 {
		return nil
	}
	text, err := json.Marshal(former)
	if err != nil {
		return fmt.Errorf("noting the images of the release before: %w", err)
	}
	full := h.Path(keptImages)
	if err := durable.MkdirAll(filepath.Dir(full), 0o700); err != nil {
		return fmt.Errorf("noting the images of the release before: %w", err)
	}
	return durable.WriteFile(full, text, 0o600)
}

// useless are our images that nothing needs.
func (p *prune) useless(ctx context.Context, h *step.Machine, engine *client.Client) ([]image.Summary, error) {
	ours, err := p.ownImages(ctx, engine)
	if err != nil {
		return nil, err
	}
	used, err := inUse(ctx, engine)
	if err != nil {
		return nil, err
	}
	before, err := formerImages(h)
	if err != nil {
		return nil, err
	}
	own, err := p.own(ctx, h, engine, ours)
	if err != nil {
		return nil, err
	}
	needed := slices.Concat(used, before, own)
	return slices.DeleteFunc(ours, func(i image.Summary) bool { return slices.Contains(needed, i.ID) }), nil
}

// own are the release's, by every digest that an engine may call them by, and by their IDs where they have others
// since they were loaded from a file.
func (p *prune) own(ctx context.Context, h *step.Machine, engine *client.Client, ours []image.Summary) ([]string, error) {
	var ids []string
	for _, d := range p.Images {
		ids = append(ids, d.All()...)
	}
	c, err := contentOf(ctx, h, engine)
	if c == nil || err != nil {
		return ids, err
	}
	for _, i := range ours {
		configs, err := c.configs(ctx, i.ID)
		if err != nil && !errors.Is(err, errNoContent) {
			return nil, err
		}
		if slices.ContainsFunc(p.Images, func(d ImageDigests) bool { return slices.Contains(configs, d.Config) }) {
			ids = append(ids, i.ID)
		}
	}
	return ids, nil
}

// ownImages are those that have tags of ours and no others.
func (p *prune) ownImages(ctx context.Context, engine *client.Client) ([]image.Summary, error) {
	all, err := engine.ImageList(ctx, image.ListOptions{})
	if err != nil {
		return nil, fmt.Errorf("listing images: %w", err)
	}
	return slices.DeleteFunc(all, func(i image.Summary) bool {
		return len(i.RepoTags) == 0 || slices.ContainsFunc(i.RepoTags, func(tag string) bool { return !strings.Contains(tag, p.tag) })
	}), nil
}

// inUse are the images of all containers, set aside ones too.
func inUse(ctx context.Context, engine *client.Client) ([]string, error) {
	list, err := engine.ContainerList(ctx, container.ListOptions{All: true})
	if err != nil {
		return nil, fmt.Errorf("listing containers: %w", err)
	}
	var ids []string
	for _, c := range list {
		ids = append(ids, c.ImageID)
	}
	return ids, nil
}

// formerImages is the list that keepFormer wrote.
func formerImages(h *step.Machine) ([]string, error) {
	text, err := step.ReadIfThere(h.Path(keptImages))
	if text == nil || err != nil {
		return nil, err
	}
	var ids []string
	if json.Unmarshal(text, &ids) != nil {
		return nil, nil // what nobody can read keeps nothing
	}
	return ids, nil
}
