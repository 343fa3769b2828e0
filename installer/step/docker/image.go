package docker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/docker/docker/api/types/registry"
	"github.com/docker/docker/client"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/sleep"
)

// ImageParams is one image the engine must hold.
type ImageParams struct {
	Name       string       `json:"name"`       // the manifest's name: "web"
	Repository string       `json:"repository"` // with the site's endpoint put in
	Digests    ImageDigests `json:"digests"`
	Size       int64        `json:"size"` // bytes, compressed
	Username   string       `json:"username,omitempty"`
	// PasswordSecret names the registry's password; empty: none is asked for.
	PasswordSecret string `json:"password_secret,omitempty"`
	// Bundle names the secret that tells where the run's bundle answers (Carried); empty:
	// the image comes from its repository.
	Bundle string `json:"bundle,omitempty"`
}

// KindImage names what ImageKind makes.
const KindImage step.KindName = "image"

// ImageKind pulls images by the digest of their manifest and gives each a local tag: without
// one `docker image prune` between fetch and apply takes them away (seen with 20.10).
func ImageKind() step.Kind {
	return step.KindOf(KindImage, step.Reversible, func(p ImageParams) (step.Step, error) {
		if p.Repository == "" || p.Digests.Manifest == "" || p.Digests.Config == "" {
			return nil, fmt.Errorf("checking image %q: a repository, a manifest and a config digest are needed", p.Name)
		}
		return &imageStep{p, &absence{patience: patience}}, nil
	})
}

type imageStep struct {
	ImageParams
	absent *absence // of the bundle
}

// reference is what is pulled: the manifest of one platform, which no registry can answer
// with another platform's image.
func (i *imageStep) reference() string { return i.Repository + "@" + i.Digests.Manifest }

func (i *imageStep) Inspect(ctx context.Context, h *step.Machine) (step.Finding, error) {
	engine, err := h.Docker()
	if err != nil {
		return step.Finding{}, fmt.Errorf("inspecting image %s: %w", i.Name, err)
	}
	found, err := findImage(ctx, h, engine, i.Digests)
	switch {
	case errors.Is(err, errNoImage) || noEngine(err):
		return step.Finding{Change: true, Diff: fmt.Sprintf("+ image %s (%d bytes)\n", i.reference(), i.Size), Fetch: i.Size, Disrupts: step.Nothing}, nil
	case err != nil:
		return step.Finding{}, err
	case !slices.Contains(found.RepoTags, i.tag()):
		return step.Finding{Change: true, Diff: fmt.Sprintf("+ tag %s of image %s\n", i.tag(), found.ID), Disrupts: step.Nothing}, nil
	}
	return step.Finding{Disrupts: step.Nothing}, nil
}

// tag is the local name that keeps the image. It names the content, so it never moves.
func (i *imageStep) tag() string { return i.Repository + i.Digests.tag() }

// tag is the part of our tags that names the content.
func (d ImageDigests) tag() string {
	_, hex, _ := strings.Cut(d.Config, ":")
	return ownTag + hex[:min(tagDigits, len(hex))]
}

// tagDigits is how much of the config's digest a tag of ours has.
const tagDigits = 12

// Apply pulls the image where it is missing, and tags it.
func (i *imageStep) Apply(ctx context.Context, h *step.Machine) error {
	engine, err := h.Docker()
	if err != nil {
		return fmt.Errorf("pulling %s: %w", i.reference(), err)
	}
	found, err := findImage(ctx, h, engine, i.Digests)
	if errors.Is(err, errNoImage) {
		if err := i.fetch(ctx, h, engine); err != nil {
			return err
		}
		found, err = findImage(ctx, h, engine, i.Digests)
	}
	if errors.Is(err, errNoImage) {
		return i.another(err)
	}
	if err != nil {
		return err
	}
	if err := i.prove(ctx, h, engine, found.ID); err != nil {
		return err
	}
	if err := engine.ImageTag(ctx, found.ID, i.tag()); err != nil {
		return fmt.Errorf("tagging %s: %w", i.tag(), err)
	}
	return nil
}

// Undo leaves the image: the release before has its own.
func (s *imageStep) Undo(context.Context, *step.Machine) error { return nil }

// fetch pulls, going on after a broken connection: the engine keeps the layers that
// arrived whole.
func (i *imageStep) fetch(ctx context.Context, h *step.Machine, engine *client.Client) error {
	if err := i.checkSpace(ctx, h, engine); err != nil {
		return err
	}
	var err error
	for attempt := 1; ; attempt++ {
		err = i.pull(ctx, h, engine)
		if err == nil || attempt == pullAttempts || !worthRetrying(err) || i.absent.isTooLong() {
			break
		}
		h.Report(step.Progress{Text: fmt.Sprintf("trying again: %v", err), Total: i.Size})
		if err := sleep.For(ctx, time.Duration(attempt)*pullPause); err != nil {
			return fmt.Errorf("pulling %s: %w", i.reference(), err)
		}
	}
	if err != nil {
		return i.explain(err)
	}
	return nil
}

