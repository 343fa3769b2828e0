package bundle

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/repos/problem"
)

// maker is somebody who makes bundles.
func maker(t testing.TB, seed byte) ssh.Signer {
	t.Helper()
	key, err := ssh.NewSignerFromKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// things are blobs by digest, as a mirror has them.
type things map[string][]byte

func (all things) add(c *Contents, content []byte, media string) string {
	sum := sha256.Sum256(content)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	if _, ok := all[digest]; !ok {
		all[digest] = content
		c.Blobs = append(c.Blobs, Blob{digest, int64(len(content)), media})
	}
	return digest
}

func (all things) source(_ context.Context, b Blob, offset int64) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(all[b.Digest][offset:])), nil
}

// sample is a small bundle's contents: files, one image of two layers.
func sample(t testing.TB, seed uint64) (*Contents, things) {
	t.Helper()
	all, random := things{}, rand.New(rand.NewPCG(seed, 1))
	content := func(n int) []byte {
		text := make([]byte, n)
		for i := range text {
			text[i] = byte(random.Uint32())
		}
		return text
	}
	c := &Contents{Release: "6.4.2", Made: sampleTime, Maker: "pat@laptop", Ubuntu: []string{"22.04"}}
	for i := range 6 {
		digest := all.add(c, content(70+i*99), MediaFile)
		c.Files = append(c.Files, File{fmt.Sprintf("apt/vendor/pool/%d.deb", i), digest})
	}
	config := all.add(c, content(1024), "application/vnd.oci.image.config.v1+json")
	layers := []string{all.add(c, content(4_000), "layer"), all.add(c, content(9_001), "layer")}
	manifest := all.add(c, []byte(fmt.Sprintf(`{"schemaVersion":2,"config":%q,"layers":%q}`, config, layers)), "application/vnd.oci.image.manifest.v1+json")
	c.Images = []Image{{"docker.ipivs.com/valt/web", "6.4.2", "linux/amd64", manifest, config}}
	return c, all
}

// made is a bundle on the disk.
func made(t *testing.T, seed uint64, key ssh.Signer) string {
	t.Helper()
	c, all := sample(t, seed)
	name := filepath.Join(t.TempDir(), "site.bundle")
	if _, err := Create(t.Context(), name, c, key, all.source, nil); err != nil {
		t.Fatal(err)
	}
	return name
}

