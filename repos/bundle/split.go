package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"ipivs.com/valtctl/repos/problem"
)

// Split writes the bundle as parts of at most size bytes each, as name.1of3 and so on, cut
// between blobs. Each can be verified alone. It returns their names. A blob that is larger
// than a part is a problem of kind Input.
func (r *Reader) Split(ctx context.Context, name string, size int64) ([]string, error) {
	if err := r.Missing(); err != nil {
		return nil, err
	}
	if len(r.parts) > 1 {
		return nil, &problem.Error{Kind: problem.Input, Doing: "splitting", Object: name, Err: errors.New("it is in parts already"), Fix: "split the whole bundle"}
	}
	cuts, err := r.cuts(size)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, p := range cuts {
		to := fmt.Sprintf("%s.%dof%d", name, p.Part, p.Of)
		if err := r.writePart(ctx, to, p); err != nil {
			return names, err
		}
		names = append(names, to)
	}
	return names, nil
}

// cuts fills one part after the other.
func (r *Reader) cuts(size int64) ([]part, error) {
	var cuts []part
	blobs := r.Contents.Blobs
	for first := 0; first < len(blobs) || len(cuts) == 0; {
		p := part{Part: len(cuts) + 1, Of: 999999, First: first} // as wide as any number of parts
		empty, err := pieces(r.Contents, r.text, r.signature, &p)
		if err != nil {
			return nil, err
		}
		left := size - length(empty)
		for first < len(blobs) && block+padded(blobs[first].Size) <= left {
			left -= block + padded(blobs[first].Size)
			first++
			p.Blobs++
		}
		if p.Blobs == 0 && first < len(blobs) {
			return nil, &problem.Error{Kind: problem.Input, Doing: "splitting", Object: "the bundle",
				Err: fmt.Errorf("blob %s alone has %d bytes, and a part may have %d", blobs[first].Digest, blobs[first].Size, size),
				Fix: "allow larger parts: --size"}
		}
		cuts = append(cuts, p)
	}
	for i := range cuts {
		cuts[i].Of = len(cuts)
	}
	return cuts, nil
}

// writePart writes one part whole, or leaves nothing of its name.
func (r *Reader) writePart(ctx context.Context, name string, p part) (err error) {
	all, err := pieces(r.Contents, r.text, r.signature, &p)
	if err != nil {
		return err
	}
	f, err := os.Create(name + unfinished)
	if err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	w := &writer{f: f, pieces: all, made: r.Contents.Made, buffer: make([]byte, chunk)}
	defer func() { err = errors.Join(err, f.Close()) }()
	for _, one := range all {
		if err := w.put(ctx, one, r.source); err != nil {
			return err
		}
	}
	if err := w.finish(); err != nil {
		return err
	}
	if err := os.Rename(name+unfinished, name); err != nil {
		return fmt.Errorf("naming %s: %w", name, err)
	}
	return nil
}

// source is a Source of what this bundle holds.
func (r *Reader) source(_ context.Context, b Blob, offset int64) (io.ReadCloser, error) {
	s, err := r.Section(b.Digest)
	if err != nil {
		return nil, err
	}
	if _, err := s.Seek(offset, io.SeekStart); err != nil {
		return nil, err
	}
	return io.NopCloser(s), nil
}
