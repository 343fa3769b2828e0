package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/repos/problem"
)

// Reader is an open bundle: one file, or the parts of one. Its methods may be used by
// several goroutines.
type Reader struct {
	Contents  *Contents
	Signer    ssh.PublicKey // that was trusted
	text      []byte        // the signed list
	signature []byte
	parts     []*file
	where     map[string]place // by digest
}

// file is one file of a bundle.
type file struct {
	name   string
	f      *os.File
	part   *part // nil: the bundle is one file
	pieces []piece
}

// place is where a blob lies.
type place struct {
	in    *file
	piece *piece
}

// Open opens a bundle's file, or parts of it, and verifies what says what is in them: the
// signature by one of the keys, the form of every header, and the length. Blobs are for
// Verify. It reads no medium whole. Errors are problems of kind Trust where anything is not
// as it was signed; they name the file.
func Open(names []string, trusted []ssh.PublicKey) (*Reader, error) {
	r := &Reader{where: map[string]place{}}
	if len(names) == 0 {
		return nil, errors.New("opening a bundle: no file is named")
	}
	for _, name := range names {
		if err := r.add(name, trusted); err != nil {
			return nil, errors.Join(err, r.Close())
		}
	}
	return r, nil
}

// Close closes the files.
func (r *Reader) Close() error {
	var errs []error
	for _, p := range r.parts {
		errs = append(errs, p.f.Close())
	}
	return errors.Join(errs...)
}

// add opens one file and wants it to be of this bundle.
func (r *Reader) add(name string, trusted []ssh.PublicKey) error {
	f, err := os.Open(name)
	if err != nil {
		return &problem.Error{Kind: problem.Input, Doing: "opening bundle", Object: name, Err: errors.Unwrap(err), Fix: "name the bundle's file, or all of its parts"}
	}
	one := &file{name: name, f: f}
	r.parts = append(r.parts, one)
	if err := r.read(one, trusted); err != nil {
		return about(name, err)
	}
	for i := range one.pieces {
		p := &one.pieces[i]
		if p.data != nil {
			continue
		}
		if had, ok := r.where[p.blob.Digest]; ok {
			return about(name, trust("the parts", fmt.Errorf("%s holds the same blobs", had.in.name)))
		}
		r.where[p.blob.Digest] = place{one, p}
	}
	return nil
}

// about says which file an error is about.
func about(name string, err error) error {
	if p := (*problem.Error)(nil); errors.As(err, &p) {
		return &problem.Error{Kind: p.Kind, Doing: "reading bundle", Object: filepath.Base(name), Err: err, Fix: p.Fix}
	}
	return fmt.Errorf("reading bundle %s: %w", filepath.Base(name), err)
}

// read takes a file's first entries, and then wants all of it to be what they say.
func (r *Reader) read(one *file, trusted []ssh.PublicKey) error {
	head, err := readHead(one.f)
	if err != nil {
		return trust("its form", err)
	}
	if r.Contents == nil {
		if r.Signer, err = verifySignature(head.contents, head.signature, trusted); err != nil {
			return err
		}
		if r.Contents, err = parse(head.contents); err != nil {
			return trust("its contents", err)
		}
		r.text, r.signature = head.contents, head.signature
	}
	if !bytes.Equal(r.text, head.contents) || !bytes.Equal(r.signature, head.signature) {
		return trust("the parts", errors.New("this one belongs to another bundle"))
	}
	one.part = head.part
	if one.pieces, err = pieces(r.Contents, r.text, r.signature, one.part); err != nil {
		return trust("its form", err)
	}
	return one.canonical(r.Contents.Made)
}

// head is what comes before the blobs.
type head struct {
	contents, signature []byte
	part                *part
}

// readHead reads the first entries; what they must be is judged afterwards. It takes a
// stranger's bytes, and so no more of them than a bundle may have.
func readHead(f *os.File) (head, error) {
	var h head
	var at int64
	for _, want := range []struct {
		name string
		most int64
		into *[]byte
	}{{nameLayout, block, nil}, {nameIndex, maxIndex, nil}, {nameContents, maxContents, &h.contents}, {nameSignature, maxSignature, &h.signature}} {
		name, size, err := readEntry(f, at)
		if err != nil {
			return h, fmt.Errorf("looking for %s: %w", want.name, err)
		}
		if name != want.name || size > want.most {
			return h, fmt.Errorf("where %s belongs there is %q of %d bytes", want.name, name, size)
		}
		if want.into != nil {
			if *want.into, err = readAt(f, at+block, size); err != nil {
				return h, fmt.Errorf("reading %s: %w", want.name, err)
			}
		}
		at += block + padded(size)
	}
	name, size, err := readEntry(f, at)
	if err != nil || name != namePart {
		return h, nil // a bundle of one file; what follows is judged by its form
	}
	text, err := readAt(f, at+block, min(size, block))
	if err != nil {
		return h, fmt.Errorf("reading %s: %w", namePart, err)
	}
	h.part = &part{}
	if err := json.Unmarshal(text, h.part); err != nil {
		return h, fmt.Errorf("reading %s: %w", namePart, err)
	}
	return h, nil
}

