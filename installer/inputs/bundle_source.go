package inputs

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"ipivs.com/valtctl/repos/bundle"
	"ipivs.com/valtctl/repos/problem"
)

// bundleClient reads the release repository at base from a bundle.
func bundleClient(b *bundle.Reader, base string) *http.Client {
	return &http.Client{Transport: bundleFiles{b, base}}
}

// bundleFiles answers requests below a repository's address with files of the bundle.
type bundleFiles struct {
	bundle *bundle.Reader
	base   string
}

// RoundTrip is http.RoundTripper's.
func (f bundleFiles) RoundTrip(r *http.Request) (*http.Response, error) {
	path, ok := strings.CutPrefix(r.URL.String(), f.base)
	if !ok {
		return nil, fmt.Errorf("asking for %s: it is not of the repository that the bundle holds", r.URL)
	}
	digest, ok := f.bundle.File("tuf/" + path)
	reply := &http.Response{StatusCode: http.StatusNotFound, ProtoMajor: 1, ProtoMinor: 1, Request: r, Body: http.NoBody, Header: http.Header{}}
	if !ok {
		return reply, nil
	}
	in, size, err := f.bundle.Blob(digest)
	if err != nil {
		return nil, err
	}
	reply.StatusCode, reply.ContentLength = http.StatusOK, size
	reply.Body = io.NopCloser(in)
	return reply, nil
}

// bundleAge is what people should know of a bundle, whose metadata is judged at the time when
// it was made.
func bundleAge(b *bundle.Reader, now time.Time) string {
	made := b.Contents.Made
	return fmt.Sprintf("the bundle was made on %s by %s, %d days ago", made.UTC().Format(time.DateOnly), b.Contents.Maker, int(now.Sub(made).Hours()/24))
}

// bundleHolds refuses a bundle without the release that a run is about.
func bundleHolds(b *bundle.Reader, version string) error {
	have := append([]string{b.Contents.Release}, b.Contents.Also...)
	for _, v := range have {
		if v == version {
			return nil
		}
	}
	return &problem.Error{Kind: problem.Input, Doing: "reading the bundle for release", Object: version,
		Err: fmt.Errorf("it holds %s", strings.Join(have, ", ")), Fix: "make one with: valtctl bundle create --release " + version}
}
