package bundle

import (
	"crypto/subtle"
	"io"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

// User is the name that the handler's password goes with.
const User = "bundle"

// Server answers Docker and apt from a bundle: an OCI registry to pull from (distribution-spec,
// "Pull") below /v2/, and the apt repositories below /apt/. Both verify what they get by the
// digests and signatures that they know themselves.
type Server struct {
	Bundle   *Reader
	Password string

	mu   sync.Mutex
	sent map[string]int64
}

// Sent is how many bytes of each blob went out so far, by digest.
func (s *Server) Sent() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]int64{}
	for digest, n := range s.sent {
		all[digest] = n
	}
	return all
}

// ServeHTTP answers GET and HEAD to whoever has the password.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.Answer(w, r, s.Password) }

// Answer is ServeHTTP of whoever has another password: of connections that come one way, where
// each way has its own. An empty one is nobody's.
func (s *Server) Answer(w http.ResponseWriter, r *http.Request, wanted string) {
	user, password, _ := r.BasicAuth()
	good := subtle.ConstantTimeCompare([]byte(user+"\x00"+password), []byte(User+"\x00"+wanted))
	switch {
	case good != 1 || wanted == "":
		w.Header().Set("WWW-Authenticate", `Basic realm="bundle"`)
		http.Error(w, "the password of this run is needed", http.StatusUnauthorized)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		http.Error(w, "a bundle is only read", http.StatusMethodNotAllowed)
	case r.URL.Path == "/v2/":
		w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		w.WriteHeader(http.StatusOK)
	case strings.HasPrefix(r.URL.Path, "/v2/"):
		s.registry(w, r)
	default:
		s.file(w, r)
	}
}

// registry answers /v2/<name>/manifests/<digest> and /v2/<name>/blobs/<digest>. The name is
// of no interest: a digest says it all.
func (s *Server) registry(w http.ResponseWriter, r *http.Request) {
	rest, digest := path.Split(r.URL.Path)
	kind := path.Base(rest)
	b, here, _ := s.Bundle.Contents.Blob(digest)
	if !here || kind != "manifests" && kind != "blobs" {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"it is not in this bundle"}]}`)
		return
	}
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("Content-Type", MediaFile)
	if kind == "manifests" {
		w.Header().Set("Content-Type", b.MediaType)
	}
	s.blob(w, r, digest, time.Time{})
}

// file answers with a file of the bundle by its path.
func (s *Server) file(w http.ResponseWriter, r *http.Request) {
	digest, ok := s.Bundle.File(strings.TrimPrefix(r.URL.Path, "/"))
	if !ok {
		http.Error(w, "it is not in this bundle", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", MediaFile)
	s.blob(w, r, digest, s.modified(r.URL.Path))
}

// modified is the time that a file is said to be of. With a package's, apt goes on with the
// part that it has (If-Range, RFC 9110 section 13.1.5); without one it begins again. Lists
// have none: one of a bundle made earlier would be taken for unchanged (If-Modified-Since,
// section 13.1.3).
func (s *Server) modified(name string) time.Time {
	if path.Ext(name) != ".deb" {
		return time.Time{}
	}
	return s.Bundle.Contents.Made
}

// blob sends the bytes of a digest; modified is the zero time where none is told.
func (s *Server) blob(w http.ResponseWriter, r *http.Request, digest string, modified time.Time) {
	section, err := s.Bundle.Section(digest)
	if err != nil {
		http.Error(w, "it is not in this bundle: the hosts that it was made for have it", http.StatusNotFound)
		return
	}
	counted := &counter{ResponseWriter: w}
	http.ServeContent(counted, r, "", modified, section)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sent == nil {
		s.sent = map[string]int64{}
	}
	s.sent[digest] += counted.n
}

// counter counts what is sent.
type counter struct {
	http.ResponseWriter
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.n += int64(n)
	return n, err
}
