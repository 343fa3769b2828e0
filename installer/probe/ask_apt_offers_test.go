package probe

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"time"
)

// offering is a signed index of one list of packages.
func offering(t *testing.T, e *openpgp.Entity, file string, list []byte) string {
	t.Helper()
	at := time.Now().Add(-time.Hour)
	text := fmt.Sprintf("Origin: Practice\nSuite: stable\nCodename: noble\nDate: %s\nSHA256:\n %x %d %s\n", at.UTC().Format(time.RFC1123), sha256.Sum256(list), len(list), file)
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

func zipped(t *testing.T, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write([]byte(text))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// packageOf is one stanza of a list.
func packageOf(name, version string) string {
	return "Package: " + name + "\nVersion: " + version + "\nArchitecture: all\nFilename: pool/" + name + "_" + version + ".deb\nSize: 1\nSHA256: " + strings.Repeat("ab", 32) + "\n\n"
}

func TestAnIndexThatIsOlderThanTheReleaseIsNamed(t *testing.T) {
	e := publisher(t)
	file := "main/binary-" + runtime.GOARCH + "/Packages.gz"
	old := zipped(t, packageOf("valt-host", "6.4.1-1")+packageOf("valt-host", "6.4.0-1"))
	wanted := []string{"valt-host=6.4.2-1", "valt-tools=6.4.1-1"}
	for name, c := range map[string]struct {
		list, served []byte
		file         string
		offers       []string
		want         Verdict
		words        []string
		lacks        []string
	}{
		"all there":        {list: zipped(t, packageOf("valt-host", "6.4.2-1")+packageOf("valt-tools", "6.4.1-1")), offers: wanted, want: Works},
		"older":            {list: old, offers: wanted, want: WrongContent, words: []string{"valt-host=6.4.2-1 (it has 6.4.1-1, 6.4.0-1)", "valt-tools=6.4.1-1 (it has no such package)"}, lacks: wanted},
		"not asked":        {list: old, want: Works},
		"another's list":   {list: old, served: zipped(t, packageOf("valt-host", "6.4.2-1")), offers: wanted, want: WrongContent, words: []string{"something else than the list that the index promises"}},
		"no list":          {list: old, file: "main/binary-vax/Packages.gz", offers: wanted, want: WrongContent, words: []string{"no list of packages"}},
		"packed otherwise": {list: old, file: "main/binary-" + runtime.GOARCH + "/Packages.xz", offers: wanted, want: Unknown, words: []string{"Packages.xz"}},
		"a list unpacked":  {list: []byte(packageOf("valt-host", "6.4.2-1")), file: strings.TrimSuffix(file, ".gz"), offers: wanted[:1], want: Works},
		"a broken list":    {list: []byte("no gzip"), offers: wanted, want: WrongContent, words: []string{"cannot be read"}},
	} {
		t.Run(name, func(t *testing.T) {
			if c.file == "" {
				c.file = file
			}
			if c.served == nil {
				c.served = c.list
			}
			index := offering(t, e, c.file, c.list)
			m := machine()
			m.req.Keyrings = map[string][]byte{"valt": keyringOf(t, e)}
			o := m.ask(t, web(t, func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case indexPath:
					w.Header().Set("Content-Type", "text/plain")
					w.Write([]byte(index))
				case "/ubuntu/dists/noble/" + c.file:
					w.Header().Set("Content-Type", "application/octet-stream")
					w.Write(c.served)
				default:
					http.NotFound(w, r)
				}
			}), Spec{Ask: AskApt, Path: indexPath, Keyring: "valt", Offers: c.offers})
			want(t, o, c.want, c.words...)
			if !slices.Equal(o.Lacks, c.lacks) {
				t.Errorf("it lacks %q", o.Lacks)
			}
		})
	}
}
