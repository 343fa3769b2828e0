// Package images reads images from a registry by digest, for what carries them elsewhere
// (OCI distribution-spec, "Pull"). What it hands over is verified: a manifest by its digest
// at once, blobs by whoever writes them down. Docker engines pull for themselves; they do
// not need this package.
package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	godigest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"ipivs.com/valtctl/repos/problem"
)

// Caps of what is read whole, in bytes (distribution-spec, "Pushing manifests", wants at
// least 4 MiB of a registry).
const (
	maxManifest = 4 << 20
	maxConfig   = 16 << 20
	maxRefusal  = 64 << 10
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

// Repository is one repository of a registry, and who asks there.
type Repository struct {
	name   registry.Reference
	client *auth.Client
}

// Open names a repository, such as docker.ipivs.com/valt/web. The transport decides
// about proxies and authorities. An empty user is nobody. Nothing is asked yet.
func Open(repository, user, password string, through http.RoundTripper) (*Repository, error) {
	named, err := registry.ParseReference(repository)
	if err != nil || named.Reference != "" {
		return nil, fmt.Errorf("reading the image's repository %s: %w", repository, errors.Join(err, bare(named)))
	}
	c := &auth.Client{Client: &http.Client{Transport: through}, Cache: auth.NewCache(), ClientID: "valtctl"}
	if user != "" {
		c.Credential = auth.StaticCredential(named.Host(), auth.Credential{Username: user, Password: password})
	}
	return &Repository{name: named, client: c}, nil
}

func bare(named registry.Reference) error {
	if named.Reference == "" {
		return nil
	}
	return fmt.Errorf("%s is a tag or a digest, and belongs to no repository's name", named.Reference)
}

// scheme is http for a registry on this machine alone: a password goes to any other over TLS.
func (r *Repository) scheme() string {
	host, _, err := net.SplitHostPort(r.name.Host())
	if err != nil {
		host = r.name.Host()
	}
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsLoopback() {
		return "http"
	}
	return "https"
}

// Image reads the manifest with a digest, and the config that it names. Bytes that do not
// have their digest are a problem of kind Trust.
func (r *Repository) Image(ctx context.Context, digest string) (*Image, error) {
	text, media, err := r.small(ctx, "manifests", digest, maxManifest)
	if err != nil {
		return nil, err
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(text, &m); err != nil {
		return nil, fmt.Errorf("reading the manifest %s of %s: %w", digest, r.name, err)
	}
	if m.MediaType != "" {
		media = m.MediaType
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

func blobOf(d ocispec.Descriptor) Blob {
	return Blob{Digest: d.Digest.String(), Size: d.Size, MediaType: d.MediaType}
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
	if sum := godigest.FromBytes(text); sum.String() != digest || int64(len(text)) > most {
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
	url := fmt.Sprintf("%s://%s/v2/%s/%s/%s", r.scheme(), r.name.Host(), r.name.Repository, kind, digest)
	ctx = auth.AppendRepositoryScope(ctx, r.name, auth.ActionPull)
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("asking for %s: %w", url, err)
	}
	if kind == "manifests" {
		q.Header.Set("Accept", strings.Join([]string{ocispec.MediaTypeImageManifest, "application/vnd.docker.distribution.manifest.v2+json"}, ", "))
	}
	if within != "" {
		q.Header.Set("Range", within)
	}
	reply, err := r.client.Do(q)
	if err != nil {
		return nil, explain(r.name.String(), err)
	}
	if reply.StatusCode != http.StatusOK && reply.StatusCode != http.StatusPartialContent {
		return nil, errors.Join(explain(r.name.String()+"@"+digest, refusal(reply)), reply.Body.Close())
	}
	return reply, nil
}

// refusal is what a registry says instead of sending something (distribution-spec, "Error Codes").
func refusal(reply *http.Response) error {
	var said struct {
		Errors errcode.Errors `json:"errors"`
	}
	if text, err := io.ReadAll(io.LimitReader(reply.Body, maxRefusal)); err == nil {
		_ = json.Unmarshal(text, &said) // a proxy's page is no registry's answer; the status tells then
	}
	asked := *reply.Request.URL
	asked.RawQuery = "" // where a registry sends on to a store, this is as good as a password
	return &errcode.ErrorResponse{Method: reply.Request.Method, URL: &asked, StatusCode: reply.StatusCode, Errors: said.Errors}
}

// explain says what to do about a registry's refusal.
func explain(object string, err error) error {
	fix := "check that this machine reaches the registry; valtctl check network says what stands in the way"
	if e := (*errcode.ErrorResponse)(nil); errors.As(err, &e) {
		switch e.StatusCode {
		case http.StatusUnauthorized, http.StatusForbidden:
			fix = "check the registry's user name and password in the site file: registry"
		case http.StatusNotFound:
			fix = "the registry does not have what the release names; tell the vendor"
		}
	}
	if errors.Is(err, auth.ErrBasicCredentialNotFound) {
		fix = "the registry wants a user name and a password: registry in the site file"
	}
	return &problem.Error{Kind: problem.Failed, Doing: "reading", Object: object, Err: err, Fix: fix}
}
