package bundle

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
)

// answered is what the bundle's server says to a request with these headers.
func answered(t *testing.T, s *Server, name string, headers map[string]string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/"+name, nil)
	r.SetBasicAuth(User, s.Password)
	for k, v := range headers {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

// TestAPackageThatWasCutGoesOn asks as apt does that has a part of a package: it names the
// time that it was told with the part.
func TestAPackageThatWasCutGoesOn(t *testing.T) {
	s := &Server{Bundle: opened(t, made(t, 1, maker(t, 1))), Password: "secret"}
	file := s.Bundle.Contents.Files[3]
	_, all := sample(t, 1)
	whole := answered(t, s, file.Path, nil)
	told := whole.Header().Get("Last-Modified")
	if whole.Code != http.StatusOK || told == "" {
		t.Fatalf("the whole package: %d, of the time %q", whole.Code, told)
	}
	rest := answered(t, s, file.Path, map[string]string{"Range": "bytes=100-", "If-Range": told})
	if rest.Code != http.StatusPartialContent || !bytes.Equal(rest.Body.Bytes(), all[file.Digest][100:]) {
		t.Errorf("the rest of a package: %d, %d bytes", rest.Code, rest.Body.Len())
	}
	other := answered(t, s, file.Path, map[string]string{"Range": "bytes=100-", "If-Range": "Mon, 02 Jan 2006 15:04:05 GMT"})
	if other.Code != http.StatusOK || !bytes.Equal(other.Body.Bytes(), all[file.Digest]) {
		t.Errorf("the rest of another bundle's package: %d, %d bytes", other.Code, other.Body.Len())
	}
}

// TestListsAreNeverSaidToBeUnchanged: a bundle that was made before the one whose lists a
// host has is read too, when a site goes back to it.
func TestListsAreNeverSaidToBeUnchanged(t *testing.T) {
	name, key := t.TempDir()+"/lists.bundle", maker(t, 1)
	c, all := sample(t, 1)
	c.Files = append(c.Files, File{"apt/vendor/dists/noble/InRelease", all.add(c, []byte("Origin: VALT\n"), MediaFile)})
	if _, err := Create(t.Context(), name, c, key, all.source, nil); err != nil {
		t.Fatal(err)
	}
	s := &Server{Bundle: opened(t, name), Password: "secret"}
	got := answered(t, s, "apt/vendor/dists/noble/InRelease", map[string]string{"If-Modified-Since": "Mon, 02 Jan 2090 15:04:05 GMT"})
	if got.Code != http.StatusOK || got.Body.String() != "Origin: VALT\n" {
		t.Errorf("%d: %q", got.Code, got.Body)
	}
}
