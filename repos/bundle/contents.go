package bundle

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Schema names the format of Contents.
const Schema = "valtctl/bundle/v1"

// The media types of what is not an image's.
const (
	MediaFile = "application/octet-stream"
	MediaDeb  = "application/vnd.debian.binary-package"
)

// Contents is what a bundle holds: the signed file valt/bundle.json.
type Contents struct {
	Schema  string    `json:"schema"`
	Release string    `json:"release"`        // the newest of it
	Site    string    `json:"site,omitempty"` // that it was made for
	Made    time.Time `json:"made"`           // metadata is judged at this time
	Maker   string    `json:"maker"`
	Ubuntu  []string  `json:"ubuntu"`            // releases that its packages were solved for, as VERSION_ID
	Also    []string  `json:"also,omitempty"`    // releases on the way to Release
	From    string    `json:"from,omitempty"`    // the versions it updates from, as the release's manifest
	Expires []Expiry  `json:"expires,omitempty"` // soonest first

	Images []Image `json:"images"`
	Files  []File  `json:"files"`
	Blobs  []Blob  `json:"blobs"`          // in the order they lie in the file
	Left   []Blob  `json:"left,omitempty"` // that the hosts it was made for have already
}

// Image is one image of one platform.
type Image struct {
	Repository string `json:"repository"` // docker.ipivs.com/valt/web
	Release    string `json:"release"`
	Platform   string `json:"platform"` // linux/amd64
	Manifest   string `json:"manifest"` // digests
	Config     string `json:"config"`
}

// File is a blob by a name: "tuf/metadata/1.root.json", "apt/vendor/dists/…/InRelease".
type File struct {
	Path   string `json:"path"`
	Digest string `json:"digest"`
}

// Blob is one piece of the bundle. Size is in bytes.
type Blob struct {
	Digest    string `json:"digest"` // "sha256:<hex>"
	Size      int64  `json:"size"`
	MediaType string `json:"media_type"`
}

// Expiry is what becomes too old for new hosts some day.
type Expiry struct {
	What string    `json:"what"`
	At   time.Time `json:"at"`
}

// The caps of a list of contents, so that reading one takes little memory whoever wrote it:
// bytes, things in it, commas, of which there are fewer than four a thing, and the bytes of
// one word, which errors repeat.
const (
	maxContents = 16 << 20
	maxBlobs    = 50_000
	maxCommas   = 4 * maxBlobs
	maxWord     = 4 << 10
	maxImages   = 1000
	maxIndex    = 1 << 20 // bytes of index.json
	maxBlobSize = 64 << 30
)

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// parse reads and judges a list of contents whose signature has been verified.
func parse(text []byte) (*Contents, error) {
	if n := bytes.Count(text, []byte(",")); n > maxCommas {
		return nil, fmt.Errorf("reading the list of contents: it names more than %d things", maxBlobs)
	}
	for word := range bytes.SplitSeq(text, []byte(`"`)) {
		if len(word) > maxWord {
			return nil, fmt.Errorf("reading the list of contents: a word in it has %d bytes", len(word))
		}
	}
	var c Contents
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return nil, fmt.Errorf("reading the list of contents: %.200s", err) // it quotes what it did not know
	}
	return &c, c.check()
}

// check wants every name to stay in its folder, and everything named to be listed once.
func (c *Contents) check() error {
	if c.Schema != Schema {
		return fmt.Errorf("reading the list of contents: its schema is %.80q, and this valtctl reads %q", c.Schema, Schema)
	}
	if len(c.Blobs)+len(c.Left)+len(c.Files)+len(c.Images) > maxBlobs || len(c.Images) > maxImages {
		return fmt.Errorf("reading the list of contents: it names more than %d things, or more than %d images", maxBlobs, maxImages)
	}
	if c.Release == "" || c.Made.IsZero() {
		return fmt.Errorf("reading the list of contents: it has no release or no date")
	}
	known := map[string]bool{}
	for _, b := range slices.Concat(c.Blobs, c.Left) {
		if !digestForm.MatchString(b.Digest) || b.Size < 0 || b.Size > maxBlobSize {
			return fmt.Errorf("reading the list of contents: the blob %.80q of %d bytes is none", b.Digest, b.Size)
		}
		if known[b.Digest] {
			return fmt.Errorf("reading the list of contents: blob %s is listed twice", b.Digest)
		}
		known[b.Digest] = true
	}
	names := map[string]bool{}
	for _, f := range c.Files {
		if err := checkPath(f.Path); err != nil {
			return err
		}
		if !known[f.Digest] || names[f.Path] {
			return fmt.Errorf("reading the list of contents: the file %.200q is listed twice or its blob %.80q is not", f.Path, f.Digest)
		}
		names[f.Path] = true
	}
	for _, i := range c.Images {
		if !known[i.Manifest] || !known[i.Config] {
			return fmt.Errorf("reading the list of contents: the image %.200q has blobs that are not listed", i.Repository)
		}
	}
	return nil
}

// checkPath refuses a path that is not below the bundle's own names.
func checkPath(p string) error {
	root, _, _ := strings.Cut(p, "/")
	if p != path.Clean(p) || path.IsAbs(p) || !slices.Contains([]string{"tuf", "apt", "agent"}, root) || strings.ContainsAny(p, "\\\x00\n") {
		return fmt.Errorf("reading the list of contents: %.200q is no path of a file in a bundle", p)
	}
	return nil
}

// Blob is what is listed of a digest, here or left out.
func (c *Contents) Blob(digest string) (b Blob, here, known bool) {
	for _, b := range c.Blobs {
		if b.Digest == digest {
			return b, true, true
		}
	}
	for _, b := range c.Left {
		if b.Digest == digest {
			return b, false, true
		}
	}
	return Blob{}, false, false
}

// Size is what the blobs weigh together, in bytes.
func (c *Contents) Size() int64 {
	var n int64
	for _, b := range c.Blobs {
		n += b.Size
	}
	return n
}

// layout is the constant file of an OCI image layout (image-spec, image-layout.md).
const layout = `{"imageLayoutVersion":"1.0.0"}`

// index is index.json: the images for everybody else's tools.
func (c *Contents) index() ([]byte, error) {
	type descriptor struct {
		MediaType   string            `json:"mediaType"`
		Digest      string            `json:"digest"`
		Size        int64             `json:"size"`
		Platform    map[string]string `json:"platform,omitempty"`
		Annotations map[string]string `json:"annotations,omitempty"`
	}
	out := struct {
		SchemaVersion int          `json:"schemaVersion"`
		MediaType     string       `json:"mediaType"`
		Manifests     []descriptor `json:"manifests"`
	}{2, "application/vnd.oci.image.index.v1+json", []descriptor{}}
	for _, i := range c.Images {
		b, here, _ := c.Blob(i.Manifest)
		if !here {
			continue
		}
		os, arch, _ := strings.Cut(i.Platform, "/")
		out.Manifests = append(out.Manifests, descriptor{b.MediaType, b.Digest, b.Size, map[string]string{"os": os, "architecture": arch},
			map[string]string{"org.opencontainers.image.ref.name": path.Base(i.Repository) + ":" + i.Release}})
	}
	text, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("writing index.json: %w", err)
	}
	return text, nil
}
