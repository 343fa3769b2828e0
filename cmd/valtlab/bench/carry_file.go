package bench

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/repos/bundle"
)

// What is carried in the measurements of files: as much as two releases' images have, in
// layers and packages of common sizes.
const (
	carryLayers    = 8
	carryLayerSize = 120 << 20
	carryDebs      = 200
	carryDebSize   = 300 << 10
	carryRuns      = 5
)

// shelf is a local mirror: a folder of blobs, and the web server in front of it.
type shelf struct {
	dir      string
	address  string
	contents *bundle.Contents
	server   *http.Server
}

// newShelf fills a mirror with blobs that nobody can pack.
func newShelf(dir string, now time.Time) (*shelf, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making a mirror: %w", err)
	}
	s := &shelf{dir: dir, contents: &bundle.Contents{Release: "6.4.2", Made: now.UTC().Truncate(time.Second), Maker: "bench"}}
	add := func(n int, media string) error {
		content := make([]byte, n)
		_, _ = rand.Read(content) // never fails (crypto/rand)
		sum := sha256.Sum256(content)
		name := hex.EncodeToString(sum[:])
		s.contents.Blobs = append(s.contents.Blobs, bundle.Blob{Digest: "sha256:" + name, Size: int64(n), MediaType: media})
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return fmt.Errorf("making a mirror: %w", err)
		}
		return nil
	}
	for range carryLayers {
		if err := add(carryLayerSize, "application/vnd.oci.image.layer.v1.tar+gzip"); err != nil {
			return nil, err
		}
	}
	for range carryDebs {
		if err := add(carryDebSize, bundle.MediaDeb); err != nil {
			return nil, err
		}
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("making a mirror: %w", err)
	}
	s.address = "http://" + l.Addr().String() + "/"
	s.server = &http.Server{Handler: http.FileServer(http.Dir(dir)), ReadHeaderTimeout: time.Minute}
	go func() { _ = s.server.Serve(l) }() // it ends with Close
	return s, nil
}

// source is a bundle.Source of the mirror, over HTTP.
func (s *shelf) source(ctx context.Context, b bundle.Blob, offset int64) (io.ReadCloser, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, s.address+b.Digest[len("sha256:"):], nil)
	if err != nil {
		return nil, fmt.Errorf("asking the mirror: %w", err)
	}
	if offset > 0 {
		q.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	reply, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, fmt.Errorf("asking the mirror: %w", err)
	}
	return reply.Body, nil
}

// copied copies and hashes the same bytes into one file, and has them on the disk: the
// least that anybody must do.
func (s *shelf) copied(to string) (err error) {
	out, err := os.Create(to)
	if err != nil {
		return fmt.Errorf("copying: %w", err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	for _, b := range s.contents.Blobs {
		if err := s.copyOne(out, b); err != nil {
			return fmt.Errorf("copying: %w", err)
		}
	}
	return out.Sync()
}

func (s *shelf) copyOne(out io.Writer, b bundle.Blob) error {
	in, err := os.Open(filepath.Join(s.dir, b.Digest[len("sha256:"):]))
	if err != nil {
		return err
	}
	defer in.Close()
	sum := sha256.New()
	if _, err := io.CopyBuffer(io.MultiWriter(out, sum), struct{ io.Reader }{in}, make([]byte, 256<<10)); err != nil {
		return err
	}
	if got := "sha256:" + hex.EncodeToString(sum.Sum(nil)); got != b.Digest {
		return fmt.Errorf("%s has the digest %s", b.Digest, got)
	}
	return nil
}

// files is what was measured of files: the median of each.
type files struct {
	bytes                      int64
	openssl, verify, verifyAll time.Duration // with one processor, with one, with all
	create, copied             time.Duration
}

// carryFiles measures making and verifying, each in turns with what it is compared with.
func (b *bench) carryFiles(ctx context.Context, key string) (f files, err error) {
	signer, err := readSigner(key)
	if err != nil {
		return f, err
	}
	s, err := newShelf(filepath.Join(b.work, "mirror"), b.Now())
	if err != nil {
		return f, err
	}
	defer s.server.Close()
	name, plain, signers := filepath.Join(b.work, "bench.bundle"), filepath.Join(b.work, "copied"), filepath.Join(b.work, "signers")
	if err := os.WriteFile(signers, bytes.TrimSpace(ssh.MarshalAuthorizedKey(signer.PublicKey())), 0o600); err != nil {
		return f, fmt.Errorf("writing the signers: %w", err)
	}
	var creates, copies, opensslTook, one, all []time.Duration
	for range carryRuns {
		took, err := b.timed(name, func() error {
			_, err := bundle.Create(ctx, name, s.contents, signer, s.source, nil)
			return err
		})
		if err != nil {
			return f, err
		}
		creates = append(creates, took)
		if took, err = b.timed(plain, func() error { return s.copied(plain) }); err != nil {
			return f, err
		}
		copies = append(copies, took)
	}
	for range carryRuns {
		for _, x := range []struct {
			took *[]time.Duration
			env  []string
			argv []string
		}{
			{&opensslTook, nil, []string{"taskset", "-c", "0", "openssl", "dgst", "-sha256", name}},
			{&one, []string{"GOMAXPROCS=1"}, []string{"taskset", "-c", "0", b.Valtctl, "bundle", "verify", "--signers", signers, name}},
			{&all, nil, []string{b.Valtctl, "bundle", "verify", "--signers", signers, name}},
		} {
			_, took, err := b.command(ctx, x.env, x.argv...)
			if err != nil {
				return f, err
			}
			*x.took = append(*x.took, took)
		}
	}
	return files{bytes: s.contents.Size(), openssl: median(opensslTook), verify: median(one), verifyAll: median(all), create: median(creates), copied: median(copies)}, nil
}

// timed runs what makes a file anew.
func (b *bench) timed(file string, run func() error) (time.Duration, error) {
	if err := os.Remove(file); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("making room: %w", err)
	}
	start := b.Now()
	err := run()
	return b.Now().Sub(start), err
}

func readSigner(name string) (ssh.Signer, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("reading the key: %w", err)
	}
	return key, nil
}
