package bundle

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/repos/problem"
)

// FuzzOpen: whatever a file holds, it is refused as not trusted, or all of it is what the
// maker signed: nothing but the good bundle's own bytes is ever taken for a bundle.
func FuzzOpen(f *testing.F) {
	good := joined(f, entries(f))
	f.Add(good)
	for _, content := range hostile(f) {
		if len(content) < 64<<10 { // larger ones slow every round down
			f.Add(content)
		}
	}
	trusted := []ssh.PublicKey{maker(f, 1).PublicKey()}
	f.Fuzz(func(t *testing.T, content []byte) {
		name := filepath.Join(t.TempDir(), "fuzzed.bundle")
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := Open([]string{name}, trusted)
		if err != nil {
			if problem.KindOf(err) != problem.Trust {
				t.Errorf("it is refused, but not as untrusted: %v", err)
			}
			return
		}
		defer r.Close()
		_ = r.Missing() // it must not panic
		verified := r.Verify(t.Context(), nil)
		if verified == nil && !bytes.Equal(content, good) {
			t.Errorf("%d bytes that were never signed are taken for a bundle", len(content))
		}
		for _, file := range r.Contents.Files {
			if text, err := r.ReadFile(file.Path, maxContents); err == nil && !bytes.Contains(good, text) {
				t.Errorf("%s was read with other bytes than those signed", file.Path)
			}
		}
	})
}

// FuzzContents: a list that a trusted maker signed, or one whose key was stolen, is read or
// refused, and what is read names nothing outside the bundle.
func FuzzContents(f *testing.F) {
	f.Add(entries(f)[atContents].data)
	f.Add([]byte(`{"schema":"valtctl/bundle/v1","release":"1","made":"2026-11-23T08:00:00Z","files":[{"path":"apt/../x"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := parse(text)
		if err != nil {
			return
		}
		for _, file := range c.Files {
			if !filepath.IsLocal(file.Path) {
				t.Errorf("the path %q leads out", file.Path)
			}
		}
		for _, b := range c.Blobs {
			if !filepath.IsLocal(blobName(b.Digest)) {
				t.Errorf("the digest %q leads out", b.Digest)
			}
		}
		if _, err := pieces(c, text, nil, nil); err != nil && !errors.Is(err, io.EOF) {
			t.Errorf("a list that was read has no form: %v", err)
		}
	})
}