// opened is a bundle that must be good.
func opened(t *testing.T, names ...string) *Reader {
	t.Helper()
	r, err := Open(names, []ssh.PublicKey{maker(t, 1).PublicKey()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// judge opens and verifies names as a run does before it changes anything.
func judge(t *testing.T, names []string) error {
	r, err := Open(names, []ssh.PublicKey{maker(t, 1).PublicKey()})
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.Missing(); err != nil {
		return err
	}
	return r.Verify(t.Context(), nil)
}

func TestABundleGivesBackWhatWentIn(t *testing.T) {
	r := opened(t, made(t, 1, maker(t, 1)))
	if err := errors.Join(r.Missing(), r.Verify(t.Context(), nil)); err != nil {
		t.Fatal(err)
	}
	_, all := sample(t, 1)
	for _, f := range r.Contents.Files {
		got, err := r.ReadFile(f.Path, 1<<20)
		if err != nil || !bytes.Equal(got, all[f.Digest]) {
			t.Errorf("%s: %v, or other bytes", f.Path, err)
		}
	}
	if _, err := r.ReadFile("apt/vendor/pool/9.deb", 1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what is not in it: %v", err)
	}
	if _, err := r.ReadFile("apt/vendor/pool/0.deb", 10); err == nil {
		t.Error("a file larger than allowed was read")
	}
}

// TestEveryDamageIsFound: 2,000 random flips, cuts and additions, over the whole file.
func TestEveryDamageIsFound(t *testing.T) {
	if testing.Short() {
		t.Skip("nothing runs beside anything here; make unit runs this without the race detector")
	}
	good, err := os.ReadFile(made(t, 1, maker(t, 1)))
	if err != nil {
		t.Fatal(err)
	}
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 2))
	name := filepath.Join(t.TempDir(), "damaged.bundle")
	for n := range 2000 {
		bad, how := slices.Clone(good), ""
		switch at := random.IntN(len(bad)); n % 10 {
		case 8:
			bad, how = bad[:at], fmt.Sprintf("cut at %d", at)
		case 9:
			bad, how = append(bad, bad[:1+random.IntN(4096)]...), "with more after its end"
		default:
			bad[at] ^= 1 << random.IntN(8)
			how = fmt.Sprintf("flipped at %d", at)
		}
		if err := os.WriteFile(name, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		err := judge(t, []string{name})
		if problem.KindOf(err) != problem.Trust || !strings.Contains(err.Error(), "damaged.bundle") {
			t.Fatalf("seed %d, %s: %v", seed, how, err)
		}
	}
}

func TestOnlyATrustedKeysBundleIsRead(t *testing.T) {
	for name, key := range map[string]ssh.Signer{"a stranger": maker(t, 2)} {
		if err := judge(t, []string{made(t, 1, key)}); problem.KindOf(err) != problem.Trust || !strings.Contains(err.Error(), "not trusted") {
			t.Errorf("signed by %s: %v", name, err)
		}
	}
}

func TestPartsAreReadFromSeveralMedia(t *testing.T) {
	whole := opened(t, made(t, 1, maker(t, 1)))
	names, err := whole.Split(t.Context(), filepath.Join(t.TempDir(), "site.bundle"), 20_000)
	if err != nil || len(names) < 2 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		if info, err := os.Stat(name); err != nil || info.Size() > 20_000 {
			t.Errorf("%s: %v, %d bytes", name, err, info.Size())
		}
		alone := opened(t, name)
		if err := alone.Verify(t.Context(), nil); err != nil {
			t.Errorf("%s alone: %v", name, err)
		}
		if err := alone.Missing(); problem.KindOf(err) != problem.Trust || !strings.Contains(err.Error(), "missing") {
			t.Errorf("%s alone is taken for all: %v", name, err)
		}
	}
	other := slices.Clone(names)
	slices.Reverse(other) // any order
	if err := judge(t, other); err != nil {
		t.Error(err)
	}
	if err := judge(t, []string{names[0], names[0], names[1]}); problem.KindOf(err) != problem.Trust {
		t.Errorf("one part twice: %v", err)
	}
	strange := opened(t, made(t, 2, maker(t, 1)))
	others, err := strange.Split(t.Context(), filepath.Join(t.TempDir(), "other.bundle"), 20_000)
	if err != nil {
		t.Fatal(err)
	}
	mixed := slices.Clone(names)
	mixed[1] = others[1]
	if err := judge(t, mixed); problem.KindOf(err) != problem.Trust || !strings.Contains(err.Error(), "other.bundle.2of") {
		t.Errorf("a part of another bundle: %v", err)
	}
	if _, err := whole.Split(t.Context(), filepath.Join(t.TempDir(), "small"), 10_000); problem.KindOf(err) != problem.Input {
		t.Errorf("parts smaller than a blob: %v", err)
	}
}

// broken breaks off after some bytes, as a line does; below 0 it never does.
type broken struct {
	things
	after int64
	sent  int64
}

func (b *broken) source(ctx context.Context, blob Blob, offset int64) (io.ReadCloser, error) {
	in, err := b.things.source(ctx, blob, offset)
	return struct {
		io.Reader
		io.Closer
	}{readerFunc(func(p []byte) (int, error) {
		if b.after >= 0 && b.sent >= b.after {
			return 0, errors.New("the line is cut")
		}
		n, err := in.Read(p[:min(len(p), 300)])
		b.sent += int64(n)
		return n, err
	}), in}, err
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestACutMakingGoesOnWhereItWas(t *testing.T) {
	c, all := sample(t, 1)
	name := filepath.Join(t.TempDir(), "site.bundle")
	first := &broken{things: all, after: 6_000}
	if _, err := Create(t.Context(), name, c, maker(t, 1), first.source, nil); err == nil || !strings.Contains(err.Error(), "the line is cut") {
		t.Fatalf("it did not fail: %v", err)
	}
	if _, err := os.Stat(name); err == nil {
		t.Fatal("what is not whole has the bundle's name")
	}
	again, _ := sample(t, 1)
	again.Made = again.Made.Add(time.Hour)
	second := &broken{things: all, after: -1}
	resumed, err := Create(t.Context(), name, again, maker(t, 1), second.source, nil)
	if err != nil {
		t.Fatal(err)
	}
	if total := c.Size(); first.sent+second.sent != total || resumed == 0 {
		t.Errorf("%d and then %d bytes were fetched for %d (saved %d)", first.sent, second.sent, total, resumed)
	}
	if err := judge(t, []string{name}); err != nil {
		t.Error(err)
	}
}

// TestHolesInWhatAnEarlierRunWroteAreFilled: a power cut keeps a file's length and loses
// what was written last.
func TestHolesInWhatAnEarlierRunWroteAreFilled(t *testing.T) {
	c, all := sample(t, 1)
	name := filepath.Join(t.TempDir(), "site.bundle")
	if _, err := Create(t.Context(), name, c, maker(t, 1), (&broken{things: all, after: 12_000}).source, nil); err == nil {
		t.Fatal("it did not fail")
	}
	f, err := os.OpenFile(name+unfinished, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{info.Size() - 2000, info.Size() / 2} { // in the blob that was cut, and in one that was whole
		if _, err := f.WriteAt(make([]byte, 100), at); err != nil {
			t.Fatal(err)
		}
		again, _ := sample(t, 1)
		if _, err := Create(t.Context(), name, again, maker(t, 1), all.source, nil); err != nil {
			t.Fatal(err)
		}
		if err := judge(t, []string{name}); err != nil {
			t.Errorf("a hole at %d: %v", at, err)
		}
		if err := os.Rename(name, name+unfinished); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatASourceSendsMustBeWhatIsListed(t *testing.T) {
	c, all := sample(t, 1)
	last := c.Blobs[len(c.Blobs)-1]
	all[last.Digest] = bytes.Repeat([]byte("x"), int(last.Size))
	name := filepath.Join(t.TempDir(), "site.bundle")
	if _, err := Create(t.Context(), name, c, maker(t, 1), all.source, nil); problem.KindOf(err) != problem.Trust || !strings.Contains(err.Error(), last.Digest) {
		t.Errorf("other bytes than those listed: %v", err)
	}
}
