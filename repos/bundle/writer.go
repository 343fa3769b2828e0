package bundle

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/repos/problem"
)

// Source gives a blob's bytes, from the one at offset on.
type Source func(ctx context.Context, b Blob, offset int64) (io.ReadCloser, error)

// unfinished is put after the name of a bundle that is being written.
const unfinished = ".partial"

// Create writes a bundle of the contents, signed with a key, and gives it its name when all
// of it is on the disk. Every blob is read once, hashed as it is written, and must be what
// the list says. A file that an earlier run left unfinished is gone on with, where it ends,
// if it is of the same contents; resumed is how many bytes that saved. The contents' time is
// then the earlier run's.
func Create(ctx context.Context, name string, c *Contents, key ssh.Signer, from Source, progress func(done, total int64)) (resumed int64, err error) {
	w, err := begin(name+unfinished, c, key)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, w.f.Close()) }()
	w.progress = progress
	if resumed, err = w.resume(ctx); err != nil {
		return 0, err
	}
	for _, p := range w.pieces {
		if p.end() <= w.at {
			continue
		}
		if err := w.put(ctx, p, from); err != nil {
			return resumed, err
		}
	}
	if err := w.finish(); err != nil {
		return resumed, err
	}
	if err := os.Rename(name+unfinished, name); err != nil {
		return resumed, fmt.Errorf("naming the bundle: %w", err)
	}
	return resumed, syncFolder(filepath.Dir(name))
}

// writer is a bundle that is being written.
type writer struct {
	f        *os.File
	pieces   []piece
	made     time.Time
	at       int64 // what lies before it is whole
	kept     int64 // up to there an earlier run has written; below at: nothing more
	progress func(done, total int64)
	buffer   []byte
}

// begin opens the unfinished file. Where it already has these contents, they stay with
// their time and signature.
func begin(name string, c *Contents, key ssh.Signer) (*writer, error) {
	c.Schema = Schema
	if err := c.check(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("writing the bundle: %w", err)
	}
	w := &writer{f: f, made: c.Made, buffer: make([]byte, chunk)}
	if w.pieces = earlier(f, c, key); w.pieces != nil {
		w.at, w.made = w.pieces[3].end(), c.Made
		return w, nil
	}
	text, err := json.Marshal(c)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("writing the list of contents: %w", err), f.Close())
	}
	signature, err := sign(text, key)
	if err == nil {
		w.pieces, err = pieces(c, text, signature, nil)
	}
	if err == nil {
		err = f.Truncate(0)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return w, nil
}

// earlier is what an unfinished file is of, if but for its time it is of these contents.
func earlier(f *os.File, c *Contents, key ssh.Signer) []piece {
	h, err := readHead(f)
	if err != nil || h.part != nil {
		return nil
	}
	if _, err := verifySignature(h.contents, h.signature, []ssh.PublicKey{key.PublicKey()}); err != nil {
		return nil
	}
	was, err := parse(h.contents)
	if err != nil {
		return nil
	}
	now := *c
	now.Made = was.Made
	text, err := json.Marshal(&now)
	if err != nil || !bytes.Equal(text, h.contents) {
		return nil
	}
	all, err := pieces(was, h.contents, h.signature, nil)
	if err != nil {
		return nil
	}
	c.Made = was.Made
	return all
}

// resume finds how far the file is whole: its blobs are hashed, since a power cut may
// have left holes.
func (w *writer) resume(ctx context.Context) (int64, error) {
	info, err := w.f.Stat()
	if err != nil {
		return 0, fmt.Errorf("writing the bundle: %w", err)
	}
	if w.at == 0 {
		return 0, nil
	}
	one := &file{name: w.f.Name(), f: w.f}
	for i := range w.pieces {
		p := &w.pieces[i]
		if p.data != nil {
			continue
		}
		whole := p.end() <= info.Size() && w.headed(*p) && place{one, p}.verify(ctx, w.buffer, func(int) {}) == nil
		if ctx.Err() != nil {
			return 0, fmt.Errorf("writing the bundle: %w", context.Cause(ctx))
		}
		if !whole {
			break
		}
		w.at = p.end()
	}
	w.kept = max(w.at, w.begun(info.Size()))
	if err := w.f.Truncate(w.kept); err != nil {
		return 0, fmt.Errorf("writing the bundle: %w", err)
	}
	w.tell(w.kept)
	return w.kept - w.pieces[3].end(), nil
}

// begun is how far the blob that follows what is whole was written, in a file of a size.
func (w *writer) begun(size int64) int64 {
	for _, p := range w.pieces {
		if p.at == w.at && p.data == nil && w.headed(p) {
			return min(size, p.body()+p.size())
		}
	}
	return 0
}

func (w *writer) headed(p piece) bool {
	want, err := p.header(w.made)
	if err != nil {
		return false
	}
	got := make([]byte, len(want))
	_, err = w.f.ReadAt(got, p.at)
	return err == nil && bytes.Equal(got, want)
}

