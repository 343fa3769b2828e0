package bundler

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"ipivs.com/valtctl/repos/problem"
)

// maxRecorded caps one file of the release repository, in bytes, as its reader does.
const maxRecorded = 256 << 20

// recorder keeps every file of the release repository that its reader asks for.
type recorder struct {
	through http.RoundTripper
	base    string
	files   map[string][]byte // by path below base
}

// RoundTrip is http.RoundTripper's.
func (r *recorder) RoundTrip(q *http.Request) (*http.Response, error) {
	reply, err := r.through.RoundTrip(q)
	if err != nil || reply.StatusCode != http.StatusOK {
		return reply, err
	}
	path, ok := strings.CutPrefix(q.URL.String(), r.base)
	if !ok {
		return reply, nil
	}
	content, err := io.ReadAll(io.LimitReader(reply.Body, maxRecorded))
	if err := errors.Join(err, reply.Body.Close()); err != nil {
		return nil, err
	}
	r.files[path] = content
	reply.Body = io.NopCloser(bytes.NewReader(content))
	return reply, nil
}

// roots reads the versions of the root from the first on: a host may have followed the
// repository for as long as it exists.
func (r *recorder) roots(ctx context.Context) error {
	for n := 1; ; n++ {
		path := fmt.Sprintf("metadata/%d.root.json", n)
		if r.files[path] != nil {
			continue
		}
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+path, nil)
		if err != nil {
			return fmt.Errorf("reading the roots of the release repository: %w", err)
		}
		reply, err := (&http.Client{Transport: r}).Do(q)
		if err != nil {
			return fmt.Errorf("reading the roots of the release repository: %w", err)
		}
		reply.Body.Close()
		if reply.StatusCode != http.StatusOK {
			return nil // the last one was before
		}
	}
}

func (r *recorder) paths() []string { return sorted(r.files) }

func sorted[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

// get reads a file from an offset on.
func get(ctx context.Context, through http.RoundTripper, address string, offset int64) (io.ReadCloser, error) {
	fail := func(err error) error {
		return &problem.Error{Kind: problem.Failed, Doing: "reading", Object: address, Err: err, Fix: "check that this machine reaches the repository; what was written is kept"}
	}
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fail(err)
	}
	if offset > 0 {
		q.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	reply, err := (&http.Client{Transport: through}).Do(q)
	if err != nil {
		return nil, fail(err)
	}
	switch {
	case reply.StatusCode == http.StatusPartialContent && offset > 0:
	case reply.StatusCode == http.StatusOK:
		if _, err := io.CopyN(io.Discard, reply.Body, offset); err != nil {
			return nil, fail(errors.Join(err, reply.Body.Close()))
		}
	default:
		return nil, fail(errors.Join(fmt.Errorf("the answer is %s", reply.Status), reply.Body.Close()))
	}
	return reply.Body, nil
}
