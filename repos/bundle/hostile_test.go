package bundle

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/repos/problem"
)

// entry is one thing in a tar, as hostile as it likes to be.
type entry struct {
	name, link string
	kind       byte // 0: a plain file
	size       int64
	data       []byte
	header     func(block []byte) // changes the header's bytes
}

// write is the entry's bytes; the size in the header is data's unless another is given.
func (e entry) bytes(t testing.TB) []byte {
	t.Helper()
	size := e.size
	if size == 0 {
		size = int64(len(e.data))
	}
	h := make([]byte, block)
	copy(h[:100], e.name)
	copy(h[100:], "0000644\x000000000\x000000000\x00")
	copy(h[124:], fmt.Sprintf("%011o\x00%011o\x00", size, sampleTime.Unix()))
	h[156] = tar.TypeReg
	if e.kind != 0 {
		h[156] = e.kind
	}
	copy(h[157:257], e.link)
	copy(h[257:], "ustar\x0000")
	copy(h[329:], "0000000\x000000000\x00")
	if e.header != nil {
		e.header(h)
	}
	copy(h[148:], "        ")
	sum, own := 0, [block]byte(h) // on the stack, where the race detector does not look
	for _, b := range own {
		sum += int(b)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return slices.Concat(h, e.data, make([]byte, padded(int64(len(e.data)))-int64(len(e.data))))
}

var sampleTime = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

// entries is a good bundle, for hostile hands to change. sign signs a list.
func entries(t testing.TB) []entry {
	t.Helper()
	c, all := sample(t, 1)
	return signed(t, c, all, maker(t, 1))
}

func signed(t testing.TB, c *Contents, all things, key ssh.Signer) []entry {
	t.Helper()
	if c.Schema == "" {
		c.Schema = Schema
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := sign(text, key)
	if err != nil {
		t.Fatal(err)
	}
	index, err := c.index()
	if err != nil {
		t.Fatal(err)
	}
	es := []entry{{name: nameLayout, data: []byte(layout)}, {name: nameIndex, data: index}, {name: nameContents, data: text}, {name: nameSignature, data: signature}}
	for _, b := range c.Blobs {
		es = append(es, entry{name: blobName(b.Digest), data: all[b.Digest]})
	}
	return es
}

// resigned is a bundle whose list was changed by a maker that is trusted.
func resigned(t testing.TB, change func(c *Contents)) []entry {
	t.Helper()
	c, all := sample(t, 1)
	change(c)
	return signed(t, c, all, maker(t, 1))
}

func joined(t testing.TB, es []entry) []byte {
	t.Helper()
	var out []byte
	for _, e := range es {
		out = append(out, e.bytes(t)...)
	}
	return append(out, make([]byte, trailer)...)
}

// edited is the good bundle with one entry changed.
func edited(t testing.TB, n int, change func(e *entry)) []byte {
	t.Helper()
	es := entries(t)
	change(&es[n])
	return joined(t, es)
}

// Places in a good bundle.
const (
	atLayout = iota
	atIndex
	atContents
	atSignature
	atBlob
)

// harmful are made once, since a bomb takes longer to make than to refuse. Nobody changes them.
var harmful struct {
	once sync.Once
	all  map[string][]byte
}

// hostile are bundles that somebody made to do harm, or made wrongly, by what is wrong.
func hostile(t testing.TB) map[string][]byte {
	t.Helper()
	harmful.once.Do(func() { harmful.all = makeHostile(t) })
	if len(harmful.all) == 0 {
		t.Fatal("the hostile bundles could not be made")
	}
	return harmful.all
}

func makeHostile(t testing.TB) map[string][]byte {
	t.Helper()
	good := joined(t, entries(t))
	insert := func(n int, more ...entry) []byte { return joined(t, slices.Insert(entries(t), n, more...)) }
	replace := func(n int, with entry) []byte { return edited(t, n, func(e *entry) { *e = with }) }
	blobEntry := entries(t)[atBlob]
	base256 := func(bytes ...byte) func([]byte) {
		return func(h []byte) { copy(h[124:136], append(make([]byte, 12-len(bytes)), bytes...)); h[124] |= 0x80 }
	}
	all := map[string][]byte{
		"a path that leads out":       edited(t, atBlob, func(e *entry) { e.name = "blobs/sha256/../../../etc/cron.d/x" }),
		"an absolute path":            edited(t, atBlob, func(e *entry) { e.name = "/etc/cron.d/x" }),
		"a path in a prefix":          edited(t, atBlob, func(e *entry) { e.header = func(h []byte) { copy(h[345:], "../../etc") } }),
		"a symbolic link as a blob":   replace(atBlob, entry{name: blobEntry.name, kind: tar.TypeSymlink, link: "/etc/shadow"}),
		"a hard link as a blob":       replace(atBlob, entry{name: blobEntry.name, kind: tar.TypeLink, link: "/etc/shadow"}),
		"a link as the list":          replace(atContents, entry{name: nameContents, kind: tar.TypeSymlink, link: "/etc/shadow"}),
		"a link before the blobs":     insert(atBlob, entry{name: "blobs", kind: tar.TypeSymlink, link: "/etc"}),
		"a device":                    insert(atBlob, entry{name: "blobs/sha256/sda", kind: tar.TypeBlock}),
		"a pipe":                      replace(atBlob, entry{name: blobEntry.name, kind: tar.TypeFifo}),
		"a folder":                    insert(atBlob, entry{name: "blobs/", kind: tar.TypeDir}),
		"the first file twice":        insert(atIndex, entries(t)[atLayout]),
		"the list twice":              insert(atSignature, entries(t)[atContents]),
		"the signature twice":         insert(atBlob, entries(t)[atSignature]),
		"a blob twice":                insert(atBlob, blobEntry),
		"a file that is not listed":   insert(atBlob, entry{name: "blobs/sha256/" + strings.Repeat("0", 64), data: []byte("more")}),
		"a file after the last":       joined(t, append(entries(t), entry{name: "more", data: []byte("more")})),
		"blobs in another order":      joined(t, swapped(entries(t), atBlob, atBlob+1)),
		"the list before the index":   joined(t, swapped(entries(t), atIndex, atContents)),
		"another index":               edited(t, atIndex, func(e *entry) { e.data = []byte(`{"schemaVersion":2,"manifests":[]}`) }),
		"another layout":              edited(t, atLayout, func(e *entry) { e.data = []byte(`{"imageLayoutVersion":"2.0.0"}`) }),
		"a path in a pax header":      insert(atBlob, entry{name: "PaxHeaders.0/x", kind: tar.TypeXHeader, data: []byte("22 path=/etc/cron.d/x\n")}),
		"a pax header for all":        insert(atLayout, entry{name: "pax_global_header", kind: tar.TypeXGlobalHeader, data: []byte("22 path=/etc/cron.d/x\n")}),
		"a pax header of much":        insert(atLayout, entry{name: "PaxHeaders.0/x", kind: tar.TypeXHeader, size: 1 << 32}),
		"a GNU long name":             insert(atLayout, entry{name: "././@LongLink", kind: tar.TypeGNULongName, data: bytes.Repeat([]byte("../"), 400)}),
		"a sparse file":               edited(t, atContents, func(e *entry) { e.kind = tar.TypeGNUSparse; e.header = sparse }),
		"a first file of 1 TiB":       edited(t, atLayout, func(e *entry) { e.header = base256(1, 0, 0, 0, 0, 0) }),
		"a first file of 8 GiB":       edited(t, atLayout, func(e *entry) { e.size = 8<<30 - 1 }),
		"an index beyond its cap":     edited(t, atIndex, func(e *entry) { e.data = make([]byte, maxIndex+1) }),
		"a list beyond its cap":       edited(t, atContents, func(e *entry) { e.size = maxContents + 1 }),
		"a list longer than the file": edited(t, atContents, func(e *entry) { e.size = maxContents }),
		"a list of no size": edited(t, atContents, func(e *entry) {
			e.header = base256(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
		}),
		"a signature beyond its cap": edited(t, atSignature, func(e *entry) { e.data = make([]byte, maxSignature+1) }),
		"a blob shorter than signed": edited(t, atBlob, func(e *entry) { e.data = e.data[:len(e.data)-1] }),
		"a blob longer than signed":  edited(t, atBlob, func(e *entry) { e.data = append(slices.Clone(e.data), 0) }),
		"a blob's length alone":      edited(t, atBlob, func(e *entry) { e.size = int64(len(e.data)) - 100 }),
		"another blob of its length": edited(t, atBlob, func(e *entry) { e.data = bytes.Repeat([]byte("x"), len(e.data)) }),
		"another owner":              edited(t, atBlob, func(e *entry) { e.header = func(h []byte) { copy(h[265:], "root") } }),
		"setuid":                     edited(t, atBlob, func(e *entry) { e.header = func(h []byte) { copy(h[100:], "0004755\x00") } }),
		"not signed":                 joined(t, slices.Delete(entries(t), atSignature, atSignature+1)),
		"an empty signature":         edited(t, atSignature, func(e *entry) { e.data = nil }),
		"a signature that is none":   edited(t, atSignature, func(e *entry) { e.data = bytes.Repeat([]byte("A"), len(e.data)) }),
		"nothing":                    {},
		"one block":                  good[:block],
		"zeros":                      make([]byte, 1<<20),
		"packed":                     packed(t, good),
		"a bomb":                     bytes.Repeat(packed(t, make([]byte, 16<<20)), 4), // one after the other is one (RFC 1952, 2.2)
		"its start again":            append(slices.Clone(good), good...),
		"without its end":            good[:len(good)-trailer],
		"something in its end":       append(slices.Clone(good[:len(good)-1]), 1),
	}
	more(t, all)
	return all
}

// more adds what is wrong with signatures and lists, whoever signed them.
func more(t testing.TB, all map[string][]byte) {
	t.Helper()
	c, blobs := sample(t, 1)
	all["signed by a stranger"] = joined(t, signed(t, c, blobs, maker(t, 2)))
	c, blobs = sample(t, 2)
	other := signed(t, c, blobs, maker(t, 1))
	all["another list's signature"] = edited(t, atSignature, func(e *entry) { *e = other[atSignature] })
	all["another bundle's list"] = edited(t, atContents, func(e *entry) { *e = other[atContents] })
	all["signed for something else"] = edited(t, atSignature, func(e *entry) { e.data = signedFor(t, entries(t)[atContents].data, "file") })
	for name, change := range map[string]func(c *Contents){
		"a file whose path leads out":   func(c *Contents) { c.Files[0].Path = "apt/../../etc/passwd" },
		"a file with an absolute path":  func(c *Contents) { c.Files[0].Path = "/etc/passwd" },
		"a file in a folder of others":  func(c *Contents) { c.Files[0].Path = "etc/passwd" },
		"a file with a backslash":       func(c *Contents) { c.Files[0].Path = `apt\..\..\windows` },
		"a file listed twice":           func(c *Contents) { c.Files[1].Path = c.Files[0].Path },
		"a blob listed twice":           func(c *Contents) { c.Blobs = append(c.Blobs, c.Blobs[0]) },
		"a blob both here and left":     func(c *Contents) { c.Left = append(c.Left, c.Blobs[0]) },
		"a file without a blob":         func(c *Contents) { c.Files[0].Digest = "sha256:" + strings.Repeat("0", 64) },
		"an image without a manifest":   func(c *Contents) { c.Images[0].Manifest = "sha256:" + strings.Repeat("0", 64) },
		"a digest that is a path":       func(c *Contents) { c.Blobs[0].Digest = "sha256:../../../etc/passwd" },
		"a blob of negative size":       func(c *Contents) { c.Blobs[0].Size = -1 },
		"a blob beyond any disk":        func(c *Contents) { c.Blobs[0].Size = 1 << 62 },
		"sizes that overflow together":  func(c *Contents) { sizes(c, maxBlobSize) },
		"another format":                func(c *Contents) { c.Schema = "valtctl/bundle/v2" },
		"no release":                    func(c *Contents) { c.Release = "" },
		"no date":                       func(c *Contents) { c.Made = time.Time{} },
		"a date that no file can have":  func(c *Contents) { c.Made = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) },
		"a date before there were any":  func(c *Contents) { c.Made = time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC) },
		"more blobs than anybody needs": func(c *Contents) { many(c, maxBlobs+1) },
	} {
		all[name] = joined(t, resigned(t, change))
	}
	for name, text := range map[string]string{
		"a list that is no JSON":       `{"schema":`,
		"a list of unknown fields":     `{"schema":"valtctl/bundle/v1","run":"rm -rf /"}`,
		"a list nested deeply":         strings.Repeat("[", 100_000),
		"a list of millions of things": `{"schema":"valtctl/bundle/v1","blobs":[` + strings.Repeat("{},", 3_000_000) + `{}]}`,
	} {
		signature, err := sign([]byte(text), maker(t, 1))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = joined(t, []entry{{name: nameLayout, data: []byte(layout)}, {name: nameIndex, data: []byte("{}")},
			{name: nameContents, data: []byte(text)}, {name: nameSignature, data: signature}})
	}
}

func sizes(c *Contents, size int64) {
	for i := range c.Blobs {
		c.Blobs[i].Size = size
	}
}

func many(c *Contents, n int) {
	for i := range n {
		c.Blobs = append(c.Blobs, Blob{fmt.Sprintf("sha256:%064x", i+1), 0, MediaFile})
	}
}

// sparse makes a header say that the file is of 1 TiB, most of it a hole (tar(5), "GNU tar archives").
func sparse(h []byte) {
	copy(h[257:], "ustar  \x00")
	copy(h[386:], "00000000000\x0000000000001\x00")
	copy(h[483:], "\x80\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00")
}

func swapped(es []entry, a, b int) []entry {
	es[a], es[b] = es[b], es[a]
	return es
}

func packed(t testing.TB, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// signedFor is a good signature of a maker that is trusted, made for another purpose.
func signedFor(t testing.TB, text []byte, namespace string) []byte {
	t.Helper()
	s, err := sshsig.Sign(bytes.NewReader(text), maker(t, 1), sshsig.HashSHA512, namespace)
	if err != nil {
		t.Fatal(err)
	}
	return sshsig.Armor(s)
}

// TestTheGoodBundleOfTheseTestsIsGood: else every one below would be refused for no reason.
func TestTheGoodBundleOfTheseTestsIsGood(t *testing.T) {
	name := filepath.Join(t.TempDir(), "site.bundle")
	if err := os.WriteFile(name, joined(t, entries(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := judge(t, []string{name}); err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile(made(t, 1, maker(t, 1)))
	if err != nil || !bytes.Equal(written, joined(t, entries(t))) {
		t.Errorf("it is not what Create writes (%v)", err)
	}
}

// TestHostileBundlesAreRefused: each by its name and with the exit code of trust, and
// nothing is written anywhere, nor the file changed.
func TestHostileBundlesAreRefused(t *testing.T) {
	if testing.Short() {
		t.Skip("nothing runs beside anything here; make unit runs this without the race detector")
	}
	for name, content := range hostile(t) {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "hostile.bundle")
			if err := os.WriteFile(file, content, 0o600); err != nil {
				t.Fatal(err)
			}
			err := judge(t, []string{file})
			if problem.KindOf(err) != problem.Trust || !strings.Contains(err.Error(), "hostile.bundle") {
				t.Errorf("%v", err)
			}
			if after, err := os.ReadFile(file); err != nil || !bytes.Equal(after, content) {
				t.Errorf("the file was changed (%v)", err)
			}
			var found []string
			_ = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
				found = append(found, path)
				return err
			})
			if len(found) != 2 {
				t.Errorf("files were made: %v", found)
			}
		})
	}
}