func (w *writer) tell(done int64) {
	if w.progress != nil {
		w.progress(done, length(w.pieces))
	}
}

// put writes one piece.
func (w *writer) put(ctx context.Context, p piece, from Source) error {
	header, err := p.header(w.made)
	if err != nil {
		return err
	}
	if _, err := w.f.WriteAt(header, p.at); err != nil {
		return noSpace(err)
	}
	if p.data != nil {
		if _, err := w.f.WriteAt(p.data, p.body()); err != nil {
			return noSpace(err)
		}
	} else if err := w.copy(ctx, p, from); err != nil {
		return err
	}
	if rest := padded(p.size()) - p.size(); rest > 0 {
		if _, err := w.f.WriteAt(make([]byte, rest), p.body()+p.size()); err != nil {
			return noSpace(err)
		}
	}
	w.at = p.end()
	w.tell(w.at)
	return nil
}

// attempts is how often a blob's source is asked again, each time for what is missing.
const attempts = 5

// copy brings a blob, but for what an earlier run has of it. A power cut may have left
// holes in that: if it does not fit the rest, the whole blob is brought.
func (w *writer) copy(ctx context.Context, p piece, from Source) error {
	kept := max(0, w.kept-p.body())
	err := w.bring(ctx, p, from, kept)
	if kept > 0 && problem.KindOf(err) == problem.Trust {
		err = w.bring(ctx, p, from, 0)
	}
	return err
}

// bring brings a blob from an offset on. A source that breaks off is asked for the rest.
func (w *writer) bring(ctx context.Context, p piece, from Source, got int64) error {
	sum := sha256.New()
	if _, err := io.CopyBuffer(sum, io.NewSectionReader(w.f, p.body(), got), w.buffer); err != nil {
		return fmt.Errorf("reading what an earlier run wrote: %w", err)
	}
	h := newHashing(sum, p.blob.Size)
	err := w.whole(ctx, p, from, h, got)
	have := h.end()
	if err != nil {
		return fmt.Errorf("fetching %s: %w", p.blob.Digest, err)
	}
	if have != p.blob.Digest {
		return &problem.Error{Kind: problem.Trust, Doing: "fetching", Object: p.blob.Digest, Err: fmt.Errorf("what came has the digest %s", have),
			Fix: "the source sends something else than what was signed: tell whoever runs it"}
	}
	return nil
}

// whole asks for a blob, from an offset on, until all of it has come.
func (w *writer) whole(ctx context.Context, p piece, from Source, h *hashing, got int64) error {
	for attempt := 1; got < p.blob.Size; attempt++ {
		before := got
		err := w.stream(ctx, p, from, h, &got)
		if err == nil && got == p.blob.Size {
			break
		}
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		if got > before {
			attempt = 1
		}
		if ctx.Err() != nil || attempt >= attempts || problem.KindOf(err) != problem.Failed || errors.Is(err, errWriting) {
			return err
		}
	}
	return nil
}

var errWriting = errors.New("writing the bundle")

func (w *writer) stream(ctx context.Context, p piece, from Source, h *hashing, got *int64) (err error) {
	in, err := from(ctx, p.blob, *got)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	for *got < p.blob.Size {
		b := h.buffer()
		n, err := io.ReadFull(in, b[:min(int64(len(b)), p.blob.Size-*got)])
		if _, err := w.f.WriteAt(b[:n], p.body()+*got); err != nil {
			return noSpace(err)
		}
		h.write(b[:n])
		*got += int64(n)
		w.tell(p.body() + *got)
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// finish ends the tar and has all of it on the disk.
func (w *writer) finish() error {
	if _, err := w.f.WriteAt(make([]byte, trailer), length(w.pieces)-trailer); err != nil {
		return noSpace(err)
	}
	if err := w.f.Truncate(length(w.pieces)); err != nil {
		return fmt.Errorf("writing the bundle: %w", err)
	}
	if err := w.f.Sync(); err != nil {
		return noSpace(err)
	}
	return nil
}

func noSpace(err error) error {
	return &problem.Error{Kind: problem.Failed, Doing: "writing", Object: "the bundle", Err: errors.Join(errWriting, err),
		Fix: "what was written is kept: make room, or name another disk with -o, and run the command again"}
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("naming the bundle: %w", err)
	}
	return errors.Join(f.Sync(), f.Close())
}

// Need is how many bytes the file will have, and how many of them are still to be written.
func Need(name string, c *Contents, key ssh.Signer) (whole, missing int64, err error) {
	now := *c
	now.Schema = Schema
	text, err := json.Marshal(&now)
	if err != nil {
		return 0, 0, fmt.Errorf("measuring the bundle: %w", err)
	}
	signature, err := sign(text, key)
	if err != nil {
		return 0, 0, err
	}
	all, err := pieces(&now, text, signature, nil)
	if err != nil {
		return 0, 0, err
	}
	whole = length(all)
	if info, err := os.Stat(name + unfinished); err == nil {
		return whole, max(0, whole-info.Size()), nil
	}
	return whole, whole, nil
}