// A pull is tried so often, with pauses of one, two, … times pullPause between.
const (
	pullAttempts = 5
	pullPause    = 3 * time.Second
)

// pull has the engine pull once: from the repository, or from the bundle that the agent
// carries, which Docker reaches without TLS since it is on loopback.
func (i *imageStep) pull(ctx context.Context, h *step.Machine, engine *client.Client) error {
	if i.Bundle == "" {
		auth, err := i.auth(h)
		if err != nil {
			return err
		}
		return i.pullFrom(ctx, h, engine, i.reference(), auth)
	}
	from, err := serveSteady(func() (step.Carried, error) { return step.ReadCarried(h, i.Bundle) }, func() {
		h.Report(step.Progress{Text: i.Name + " waits for the bundle; if the controller is gone: valtctl resume --bundle FILE", Total: i.Size})
	}, i.absent)
	if err != nil {
		return err
	}
	defer from.Close()
	auth, err := registry.EncodeAuthConfig(registry.AuthConfig{Username: steadyUser, Password: from.Password, ServerAddress: from.Address})
	if err != nil {
		return fmt.Errorf("writing the login of the bundle: %w", err)
	}
	_, name, _ := strings.Cut(i.Repository, "/")
	return i.pullFrom(ctx, h, engine, from.Address+"/"+name+"@"+i.Digests.Manifest, auth)
}

// auth is the login as the engine's API wants it: base64 of JSON in a header.
func (i *imageStep) auth(h *step.Machine) (string, error) {
	if i.PasswordSecret == "" {
		return "", nil
	}
	password, err := h.Secret(i.PasswordSecret)
	if err != nil {
		return "", err
	}
	auth, err := registry.EncodeAuthConfig(registry.AuthConfig{
		Username: i.Username, Password: strings.TrimRight(string(password), "\r\n"), ServerAddress: registryHost(i.Repository),
	})
	if err != nil {
		return "", fmt.Errorf("writing the login of the registry: %w", err)
	}
	return auth, nil
}

// registryHost is the first part of a repository: "docker.ipivs.com".
func registryHost(repository string) string {
	host, _, _ := strings.Cut(repository, "/")
	return host
}

// pullFrom asks the engine for the image and follows it to the end.
func (i *imageStep) pullFrom(ctx context.Context, h *step.Machine, engine *client.Client, from, auth string) error {
	stream, err := engine.ImagePull(ctx, from, image.PullOptions{RegistryAuth: auth})
	if err != nil {
		return fmt.Errorf("asking the engine: %w", err)
	}
	defer stream.Close()
	return i.follow(stream, h.Report)
}

// pullMessage is one line of the engine's answer to a pull.
type pullMessage struct {
	ID       string `json:"id"`
	Status   string `json:"status"`
	Progress struct {
		Current int64 `json:"current"`
		Total   int64 `json:"total"`
	} `json:"progressDetail"`
	Error string `json:"error"`
}

// follow reports the bytes of all layers together and returns the error the engine sent. Once nothing is left to
// come it reports the whole: of layers that are there, or that come fast, an engine tells no bytes, and with the
// containerd store it often tells none at all.
func (i *imageStep) follow(stream io.Reader, report func(step.Progress)) error {
	layers := map[string]int64{}
	var done int64
	for d := json.NewDecoder(stream); ; {
		var m pullMessage
		if err := d.Decode(&m); errors.Is(err, io.EOF) {
			report(step.Progress{Text: i.Name, Done: i.Size, Total: i.Size})
			return nil
		} else if err != nil {
			return fmt.Errorf("reading the engine's answer: %w", err)
		}
		if m.Error != "" {
			return errors.New(m.Error)
		}
		if now := layerBytes(m, layers[m.ID]); now > layers[m.ID] {
			done += now - layers[m.ID]
			layers[m.ID] = now
			report(step.Progress{Text: i.Name, Done: min(done, i.Size), Total: i.Size})
		}
	}
}

// layerBytes is how much of a layer has arrived after a message; extracting counts nothing.
func layerBytes(m pullMessage, before int64) int64 {
	if m.Status == "Downloading" {
		return max(before, m.Progress.Current)
	}
	return before
}

// Unpacked is how many times its compressed size an image needs on the disk: the layers
// as they come, and three times that unpacked, a common ratio for text and programs.
const Unpacked = 4

// checkSpace refuses to begin what would fill the engine's disk.
func (i *imageStep) checkSpace(ctx context.Context, h *step.Machine, engine *client.Client) error {
	info, err := engine.Info(ctx)
	if err != nil {
		return fmt.Errorf("asking the engine where it stores images: %w", err)
	}
	free, err := freeSpace(h.Path(info.DockerRootDir))
	if err != nil {
		return fmt.Errorf("looking at the space of %s: %w", info.DockerRootDir, err)
	}
	if need := i.Size * Unpacked; free < need {
		return &problem.Error{Kind: problem.Check, Doing: "pulling", Object: i.reference(),
			Err: fmt.Errorf("%s has %d bytes free and the image needs about %d", info.DockerRootDir, free, need),
			Fix: "free space there or enlarge the file system, then run the command again"}
	}
	return nil
}
