package images

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"

	"ipivs.com/valtctl/cmd/valtlab/containers"
)

// Camera gives the engine that runs the lab the image of a camera, unless it has it, and
// returns its name.
func (s *Set) Camera(ctx context.Context, engine *containers.Engine) (string, error) {
	sum := sha256.Sum256(s.camera)
	ref := "valtlab/camera:" + hex.EncodeToString(sum[:8])
	have, err := engine.HasImage(ctx, ref)
	if err != nil || have {
		return ref, err
	}
	root, err := containers.Archive([]containers.File{{Path: "/camera", Mode: 0o755, Content: s.camera}})
	if err != nil {
		return "", err
	}
	return ref, engine.Import(ctx, ref, bytes.NewReader(root), `ENTRYPOINT ["/camera"]`)
}
