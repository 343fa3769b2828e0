package bundle

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// The names of the first files, in their order.
const (
	nameLayout    = "oci-layout"
	nameIndex     = "index.json"
	nameContents  = "valt/bundle.json"
	nameSignature = nameContents + ".sig"
	namePart      = "valt/part.json"
)

// block is a tar's (pax(1)); trailer ends one.
const (
	block   = 512
	trailer = 2 * block
)

// part says which blobs of the list a file holds.
type part struct {
	Part  int `json:"part"` // from 1
	Of    int `json:"of"`
	First int `json:"first"` // of Contents.Blobs
	Blobs int `json:"blobs"`
}

// piece is one file of the tar: its header as it must be, and where it lies.
type piece struct {
	name   string
	header []byte
	data   []byte // of the first files; nil: a blob
	blob   Blob
	at     int64 // of the header
}

func (p piece) size() int64 {
	if p.data != nil {
		return int64(len(p.data))
	}
	return p.blob.Size
}

// body is where the content begins, and end where the next header does.
func (p piece) body() int64 { return p.at + int64(len(p.header)) }
func (p piece) end() int64  { return p.body() + padded(p.size()) }

func padded(n int64) int64 { return (n + block - 1) / block * block }

// header is the one way in which a name and a size are written. Sizes beyond 8 GiB are in
// GNU's base-256 form, which every reader knows.
func header(name string, size int64, made time.Time) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: made.Truncate(time.Second), Format: tar.FormatUSTAR}
	if size >= 8<<30 {
		h.Format = tar.FormatGNU
	}
	if err := w.WriteHeader(h); err != nil {
		return nil, fmt.Errorf("writing the header of %s: %w", name, err)
	}
	return out.Bytes(), nil
}

// blobName is a blob's path in an OCI image layout.
func blobName(digest string) string { return "blobs/sha256/" + strings.TrimPrefix(digest, "sha256:") }

// pieces is the whole file as it must be.
func pieces(c *Contents, text, signature []byte, of *part) ([]piece, error) {
	index, err := c.index()
	if err != nil {
		return nil, err
	}
	all := []piece{{name: nameLayout, data: []byte(layout)}, {name: nameIndex, data: index},
		{name: nameContents, data: text}, {name: nameSignature, data: signature}}
	blobs := c.Blobs
	if of != nil {
		if of.Part < 1 || of.Of < of.Part || of.First < 0 || of.Blobs < 0 || of.First > len(blobs) || of.Blobs > len(blobs)-of.First {
			return nil, fmt.Errorf("reading %s: part %d of %d with %d blobs from the %dth is none of this bundle's", namePart, of.Part, of.Of, of.Blobs, of.First)
		}
		text, err := json.Marshal(of)
		if err != nil {
			return nil, fmt.Errorf("writing %s: %w", namePart, err)
		}
		all = append(all, piece{name: namePart, data: text})
		blobs = blobs[of.First : of.First+of.Blobs]
	}
	for _, b := range blobs {
		all = append(all, piece{name: blobName(b.Digest), blob: b})
	}
	var at int64
	for i := range all {
		if all[i].header, err = header(all[i].name, all[i].size(), c.Made); err != nil {
			return nil, err
		}
		all[i].at = at
		at = all[i].end()
	}
	return all, nil
}

// length is the file's, trailer included.
func length(all []piece) int64 { return all[len(all)-1].end() + trailer }