// TestABombOnADiskIsNotRead: files that say they are large, and are, but for their bytes.
func TestABombOnADiskIsNotRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "hostile.bundle")
	if err := os.WriteFile(name, joined(t, entries(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, 1<<40); err != nil {
		t.Fatal(err)
	}
	if err := judge(t, []string{name}); problem.KindOf(err) != problem.Trust || !strings.Contains(err.Error(), "its length") {
		t.Errorf("%v", err)
	}
}

// TestAPartsNumberIsNotChangedUnseen: nobody signs it.
func TestAPartsNumberIsNotChangedUnseen(t *testing.T) {
	whole := opened(t, made(t, 1, maker(t, 1)))
	names, err := whole.Split(t.Context(), filepath.Join(t.TempDir(), "site.bundle"), 20_000)
	if err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(names[0])
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(good, []byte(`{"part":1,`))
	for i := at; good[i] != 0; i++ {
		bad := slices.Clone(good)
		bad[i] ^= 1
		if err := os.WriteFile(names[0], bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := func() error {
			r, err := Open(names[:1], []ssh.PublicKey{maker(t, 1).PublicKey()})
			if err == nil {
				_ = r.Close()
			}
			return err
		}(); problem.KindOf(err) != problem.Trust || !strings.Contains(err.Error(), filepath.Base(names[0])) {
			t.Errorf("byte %d of its number: %v", i-at, err)
		}
	}
}
