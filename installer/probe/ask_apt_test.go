package probe

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// publisher signs indexes. Its key is older than any of them.
func publisher(t *testing.T) *openpgp.Entity { return publisherFor(t, 0) }

// publisherFor has a key that ends so long after its start 1000 days ago; 0: never.
func publisherFor(t *testing.T, life time.Duration) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity("Practice", "", "apt@practice.invalid", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA,
		KeyLifetimeSecs: uint32(life / time.Second), Time: func() time.Time { return time.Now().Add(-1000 * day1) }})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func keyringOf(t *testing.T, e *openpgp.Entity) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := e.Serialize(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// inRelease is an index made at a time from now, valid until another; 0: for ever.
func inRelease(t *testing.T, e *openpgp.Entity, made, until time.Duration) string {
	t.Helper()
	at := time.Now().Add(made)
	text := "Origin: Practice\nSuite: stable\nCodename: noble\nDate: " + at.UTC().Format(time.RFC1123) + "\n"
	if until != 0 {
		text += "Valid-Until: " + time.Now().Add(until).UTC().Format(time.RFC1123) + "\n"
	}
	text += "SHA256:\n e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 main/binary-amd64/Packages\n"
	var out bytes.Buffer
	w, err := clearsign.Encode(&out, e.PrivateKey, &packet.Config{Time: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte(text))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String() + "\n"
}

const indexPath = "/ubuntu/dists/noble/InRelease"

func TestApt(t *testing.T) {
	trusted, stranger := publisher(t), publisher(t)
	good := inRelease(t, trusted, -time.Hour, 0)
	undated := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil; w.Write([]byte(body)) }
	}
	for _, c := range []struct {
		name   string
		handle http.HandlerFunc
		off    time.Duration
		want   Verdict
		words  string
	}{
		{"good", page(200, "text/plain", good), 0, Works, ""},
		{"a captive page", page(200, "text/html", portal), 0, WrongContent, "captive portal: a web page instead of an InRelease"},
		{"a captive redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://login.hotel.example/", http.StatusFound)
		}, 0, WrongContent, "captive portal: it redirects to http://login.hotel.example/"},
		{"a redirect to HTTPS", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://apt.example"+indexPath, http.StatusMovedPermanently)
		}, 0, WrongContent, "redirects to https://apt.example/ubuntu"},
		{"not there", http.NotFound, 0, WrongContent, indexPath + " is not there: it answers 404 Not Found"},
		{"something else", page(200, "text/plain", "hello"), 0, WrongContent, "is something else than an InRelease"},
		{"without end", page(200, "text/plain", good+strings.Repeat("x", maxIndex)), 0, WrongContent, "longer than an InRelease can be"},
		{"cut short", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "99999")
			w.Write([]byte(good))
		}, 0, WrongContent, "comes only in part"},
		{"a stranger's", page(200, "text/plain", inRelease(t, stranger, -time.Hour, 0)), 0, WrongContent, "its signature is by a key that is not trusted: "},
		{"changed", page(200, "text/plain", strings.Replace(good, "noble", "jammy", 1)), 0, WrongContent, "the index was changed after it was signed by "},
		{"added to", page(200, "text/plain", good+"Codename: jammy\n"), 0, WrongContent, "text follows the signature"},
		{"half", page(200, "text/plain", good[:len(good)/2]), 0, WrongContent, "the InRelease cannot be read"},
		{"clock behind", page(200, "text/plain", good), -day1, WrongClock, "clock is 24h00m behind"},
		{"clock behind, the server silent about it", undated(good), -day1, WrongClock, "clock is at least 23h00m behind: the index is of"},
		{"clock ahead of an index that ends", page(200, "text/plain", inRelease(t, trusted, -time.Hour, 7*day1)), 10 * day1, WrongClock, "clock is 10 days ahead, so the index seems to have expired"},
		{"clock ahead of one that does not", page(200, "text/plain", good), 10 * day1, Works, ""},
		{"ended", page(200, "text/plain", inRelease(t, trusted, -9*day1, -2*day1)), 0, WrongContent, "the index expired on"},
		{"ended, and the clock is off", page(200, "text/plain", inRelease(t, trusted, -9*day1, -2*day1)), time.Hour, WrongContent, "the index expired on"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := machine().off(c.off)
			m.req.Keyrings = map[string][]byte{"ubuntu": keyringOf(t, trusted)}
			o := m.ask(t, web(t, c.handle), Spec{Ask: AskApt, Path: indexPath, Name: "apt.example", Keyring: "ubuntu"})
			want(t, o, c.want, c.words)
		})
	}
}

func TestAptDatedInTheFutureByItsPublisher(t *testing.T) {
	e := publisher(t)
	index := inRelease(t, e, day1, 0)
	m := machine()
	o := m.ask(t, web(t, page(200, "text/plain", index)), Spec{Ask: AskApt, Path: indexPath})
	want(t, o, WrongContent, "the index is dated", "in the future")
}

func TestAptKeyThatEnds(t *testing.T) {
	for _, c := range []struct {
		name  string
		life  time.Duration
		off   time.Duration
		want  Verdict
		words string
	}{
		{"not yet", 1001 * day1, 0, Works, ""},
		{"by this machine's clock alone", 1001 * day1, 10 * day1, WrongClock, "clock is 10 days ahead, so the index's signature"},
		{"long ago", 999 * day1, 0, WrongContent, "is not valid at this time"},
		{"long ago, and the clock is off", 900 * day1, 10 * day1, WrongContent, "is not valid at this time"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := publisherFor(t, c.life)
			m := machine().off(c.off)
			m.req.Keyrings = map[string][]byte{"ubuntu": keyringOf(t, e)}
			o := m.ask(t, web(t, page(200, "text/plain", inRelease(t, e, -time.Hour, 0))), Spec{Ask: AskApt, Path: indexPath, Keyring: "ubuntu"})
			want(t, o, c.want, c.words)
		})
	}
}

func TestAptKeyrings(t *testing.T) {
	e, ca := publisher(t), newAuthority(t, "Practice CA")
	addr := web(t, page(200, "text/plain", inRelease(t, e, -time.Hour, 0)), ca.current(t, "apt.example"))
	file := filepath.Join(t.TempDir(), "practice.gpg")
	if err := os.WriteFile(file, keyringOf(t, e), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, keyring string
		want          Verdict
		words         string
	}{
		{"none", "", Works, "the signature was not verified"},
		{"a file", file, Works, ""},
		{"a file that is not there", file + "x", Unknown, "cannot be used: opening it"},
		{"a name that the request lacks", "docker", Unknown, `the keyring "docker" cannot be used`},
		{"no keyring at all", "junk", Unknown, "cannot be used"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := machine(ca)
			m.req.Keyrings = map[string][]byte{"junk": []byte("junk")}
			o := m.ask(t, addr, Spec{Ask: AskApt, TLS: true, Path: indexPath, Name: "apt.example", Keyring: c.keyring})
			want(t, o, c.want, c.words)
		})
	}
	o := machine().ask(t, addr, Spec{Ask: AskApt, TLS: true, Path: indexPath, Name: "apt.example"})
	want(t, o, Intercepted, "Practice CA")
	want(t, machine(ca).ask(t, addr, Spec{Ask: AskApt, TLS: true}), Unknown, "does not say where")
}
