package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/docker/docker/client"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"ipivs.com/valtctl/cmd/valtlab/containers"
)

// Load gives an engine one image directly, without a registry, and returns the name it
// has there, which no registry has.
func (i Image) Load(ctx context.Context, engine *containers.Engine) (string, error) {
	digest, err := i.Digest()
	if err != nil {
		return "", fmt.Errorf("loading %s: %w", i.Repository, err)
	}
	tag, err := name.NewTag("valtlab/" + path.Base(i.Repository) + ":" + digest.Hex[:16])
	if err != nil {
		return "", fmt.Errorf("loading %s: %w", i.Repository, err)
	}
	ref := "valtlab/" + path.Base(i.Repository) + ":" + tag.TagStr()
	have, err := engine.HasImage(ctx, ref)
	if err != nil || have {
		return ref, err
	}
	reader, writer := io.Pipe()
	defer reader.Close()
	go func() { writer.CloseWithError(tarball.Write(tag, i.Image, writer)) }()
	answer, err := engine.API().ImageLoad(ctx, reader, client.ImageLoadWithQuiet(true))
	if err != nil {
		return "", fmt.Errorf("loading %s: %w", i.Repository, err)
	}
	_, err = io.Copy(io.Discard, answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return "", fmt.Errorf("loading %s: %w", i.Repository, err)
	}
	// The engine tells a broken image in the text of its answer: look instead.
	if have, err = engine.HasImage(ctx, ref); err == nil && !have {
		err = fmt.Errorf("loading %s: the engine did not take it", i.Repository)
	}
	return ref, err
}
