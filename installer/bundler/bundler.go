// Package bundler decides what a bundle for a site holds and brings it together: the release
// repository's files as they are, the lists and packages of apt as apt itself solves them,
// the images by digest, and this program for the hosts. What a bundle is on the disk is for
// repos/bundle, and how hosts read it for installer.
package bundler

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/apt"
	"ipivs.com/valtctl/repos/bundle"
	"ipivs.com/valtctl/repos/release"
)

// Options say what a bundle is for.
type Options struct {
	Site    *site.Site
	Version string // of the release; empty: what the site file asks for
	// Have are the full facts of hosts that the bundle is for: packages are solved for what
	// they have, and what all of them have is left out. None: a bare server of each Ubuntu.
	Have     []facts.Facts
	Ubuntu   []string // codenames that packages are solved for without facts
	Keyring  []byte   // of the distribution's archive; empty: the facts', or this machine's
	Password []byte   // the registry's
	HTTP     http.RoundTripper
	Agent    string // file of this program as hosts run it: for Linux
	// Ask is how apt is asked; nil: this machine's own.
	Ask   apt.Asker
	Maker string
	Now   func() time.Time
	Note  func(text string)
}

// Packed is a bundle's contents, and where each blob comes from.
type Packed struct {
	Contents *bundle.Contents
	inline   map[string][]byte
	remote   map[string]func(ctx context.Context, offset int64) (io.ReadCloser, error)
}

// packing is one bundle in the making.
type packing struct {
	Options
	*Packed
	repo      *release.Repository
	manifests []*release.Manifest
	compose   map[string][]byte // by version and role
	has       map[string]bool   // blobs that are listed
}

// Pack finds out all that the bundle must hold, without its large parts: those come when
// the bundle is written.
func Pack(ctx context.Context, o Options) (*Packed, error) {
	p := &packing{Options: o, compose: map[string][]byte{}, has: map[string]bool{},
		Packed: &Packed{Contents: &bundle.Contents{Site: o.Site.ID, Made: o.Now().UTC().Truncate(time.Second), Maker: o.Maker},
			inline: map[string][]byte{}, remote: map[string]func(context.Context, int64) (io.ReadCloser, error){}}}
	for _, part := range []struct {
		note string
		do   func(context.Context) error
	}{{"reading the release repository", p.releases}, {"asking apt which packages are needed", p.packages}, {"this program", p.agent}, {"reading the images' manifests", p.images}} {
		o.Note(part.note)
		if err := part.do(ctx); err != nil {
			return nil, err
		}
	}
	return p.Packed, nil
}

// Source is the bundle.Source of what is packed.
func (p *Packed) Source(ctx context.Context, b bundle.Blob, offset int64) (io.ReadCloser, error) {
	if content, ok := p.inline[b.Digest]; ok {
		return io.NopCloser(strings.NewReader(string(content[min(offset, int64(len(content))):]))), nil
	}
	from, ok := p.remote[b.Digest]
	if !ok {
		return nil, fmt.Errorf("fetching %s: nobody knows where it is", b.Digest)
	}
	return from(ctx, offset)
}

// file adds a small file by its path.
func (p *packing) file(path string, content []byte, media string) {
	sum := sha256.Sum256(content)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	p.Contents.Files = append(p.Contents.Files, bundle.File{Path: path, Digest: digest})
	if p.list(bundle.Blob{Digest: digest, Size: int64(len(content)), MediaType: media}) {
		p.inline[digest] = content
	}
}

// list adds a blob once.
func (p *packing) list(b bundle.Blob) bool {
	if p.has[b.Digest] {
		return false
	}
	p.has[b.Digest] = true
	p.Contents.Blobs = append(p.Contents.Blobs, b)
	return true
}
