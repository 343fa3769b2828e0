package docker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	cerrdefs "github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/client"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

// KindContainer names what ContainerKind makes.
const KindContainer step.KindName = "container"

// ContainerKind keeps one container of a Compose service as the release wants it.
func ContainerKind() step.Kind {
	return step.KindOf(KindContainer, step.Reversible, func(p ContainerParams) (step.Step, error) { return newContainer(p) })
}

// containerStep is a ContainerParams with its texts read.
type containerStep struct {
	ContainerParams
	hash    string // of Spec
	health  *container.HealthConfig
	restart container.RestartPolicy
	within  time.Duration
	quiet   time.Duration // between the two readings of the last look
	least   time.Duration // that a container which keeps data is given to stop
}

// defaultWithin is how long a container may take to become healthy.
const defaultWithin = 2 * time.Minute

func newContainer(p ContainerParams) (*containerStep, error) {
	c := &containerStep{ContainerParams: p, within: defaultWithin, least: leastForData}
	if p.Name == "" || p.Image.Config == "" {
		return nil, fmt.Errorf("checking container %q: a name and an image's config digest are needed", p.Name)
	}
	if p.Disrupts == step.Nothing || p.Disrupts == "" {
		return nil, fmt.Errorf("checking container %s: replacing it disrupts something", p.Name)
	}
	spec, err := json.Marshal(p.Spec)
	if err != nil {
		return nil, fmt.Errorf("hashing the container %s: %w", p.Name, err)
	}
	sum := sha256.Sum256(spec)
	c.hash = hex.EncodeToString(sum[:])
	if c.health, err = p.Spec.Health.engine(); err != nil {
		return nil, fmt.Errorf("checking container %s: %w", p.Name, err)
	}
	if c.restart, err = parseRestart(p.Spec.Restart); err != nil {
		return nil, fmt.Errorf("checking container %s: %w", p.Name, err)
	}
	if p.Within != "" {
		if c.within, err = time.ParseDuration(p.Within); err != nil {
			return nil, fmt.Errorf("checking container %s: %w", p.Name, err)
		}
	}
	if c.quiet, err = p.LastLook.Between(); err != nil {
		return nil, fmt.Errorf("checking container %s: %w", p.Name, err)
	}
	if _, err := c.hostConfig(); err != nil {
		return nil, err
	}
	return c, nil
}

// oldName is what the container to be replaced is called until its successor is healthy.
func (c *containerStep) oldName() string { return c.Name + "-old" }

// nextName is what its successor is called until it takes the name over.
func (c *containerStep) nextName() string { return c.Name + "-next" }

// sight is what the engine has under the container's two names.
type sight struct {
	current, old *container.InspectResponse
	wanted       bool              // current is made from the wanted image
	watch        map[string]string // hashes of the watched files now
}

// look finds both. A container under one of the names that is not ours is an error.
func (c *containerStep) look(ctx context.Context, h *step.Machine, engine *client.Client) (sight, error) {
	var s sight
	var err error
	if s.watch, err = c.watched(h); err != nil {
		return s, err
	}
	if s.current, err = inspectOurs(ctx, engine, c.Name); err != nil {
		return s, err
	}
	if s.old, err = inspectOurs(ctx, engine, c.oldName()); err != nil || s.current == nil {
		return s, err
	}
	// The repository name that it was pulled by does not matter.
	s.wanted, err = isImage(ctx, h, engine, s.current.Image, c.Image)
	return s, err
}

// inspectOurs is the container of a name, nil where there is none.
func inspectOurs(ctx context.Context, engine *client.Client, name string) (*container.InspectResponse, error) {
	found, err := engine.ContainerInspect(ctx, name)
	if cerrdefs.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("asking the engine for container %s: %w", name, err)
	}
	// The engine also finds containers by the beginning of their ID.
	if strings.TrimPrefix(found.Name, "/") != name {
		return nil, nil
	}
	if found.Config.Labels[LabelSpec] == "" {
		return nil, &problem.Error{
			Kind: problem.Check, Doing: "looking at container", Object: name,
			Err: fmt.Errorf("a container of this name runs image %s and was not made by valtctl", found.Config.Image),
			Fix: "rename it (docker rename) or remove it, then run the command again",
		}
	}
	return &found, nil
}

func (c *containerStep) Inspect(ctx context.Context, h *step.Machine) (step.Finding, error) {
	if err := c.allowed(h); err != nil {
		return step.Finding{}, err
	}
	engine, err := h.Docker()
	if err != nil {
		return step.Finding{}, fmt.Errorf("inspecting container %s: %w", c.Name, err)
	}
	s, err := c.look(ctx, h, engine)
	if noEngine(err) {
		s, err = sight{}, nil
	}
	if err != nil {
		return step.Finding{}, err
	}
	if s.current == nil {
		return c.findingNew(s), nil
	}
	if err := c.slipped(s); err != nil {
		return step.Finding{}, err
	}
	if h.Keep != "" {
		s.old = nil // set aside for the way back, until the transaction is confirmed
	}
	replaced := c.replaceDiff(s)
	text := replaced + c.touchDiff(s)
	finding := step.Finding{Change: text != "", Diff: text, Disrupts: step.Nothing}
	if replaced != "" && s.current.State.Running {
		finding.Disrupts = c.Disrupts
	}
	finding.Admits = text != "" && !s.current.State.Running
	return finding, nil
}

