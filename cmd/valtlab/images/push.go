package images

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

// Registry is where images are pushed to.
type Registry struct {
	Transport http.RoundTripper // reaches the registry under its name
	User      string
	Password  string
}

// Push uploads every image under its version as tag; its digest comes along. What the
// registry has is not sent again.
func (s *Set) Push(ctx context.Context, r Registry) error {
	todo := map[name.Reference]remote.Taggable{}
	for version, images := range s.releases {
		for _, image := range images {
			ref, err := name.NewTag(image.Repository + ":" + version)
			if err != nil {
				return fmt.Errorf("naming image %s: %w", image.Repository, err)
			}
			todo[ref] = image.Image
		}
	}
	err := remote.MultiWrite(todo, remote.WithContext(ctx), remote.WithTransport(r.Transport), remote.WithJobs(2),
		remote.WithAuth(&authn.Basic{Username: r.User, Password: r.Password}))
	if err != nil {
		return fmt.Errorf("pushing images to %s: %w", Prefix, err)
	}
	return nil
}
