package bundle

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
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
	// Sum is of the others and of the list: nobody signs a part's number, and one that a
	// medium changed must not look like another.
	Sum string `json:"sum"`
}

// sum is what Sum must be.
func (p part) sum(contents []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d %d %d %d\n", p.Part, p.Of, p.First, p.Blobs)
	h.Write(contents)
	return hex.EncodeToString(h.Sum(nil))
}

// piece is one file of the tar, and where it lies. It is kept small: a hostile list has
// many.
type piece struct {
	name string // of the first files; a blob's follows from its digest
	data []byte // of the first files; nil: a blob
	blob Blob
	at   int64 // of the header
}

func (p piece) path() string {
	if p.data == nil {
		return blobName(p.blob.Digest)
	}
	return p.name
}

func (p piece) size() int64 {
	if p.data != nil {
		return int64(len(p.data))
	}
	return p.blob.Size
}

// body is where the content begins, and end where the next header does.
func (p piece) body() int64 { return p.at + block }
func (p piece) end() int64  { return p.body() + padded(p.size()) }

func padded(n int64) int64 { return (n + block - 1) / block * block }

// header is the one way in which a name and a size are written: one block. Sizes beyond
// 8 GiB are in GNU's base-256 form, which every reader knows.
func (p piece) header(made time.Time) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	h := &tar.Header{Typeflag: tar.TypeReg, Name: p.path(), Size: p.size(), Mode: 0o644, ModTime: made.Truncate(time.Second), Format: tar.FormatUSTAR}
	if h.Size >= 8<<30 {
		h.Format = tar.FormatGNU
	}
	if err := w.WriteHeader(h); err != nil {
		return nil, fmt.Errorf("writing the header of %s: %w", h.Name, err)
	}
	return out.Bytes(), nil
}

// readEntry reads a header as far as it must be known before the list of contents is: a
// plain file, its name and its size. That every bit of it is as it was written is judged
// when the list is known.
func readEntry(f io.ReaderAt, at int64) (name string, size int64, err error) {
	var h [block]byte
	if _, err := f.ReadAt(h[:], at); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return "", 0, err
	}
	name, _, _ = strings.Cut(string(h[:100]), "\x00") // pax(1), "ustar Interchange Format"
	if h[156] != tar.TypeReg {
		return name, 0, fmt.Errorf("%q is no plain file", name)
	}
	size, err = strconv.ParseInt(strings.TrimRight(string(h[124:136]), "\x00"), 8, 64)
	if err != nil || size < 0 {
		return name, 0, fmt.Errorf("the size of %q is none", name)
	}
	return name, size, nil
}

// blobName is a blob's path in an OCI image layout.
func blobName(digest string) string { return "blobs/sha256/" + strings.TrimPrefix(digest, "sha256:") }

// pieces is the whole file as it must be.
func pieces(c *Contents, text, signature []byte, of *part) ([]piece, error) {
	index, err := c.index()
	if err != nil {
		return nil, err
	}
	blobs, count := c.Blobs, 5+len(c.Blobs)
	all := append(make([]piece, 0, count), piece{name: nameLayout, data: []byte(layout)}, piece{name: nameIndex, data: index},
		piece{name: nameContents, data: text}, piece{name: nameSignature, data: signature})
	if of != nil {
		if of.Part < 1 || of.Of < of.Part || of.First < 0 || of.Blobs < 0 || of.First > len(blobs) || of.Blobs > len(blobs)-of.First {
			return nil, fmt.Errorf("reading %s: part %d of %d with %d blobs from the %dth is none of this bundle's", namePart, of.Part, of.Of, of.Blobs, of.First)
		}
		own := *of
		own.Sum = own.sum(text)
		text, err := json.Marshal(own)
		if err != nil {
			return nil, fmt.Errorf("writing %s: %w", namePart, err)
		}
		all = append(all, piece{name: namePart, data: text})
		blobs = blobs[of.First : of.First+of.Blobs]
	}
	for _, b := range blobs {
		all = append(all, piece{blob: b})
	}
	var at int64
	for i := range all {
		all[i].at = at
		at = all[i].end()
	}
	return all, nil
}

// length is the file's, trailer included.
func length(all []piece) int64 { return all[len(all)-1].end() + trailer }
