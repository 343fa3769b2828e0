// Package images reads images from a registry by digest, for what carries them elsewhere
// (OCI distribution-spec, "Pull"). What it hands over is verified: a manifest by its digest
// at once, blobs by whoever writes them down. Docker engines pull for themselves; they do
// not need this package.
package images

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"ipivs.com/valtctl/repos/problem"
)

// Caps of what is read whole, in bytes (distribution-spec, "Pushing manifests", wants at
// least 4 MiB of a registry).
const (
	maxManifest = 4 << 20
	maxConfig   = 16 << 20
)

// Blob is one piece of an image. Size is in bytes.
type Blob struct {
	Digest    string
	Size      int64
	MediaType string
	DiffID    string // of a layer: the digest of what it unpacks to
}

// Image is one platform's image as a registry has it.
type Image struct {
	Manifest Blob
	Raw      []byte // the manifest
	Config   Blob
	Layers   []Blob // the lowest first
}

// Repository is one repository of a registry, logged in to.
type Repository struct {
	name   name.Repository
	client *http.Client
}

// Open logs in to a repository, such as docker.ipivs.com/valt/web. The transport decides
// about proxies and authorities. An empty user is nobody.
func Open(ctx context.Context, repository, user, password string, through http.RoundTripper) (*Repository, error) {
	named, err := name.NewRepository(repository)
	if err != nil {
		return nil, fmt.Errorf("reading the image's repository: %w", err)
	}
	auth := authn.Anonymous
	if user != "" {
		auth = &authn.Basic{Username: user, Password: password}
	}
	t, err := transport.NewWithContext(ctx, named.Registry, auth, through, []string{named.Scope(transport.PullScope)})
	if err != nil {
		return nil, explain(repository, err)
	}
	return &Repository{name: named, client: &http.Client{Transport: t}}, nil
}

// Image reads the manifest with a digest, and the config that it names. Bytes that do not
// have their digest are a problem of kind Trust.
func (r *Repository) Image(ctx context.Context, digest string) (*Image, error) {
	text, media, err := r.small(ctx, "manifests", digest, maxManifest)
	if err != nil {
		return nil, err
	}
	m, err := v1.ParseManifest(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("reading the manifest %s of %s: %w", digest, r.name, err)
	}
	if m.MediaType != "" {
		media = string(m.MediaType)
	}
	image := &Image{Manifest: Blob{Digest: digest, Size: int64(len(text)), MediaType: media}, Raw: text, Config: blobOf(m.Config)}
	config, _, err := r.small(ctx, "blobs", m.Config.Digest.String(), maxConfig)
	if err != nil {
		return nil, err
	}
	var unpacked struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := json.Unmarshal(config, &unpacked); err != nil || len(unpacked.RootFS.DiffIDs) != len(m.Layers) {
		return nil, fmt.Errorf("reading the config %s of %s: it has %d layers and its manifest %d (%w)",
			m.Config.Digest, r.name, len(unpacked.RootFS.DiffIDs), len(m.Layers), err)
	}
	for i, l := range m.Layers {
		b := blobOf(l)
		b.DiffID = unpacked.RootFS.DiffIDs[i]
		image.Layers = append(image.Layers, b)
	}
	return image, nil
}

func blobOf(d v1.Descriptor) Blob {
	return Blob{Digest: d.Digest.String(), Size: d.Size, MediaType: string(d.MediaType)}
}

// small reads something whole and verifies it.
func (r *Repository) small(ctx context.Context, kind, digest string, most int64) ([]byte, string, error) {
	reply, err := r.get(ctx, kind, digest, "")
	if err != nil {
		return nil, "", err
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(io.LimitReader(reply.Body, most+1))
	if err != nil {
		return nil, "", explain(r.name.String(), err)
	}
	sum, _, err := v1.SHA256(bytes.NewReader(text))
	if err != nil {
		return nil, "", fmt.Errorf("hashing %s: %w", digest, err)
	}
	if sum.String() != digest || int64(len(text)) > most {
		return nil, "", &problem.Error{Kind: problem.Trust, Doing: "verifying", Object: r.name.String() + "@" + digest,
			Err: fmt.Errorf("what came has the digest %s", sum), Fix: "the registry sends something else than what the release was signed with; tell the vendor"}
	}
	return text, reply.Header.Get("Content-Type"), nil
}

// Blob opens a blob of a size from an offset on, unverified.
func (r *Repository) Blob(ctx context.Context, digest string, size, offset int64) (io.ReadCloser, error) {
	within := ""
	if offset > 0 {
		within = fmt.Sprintf("bytes=%d-%d", offset, size-1) // not every registry knows one without an end
	}
	reply, err := r.get(ctx, "blobs", digest, within)
	if err != nil {
		return nil, err
	}
	if offset > 0 && reply.StatusCode == http.StatusOK { // a registry without ranges
		if _, err := io.CopyN(io.Discard, reply.Body, offset); err != nil {
			return nil, errors.Join(explain(r.name.String(), err), reply.Body.Close())
		}
	}
	return reply.Body, nil
}

func (r *Repository) get(ctx context.Context, kind, digest, within string) (*http.Response, error) {
	url := fmt.Sprintf("%s://%s/v2/%s/%s/%s", r.name.Scheme(), r.name.RegistryStr(), r.name.RepositoryStr(), kind, digest)
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("asking for %s: %w", url, err)
	}
	if kind == "manifests" {
		q.Header.Set("Accept", strings.Join([]string{"application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"}, ", "))
	}
	if within != "" {
		q.Header.Set("Range", within)
	}
	reply, err := r.client.Do(q)
	if err != nil {
		return nil, explain(r.name.String(), err)
	}
	if err := transport.CheckError(reply, http.StatusOK, http.StatusPartialContent); err != nil {
		return nil, errors.Join(explain(r.name.String()+"@"+digest, err), reply.Body.Close())
	}
	return reply, nil
}

// explain says what to do about a registry's refusal.
func explain(object string, err error) error {
	fix := "check that this machine reaches the registry; valtctl check network says what stands in the way"
	if e := (*transport.Error)(nil); errors.As(err, &e) {
		switch e.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			fix = "check the registry's user name and password in the site file: registry"
		case http.StatusNotFound:
			fix = "the registry does not have what the release names; tell the vendor"
		}
	}
	return &problem.Error{Kind: problem.Failed, Doing: "reading", Object: object, Err: err, Fix: fix}
}