// readAt reads so many bytes of a file, which must have them.
func readAt(f *os.File, at, size int64) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() < at+size { // before that much memory is taken
		return nil, io.ErrUnexpectedEOF
	}
	text := make([]byte, size)
	if _, err := f.ReadAt(text, at); err != nil {
		return nil, err
	}
	return text, nil
}

// canonical compares everything but the blobs' bytes with what must be there.
func (one *file) canonical(made time.Time) error {
	info, err := one.f.Stat()
	if err != nil {
		return fmt.Errorf("measuring it: %w", err)
	}
	if want := length(one.pieces); info.Size() != want {
		return trust("its length", fmt.Errorf("it has %d bytes instead of %d", info.Size(), want))
	}
	for _, p := range one.pieces {
		header, err := p.header(made)
		if err != nil {
			return trust(p.path(), err)
		}
		want := slices.Concat(header, p.data)
		if p.data != nil {
			want = append(want, make([]byte, padded(p.size())-p.size())...)
		}
		got := make([]byte, len(want))
		if _, err := one.f.ReadAt(got, p.at); err != nil {
			return fmt.Errorf("reading %s: %w", p.path(), err)
		}
		if !bytes.Equal(got, want) {
			return trust(p.path(), errors.New("it is not as it was written"))
		}
	}
	end := make([]byte, trailer)
	if _, err := one.f.ReadAt(end, length(one.pieces)-trailer); err != nil {
		return fmt.Errorf("reading its end: %w", err)
	}
	if !bytes.Equal(end, make([]byte, trailer)) {
		return trust("its end", errors.New("it is not as it was written"))
	}
	return nil
}

// Missing names the parts that were not given; none: all of the bundle is here.
func (r *Reader) Missing() error {
	if len(r.parts) == 1 && r.parts[0].part == nil {
		return nil
	}
	here, of := map[int]bool{}, 0
	for _, p := range r.parts {
		if p.part == nil {
			return trust("the parts", fmt.Errorf("%s is a whole bundle and no part", filepath.Base(p.name)))
		}
		here[p.part.Part], of = true, max(of, p.part.Of)
	}
	var missing []string
	for n := 1; n <= of; n++ {
		if !here[n] {
			missing = append(missing, fmt.Sprint(n))
		}
	}
	for _, b := range r.Contents.Blobs {
		if _, ok := r.where[b.Digest]; !ok && len(missing) == 0 {
			return trust("the parts", fmt.Errorf("none of them holds blob %s", b.Digest))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return &problem.Error{Kind: problem.Trust, Doing: "opening bundle", Object: filepath.Base(r.parts[0].name),
		Err: fmt.Errorf("of its %d parts these are missing: %s", of, strings.Join(missing, ", ")), Fix: "name every part, on as many media as they are"}
}

// Parts is how many files the bundle was opened from, and of how many it is made.
func (r *Reader) Parts() (here, of int) {
	if p := r.parts[0].part; p != nil {
		return len(r.parts), p.Of
	}
	return 1, 1
}

// Length is the size of the files that are open, in bytes.
func (r *Reader) Length() int64 {
	var n int64
	for _, p := range r.parts {
		n += length(p.pieces)
	}
	return n
}

// ErrNotHere says that a blob is not in the files that are open.
var ErrNotHere = errors.New("it is not in this bundle")

// Section is a blob's bytes as they lie in the file, unverified.
func (r *Reader) Section(digest string) (*io.SectionReader, error) {
	p, ok := r.where[digest]
	if !ok {
		return nil, fmt.Errorf("looking for blob %s: %w", digest, ErrNotHere)
	}
	return io.NewSectionReader(p.in.f, p.piece.body(), p.piece.size()), nil
}

// Blob opens a blob that is hashed as it is read: the read that reaches its end fails with
// a problem of kind Trust where it is not what was signed.
func (r *Reader) Blob(digest string) (io.Reader, int64, error) {
	s, err := r.Section(digest)
	if err != nil {
		return nil, 0, err
	}
	return &verified{r: s, digest: digest, left: s.Size(), hash: newHash()}, s.Size(), nil
}

// ReadFile reads a small file of the bundle whole, verified. The error is fs.ErrNotExist
// where there is none of that path.
func (r *Reader) ReadFile(path string, most int64) ([]byte, error) {
	digest, ok := r.File(path)
	if !ok {
		return nil, fmt.Errorf("looking for %s in the bundle: %w", path, os.ErrNotExist)
	}
	in, size, err := r.Blob(digest)
	if err != nil {
		return nil, fmt.Errorf("reading %s of the bundle: %w", path, err)
	}
	if size > most {
		return nil, fmt.Errorf("reading %s of the bundle: its %d bytes are more than %d", path, size, most)
	}
	text, err := io.ReadAll(in)
	if err != nil {
		return nil, fmt.Errorf("reading %s of the bundle: %w", path, err)
	}
	return text, nil
}

// File is the digest of a file by its path.
func (r *Reader) File(path string) (digest string, ok bool) {
	for _, f := range r.Contents.Files {
		if f.Path == path {
			return f.Digest, true
		}
	}
	return "", false
}
