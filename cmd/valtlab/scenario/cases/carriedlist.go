package cases

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
)

// carriedList is a bundle as somebody sees it who has only its description: a tar with a
// list in it.
type carriedList struct {
	length int64
	list   []byte
	Images []struct {
		Repository, Manifest, Config string
	}
	Files []struct{ Path, Digest string }
	Blobs []struct {
		Digest string
		Size   int64
	}
	Left  []struct{ Digest string }
	small map[string][]byte // blobs that are small, such as manifests
}

// smallBlob is how large a manifest or a config may be, in bytes.
const smallBlob = 1 << 20

func readCarried(name string) (*carriedList, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading the bundle: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading the bundle: %w", err)
	}
	c := &carriedList{length: info.Size(), small: map[string][]byte{}}
	for t := tar.NewReader(f); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("reading the bundle: %w", err)
		}
		if h.Name != "valt/bundle.json" && h.Size > smallBlob {
			continue
		}
		content, err := io.ReadAll(t)
		if err != nil {
			return nil, fmt.Errorf("reading %s of the bundle: %w", h.Name, err)
		}
		if c.small["sha256:"+path.Base(h.Name)] = content; h.Name == "valt/bundle.json" {
			c.list = content
		}
	}
	if err := json.Unmarshal(c.list, c); err != nil {
		return nil, fmt.Errorf("reading the bundle's list: %w", err)
	}
	return c, nil
}

// size is that of a blob that the bundle holds; false: it does not.
func (c *carriedList) size(digest string) (int64, bool) {
	for _, b := range c.Blobs {
		if b.Digest == digest {
			return b.Size, true
		}
	}
	return 0, false
}

// layers are the digests of what an image's layers unpack to, by the digests of those that
// the bundle holds.
func (c *carriedList) layers(manifest, config string) (map[string]string, error) {
	var m struct{ Layers []struct{ Digest string } }
	var unpacked struct {
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		} `json:"rootfs"`
	}
	if err := errors.Join(json.Unmarshal(c.small[manifest], &m), json.Unmarshal(c.small[config], &unpacked)); err != nil {
		return nil, fmt.Errorf("reading the image %s of the bundle: %w", manifest, err)
	}
	if len(m.Layers) != len(unpacked.RootFS.DiffIDs) {
		return nil, fmt.Errorf("reading the image %s of the bundle: %d layers and %d", manifest, len(m.Layers), len(unpacked.RootFS.DiffIDs))
	}
	here := map[string]string{}
	for i, l := range m.Layers {
		if _, ok := c.size(l.Digest); ok {
			here[l.Digest] = unpacked.RootFS.DiffIDs[i]
		}
	}
	return here, nil
}
