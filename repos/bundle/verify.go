package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// chunk is how much is read at once: large enough that the system calls vanish beside the
// hash, small enough to stay in a processor's cache.
const chunk = 256 << 10

// mostNamed is how many damaged blobs are named.
const mostNamed = 20

func newHash() hash.Hash { return sha256.New() }

// verified hashes a blob as it goes by.
type verified struct {
	r      io.Reader
	digest string
	left   int64
	hash   hash.Hash
}

func (v *verified) Read(p []byte) (int, error) {
	if v.left == 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > v.left {
		p = p[:v.left]
	}
	n, err := v.r.Read(p)
	v.hash.Write(p[:n])
	v.left -= int64(n)
	if v.left > 0 {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return n, err
	}
	// The last bytes are handed over only with what they complete.
	if got := "sha256:" + hex.EncodeToString(v.hash.Sum(nil)); got != v.digest {
		return 0, trust("blob "+v.digest, fmt.Errorf("its bytes have the digest %s", got))
	}
	return n, nil
}

// Verify hashes every blob of the files that are open, several at once, and tells how many
// bytes are done. Its error names the blobs that are not what was signed, or as many of
// them as somebody would read.
func (r *Reader) Verify(ctx context.Context, progress func(done, total int64)) error {
	var todo []place
	var total int64
	for _, one := range r.parts {
		for i := range one.pieces {
			if p := &one.pieces[i]; p.data == nil {
				todo = append(todo, place{one, p})
				total += p.size()
			}
		}
	}
	var done atomic.Int64
	var mu sync.Mutex
	var damaged []error
	found := 0
	var g errgroup.Group
	next := make(chan place)
	for range runtime.GOMAXPROCS(0) {
		g.Go(func() error {
			buffer := make([]byte, chunk)
			for p := range next {
				err := p.verify(ctx, buffer, func(n int) {
					now := done.Add(int64(n))
					if progress != nil {
						progress(now, total)
					}
				})
				if err != nil {
					mu.Lock()
					if found++; found <= mostNamed {
						damaged = append(damaged, about(p.in.name, err))
					}
					mu.Unlock()
				}
			}
			return nil
		})
	}
	for _, p := range todo {
		if ctx.Err() != nil {
			break
		}
		next <- p
	}
	close(next)
	_ = g.Wait() // they return nothing
	if ctx.Err() != nil {
		return fmt.Errorf("verifying the bundle: %w", context.Cause(ctx))
	}
	if found > mostNamed {
		damaged = append(damaged, trust("the bundle", fmt.Errorf("%d more blobs are not what was signed", found-mostNamed)))
	}
	return errors.Join(damaged...)
}

// verify hashes one blob, and wants nothing between it and the next header.
func (p place) verify(ctx context.Context, buffer []byte, read func(n int)) error {
	sum := newHash()
	for at, left := p.piece.body(), p.piece.size(); left > 0 && ctx.Err() == nil; {
		n := min(left, int64(len(buffer)))
		if _, err := p.in.f.ReadAt(buffer[:n], at); err != nil {
			return fmt.Errorf("reading blob %s: %w", p.piece.blob.Digest, err)
		}
		sum.Write(buffer[:n])
		at, left = at+n, left-n
		read(int(n))
	}
	if ctx.Err() != nil {
		return nil
	}
	if got := "sha256:" + hex.EncodeToString(sum.Sum(nil)); got != p.piece.blob.Digest {
		return trust("blob "+p.piece.blob.Digest, fmt.Errorf("its bytes have the digest %s", got))
	}
	rest := buffer[:padded(p.piece.size())-p.piece.size()]
	if _, err := p.in.f.ReadAt(rest, p.piece.body()+p.piece.size()); err != nil {
		return fmt.Errorf("reading after blob %s: %w", p.piece.blob.Digest, err)
	}
	if !bytes.Equal(rest, make([]byte, len(rest))) {
		return trust("blob "+p.piece.blob.Digest, errors.New("what fills the space after it is not as it was written"))
	}
	return nil
}