// findingNew is for a container that is to be made. One that was set aside by an earlier,
// interrupted run does not serve any more unless somebody started it.
func (c *containerStep) findingNew(s sight) step.Finding {
	f := step.Finding{Change: true, Admits: true, Disrupts: step.Nothing, Diff: step.TextDiff("container "+c.Name, nil, c.describe(c.Spec, c.Image.Config))}
	if s.old != nil && s.old.State.Running {
		f.Disrupts = c.Disrupts
	}
	return f
}

// describe is the container as text for a diff.
func (c *containerStep) describe(spec ContainerSpec, image string) []byte {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(struct {
		Image string `json:"image"`
		ContainerSpec
	}{image, spec}); err != nil {
		return []byte(err.Error() + "\n")
	}
	return text.Bytes()
}

// replaceDiff tells why the running container must be made anew; empty: it need not.
func (c *containerStep) replaceDiff(s sight) string {
	var text string
	labels := s.current.Config.Labels
	image := c.Image.Config
	if !s.wanted {
		image = s.current.Image
	}
	if labels[LabelSpec] != c.hash || image != c.Image.Config {
		var was ContainerSpec
		// A label that does not parse reads as an empty container: everything is new.
		_ = json.Unmarshal([]byte(labels[labelConfig]), &was)
		text = step.TextDiff("container "+c.Name, c.describe(was, image), c.describe(c.Spec, c.Image.Config))
		if text == "" {
			text = fmt.Sprintf("- container %s made by hand or by another version\n+ container %s\n", c.Name, c.Name)
		}
	}
	var was map[string]string
	_ = json.Unmarshal([]byte(labels[labelWatch]), &was)
	for _, p := range slices.Sorted(maps.Keys(s.watch)) {
		if was[p] != s.watch[p] {
			text += fmt.Sprintf("- container %s with the former content of %s\n+ container %s with its content now\n", c.Name, p, c.Name)
		}
	}
	return text
}

// slipped refuses another image of a database that nobody said is changed: what its first start does to the data no
// undoing takes back.
func (c *containerStep) slipped(s sight) error {
	if !c.SameImage || s.wanted {
		return nil
	}
	return &problem.Error{Kind: problem.Check, Doing: "replacing the database's container", Object: c.Name,
		Err: fmt.Errorf("it runs image %s, the release has %s, and does not say that it changes the database", s.current.Image, c.Image.Config),
		Fix: "the release must say so (database.migrate), and be made again by its vendor; to go back from a release that changed the database: valtctl backup restore"}
}

// touchDiff tells what is wrong with a container that need not be made anew.
func (c *containerStep) touchDiff(s sight) string {
	var text string
	state := s.current.State
	switch {
	case !state.Running || state.Restarting:
		text += fmt.Sprintf("- container %s %s\n+ container %s running\n", c.Name, state.Status, c.Name)
	case unsettled(state):
		text += fmt.Sprintf("- container %s %s\n+ container %s healthy\n", c.Name, state.Health.Status, c.Name)
	}
	if was := s.current.HostConfig.RestartPolicy; was != c.restart {
		text += fmt.Sprintf("- container %s restart policy %s\n+ container %s restart policy %s\n", c.Name, was.Name, c.Name, c.restart.Name)
	}
	for _, n := range c.missingNetworks(s.current) {
		text += fmt.Sprintf("+ container %s in network %s\n", c.Name, n.Name)
	}
	if s.old != nil {
		text += fmt.Sprintf("- container %s, set aside by an earlier run\n", c.oldName())
	}
	return text
}

// unsettled reports whether a container with a health check, of the Compose file or of the
// image, is not known to be healthy.
func unsettled(state *container.State) bool {
	return state.Health != nil && state.Health.Status != container.Healthy && state.Health.Status != container.NoHealthcheck
}

// missingNetworks lists networks that the container is not in.
func (c *containerStep) missingNetworks(current *container.InspectResponse) []ContainerNetwork {
	return slices.DeleteFunc(slices.Clone(c.Spec.Networks), func(n ContainerNetwork) bool {
		return current.NetworkSettings != nil && current.NetworkSettings.Networks[n.Name] != nil
	})
}

// imageID is the engine's ID of the wanted image. Volumes that the image declares and no
// mount covers would be anonymous ones, and are refused.
func (c *containerStep) imageID(ctx context.Context, h *step.Machine, engine *client.Client) (string, error) {
	found, err := findImage(ctx, h, engine, c.Image)
	if errors.Is(err, errNoImage) {
		return "", &problem.Error{Kind: problem.Failed, Doing: "creating container", Object: c.Name,
			Err: fmt.Errorf("the image of %s is gone: %w", c.Repository, err),
			Fix: "run the command again; it fetches the image"}
	}
	if err != nil {
		return "", err
	}
	if found.Config == nil {
		return found.ID, nil
	}
	for _, target := range slices.Sorted(maps.Keys(found.Config.Volumes)) {
		if !c.mounts(target) {
			return "", &problem.Error{Kind: problem.Failed, Doing: "creating container", Object: c.Name,
				Err: fmt.Errorf("the image declares a volume at %s that the Compose file does not name", target),
				Fix: "mount a named volume there in the release's Compose file"}
		}
	}
	return found.ID, nil
}

func (c *containerStep) mounts(target string) bool {
	_, tmpfs := c.Spec.Tmpfs[target]
	return tmpfs || slices.ContainsFunc(c.Spec.Mounts, func(m ContainerMount) bool { return m.Target == target })
}
