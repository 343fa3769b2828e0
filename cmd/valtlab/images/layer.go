package images

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"os"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/partial"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"

	"ipivs.com/valtctl/cmd/valtlab/containers"
)

// blob is a compressed layer whose hashes are known, in memory or in a file.
type blob struct {
	Digested v1.Hash `json:"digest"`
	Diffed   v1.Hash `json:"diffID"` // of the uncompressed tar
	Length   int64   `json:"size"`   // bytes, compressed
	content  []byte
	file     string
}

func (b *blob) Digest() (v1.Hash, error)            { return b.Digested, nil }
func (b *blob) DiffID() (v1.Hash, error)            { return b.Diffed, nil }
func (b *blob) Size() (int64, error)                { return b.Length, nil }
func (b *blob) MediaType() (types.MediaType, error) { return types.OCILayer, nil }
func (b *blob) Compressed() (io.ReadCloser, error) {
	if b.file == "" {
		return io.NopCloser(bytes.NewReader(b.content)), nil
	}
	f, err := os.Open(b.file)
	if err != nil {
		return nil, fmt.Errorf("reading a layer: %w", err)
	}
	return f, nil
}

// layer is the blob as go-containerregistry wants it.
func (b *blob) layer() (v1.Layer, error) {
	layer, err := partial.CompressedToLayer(b)
	if err != nil {
		return nil, fmt.Errorf("making a layer: %w", err)
	}
	return layer, nil
}

// compress writes tar to out as fast gzip allows and returns the hashes of both.
func compress(tar io.Reader, out io.Writer) (*blob, error) {
	packed, plain := &counter{sum: sha256.New()}, sha256.New()
	zip, err := gzip.NewWriterLevel(io.MultiWriter(out, packed), gzip.BestSpeed)
	if err != nil {
		return nil, fmt.Errorf("compressing a layer: %w", err)
	}
	if _, err := io.Copy(io.MultiWriter(zip, plain), tar); err != nil {
		return nil, fmt.Errorf("compressing a layer: %w", err)
	}
	if err := zip.Close(); err != nil {
		return nil, fmt.Errorf("compressing a layer: %w", err)
	}
	return &blob{Digested: hashOf(packed.sum), Diffed: hashOf(plain), Length: packed.n}, nil
}

// counter hashes and counts what is written to it.
type counter struct {
	sum hash.Hash
	n   int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.sum.Write(p)
}

func hashOf(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

// filesLayer is a layer of a few files, the same bytes for the same files.
func filesLayer(files []containers.File) (v1.Layer, error) {
	tar, err := containers.Archive(files)
	if err != nil {
		return nil, err
	}
	var content bytes.Buffer
	b, err := compress(bytes.NewReader(tar), &content)
	if err != nil {
		return nil, err
	}
	b.content = content.Bytes()
	return b.layer()
}
