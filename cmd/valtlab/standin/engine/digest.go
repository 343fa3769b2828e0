package engine

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/icholy/digest"
)

// restUser is the REST interface's only account.
const restUser = "valt"

// nonceLife is how long a nonce is good for.
const nonceLife = 5 * time.Minute

// digestAuth is HTTP digest authentication (RFC 7616) with MD5 and qop=auth, as the
// real engine asks for. Its nonces carry their time and a seal, so it remembers none.
type digestAuth struct {
	password string
	key      []byte
	now      func() time.Time
}

func newDigestAuth(password string, now func() time.Time) *digestAuth {
	key := make([]byte, 32)
	rand.Read(key)
	return &digestAuth{password, key, now}
}

// wrap lets only those through to next who know the password.
func (d *digestAuth) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ok, stale := d.check(r)
		if ok {
			next.ServeHTTP(w, r)
			return
		}
		challenge := d.challenge(d.nonce(d.now()))
		challenge.Stale = stale
		w.Header().Set("WWW-Authenticate", challenge.String())
		fail(w, http.StatusUnauthorized, "The request requires user authentication")
	})
}

func (d *digestAuth) challenge(nonce string) *digest.Challenge {
	return &digest.Challenge{Realm: "Wowza Streaming Engine (stand-in)", Nonce: nonce, Algorithm: "MD5", QOP: []string{"auth"}}
}

// check says whether the request proves the password, and if not, whether it would
// with a fresh nonce.
func (d *digestAuth) check(r *http.Request) (ok, stale bool) {
	given, err := digest.ParseCredentials(r.Header.Get("Authorization"))
	if err != nil || given.Username != restUser || given.URI != r.URL.RequestURI() {
		return false, false
	}
	want, err := digest.Digest(d.challenge(given.Nonce), digest.Options{Method: r.Method, URI: given.URI,
		Count: given.Nc, Cnonce: given.Cnonce, Username: restUser, Password: d.password})
	if err != nil || subtle.ConstantTimeCompare([]byte(want.Response), []byte(given.Response)) != 1 {
		return false, false
	}
	fresh := d.fresh(given.Nonce)
	return fresh, !fresh
}

// nonce is the time, a dot and the time's seal.
func (d *digestAuth) nonce(t time.Time) string {
	text := strconv.FormatInt(t.Unix(), 16)
	seal := hmac.New(sha256.New, d.key)
	fmt.Fprint(seal, text)
	return text + "." + hex.EncodeToString(seal.Sum(nil)[:16])
}

func (d *digestAuth) fresh(nonce string) bool {
	text, _, _ := strings.Cut(nonce, ".")
	seconds, err := strconv.ParseInt(text, 16, 64)
	if err != nil {
		return false
	}
	made := time.Unix(seconds, 0)
	return hmac.Equal([]byte(d.nonce(made)), []byte(nonce)) && d.now().Sub(made) < nonceLife
}
