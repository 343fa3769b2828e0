package support

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"ipivs.com/valtctl/installer/redact"
	"ipivs.com/valtctl/repos/problem"
)

func fresh(t *testing.T) *Archive {
	t.Helper()
	a, err := NewArchive(redact.New([]redact.Secret{{Name: "ssh-identity", Value: []byte("OnlyTheControllerKnows1")}}), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(a.dir); err == nil {
			t.Error("what was gathered is left behind")
		}
	})
	return a
}

func receive(t *testing.T, r *Receiver, parts ...Part) {
	t.Helper()
	for _, p := range parts {
		if err := r.Part(p); err != nil {
			t.Fatal(err)
		}
	}
}

// unpack is an archive's files in their order.
func unpack(t *testing.T, file string) (order []string, files map[string]string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var in io.Reader
	if strings.HasSuffix(file, ".zst") {
		in, err = zstd.NewReader(bytes.NewReader(content))
	} else {
		in, err = gzip.NewReader(bytes.NewReader(content))
	}
	if err != nil {
		t.Fatal(err)
	}
	files = map[string]string{}
	for r := tar.NewReader(in); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return order, files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Mode != 0o600 || h.Uid != 0 || h.Uname != "" {
			t.Errorf("%s: mode %o of %d %s", h.Name, h.Mode, h.Uid, h.Uname)
		}
		order, files[h.Name] = append(order, h.Name), string(text)
	}
}

func fill(t *testing.T, a *Archive) {
	t.Helper()
	if err := a.Add("site.yaml", 1<<20, func(w io.Writer) error {
		_, err := io.WriteString(w, "hosts: [app1, media1] # password: hunter2\n")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := a.Add("gone.json", 1<<20, func(io.Writer) error { return errors.New("no such file, token=abc") }); err != nil {
		t.Fatal(err)
	}
	receive(t, a.From("media1"), Part{Path: "x.log", Data: []byte("from 10.0.4.10 OnlyTheContr")}, Part{Path: "x.log", Data: []byte("ollerKnows1\n"), End: &End{Removed: redact.Counts{"password": 2}, Cut: 17}})
	receive(t, a.From("app1"), Part{Path: "old.log", End: &End{LeftOut: true, Problem: "the limit of the host is reached"}}, Part{Path: "a.log", Data: []byte("app1 is 10.0.4.10\n"), End: &End{}})
	a.Asked("app1", true, nil)
	a.Asked("media1", true, nil)
	a.Asked("media2", false, errors.New("dialling 10.0.4.22: refused"))
}

func TestTheListSaysWhatIsInTheArchive(t *testing.T) {
	for _, name := range []string{"a.tar.gz", "a.tgz", "a.tar.zst"} {
		a := fresh(t)
		fill(t, a)
		file := filepath.Join(t.TempDir(), name)
		made := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
		if _, err := a.Write(file, Manifest{Site: "st-marys", Made: made, By: "pat@laptop"}, nil); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(file)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
		order, files := unpack(t, file)
		if want := []string{"valtctl-support/MANIFEST.json", "valtctl-support/controller/site.yaml", "valtctl-support/hosts/app1/a.log", "valtctl-support/hosts/media1/x.log"}; !slices.Equal(order, want) {
			t.Errorf("%v", order)
		}
		var m Manifest
		if err := json.Unmarshal([]byte(files["valtctl-support/MANIFEST.json"]), &m); err != nil {
			t.Fatal(err)
		}
		for _, f := range m.Files {
			content := files["valtctl-support/"+f.Path]
			sum := sha256.Sum256([]byte(content))
			if f.SHA256 != hex.EncodeToString(sum[:]) || f.Bytes != int64(len(content)) {
				t.Errorf("%+v is not what is there: %q", f, content)
			}
		}
		x := m.Files[2]
		if x.Host != "media1" || x.Cut != 17 || x.Removed["password"] != 2 || x.Removed["ssh-identity"] != 1 || files["valtctl-support/hosts/media1/x.log"] != "from 10.0.4.10 [removed:ssh-identity]\n" {
			t.Errorf("%+v", x)
		}
		if m.Removed["password"] != 3 || m.Removed["ssh-identity"] != 1 {
			t.Errorf("%v", m.Removed)
		}
		if len(m.LeftOut) != 2 || m.LeftOut[0].Path != "controller/gone.json" || strings.Contains(m.LeftOut[0].Problem, "abc") || m.LeftOut[1].Path != "hosts/app1/old.log" {
			t.Errorf("%+v", m.LeftOut)
		}
		if h := m.Hosts[2]; h.Reached || h.Host != "media2" || !strings.Contains(h.Problem, "refused") {
			t.Errorf("%+v", m.Hosts)
		}
	}
}

func TestTheSameGivesTheSameArchive(t *testing.T) {
	var sums []string
	for range 2 {
		a := fresh(t)
		fill(t, a)
		file := filepath.Join(t.TempDir(), "a.tar.gz")
		if _, err := a.Write(file, Manifest{Made: time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)}, nil); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(content)
		sums = append(sums, hex.EncodeToString(sum[:]))
	}
	if sums[0] != sums[1] {
		t.Error("two archives of the same differ")
	}
}

func TestStandInsAreInFilesPathsAndList(t *testing.T) {
	a := fresh(t)
	fill(t, a)
	h := redact.NewHider()
	for _, name := range []string{"app1", "media1", "media2"} {
		h.Name("host", name)
	}
	file := filepath.Join(t.TempDir(), "a.tar.gz")
	written, err := a.Write(file, Manifest{Site: "st-marys"}, h)
	if err != nil {
		t.Fatal(err)
	}
	order, files := unpack(t, file)
	for name, text := range files {
		for _, left := range []string{"app1", "media1", "media2", "10.0.4."} {
			if strings.Contains(name+text, left) {
				t.Errorf("%s has %s: %s", name, left, text)
			}
		}
	}
	if !slices.Contains(order, "valtctl-support/hosts/host-2/x.log") || files["valtctl-support/hosts/host-1/a.log"] != "host-1 is addr-1\n" || !strings.HasPrefix(files["valtctl-support/hosts/host-2/x.log"], "from addr-1 ") {
		t.Errorf("%v, %v", order, files)
	}
	if written.Legend["host-2"] != "media1" || written.Legend["addr-1"] != "10.0.4.10" {
		t.Errorf("%v", written.Legend)
	}
	var m Manifest
	if err := json.Unmarshal([]byte(files["valtctl-support/MANIFEST.json"]), &m); err != nil || !m.Hidden || m.Files[1].Path != "hosts/host-1/a.log" {
		t.Errorf("%+v, %v", m, err)
	}
}

// A host may be anybody by now.
func TestAHostCannotWriteWhereItLikes(t *testing.T) {
	for _, path := range []string{"../x", "/etc/x", "a/../../x", "a//b", "", "a\\b", "a\nb", strings.Repeat("a", 400)} {
		if err := fresh(t).From("app1").Part(Part{Path: path, Data: []byte("x"), End: &End{}}); err == nil {
			t.Errorf("%q is taken", path)
		}
	}
	r := fresh(t).From("app1")
	receive(t, r, Part{Path: "a", Data: []byte("x"), End: &End{}})
	if err := r.Part(Part{Path: "a", Data: []byte("y"), End: &End{}}); err == nil {
		t.Error("a second file of the same name is taken")
	}
	r, sent := fresh(t).From("app1"), 0
	for ; sent < 100; sent++ {
		if err := r.Part(Part{Path: "a", Data: make([]byte, 100<<10)}); err != nil {
			break
		}
	}
	if sent > 21 {
		t.Errorf("%d pieces of 100 KiB are taken where 1 MiB was asked for", sent)
	}
}

func TestAnArchiveIsThereWholeOrNotAtAll(t *testing.T) {
	dir := t.TempDir()
	a := fresh(t)
	fill(t, a)
	file := filepath.Join(dir, "a.tar.gz")
	sizes := Manifest{}
	if _, err := a.Write(filepath.Join(dir, "missing", "a.tar.gz"), sizes, nil); err == nil {
		t.Error("a folder that is not there is written to")
	}
	for _, place := range a.spool {
		if err := os.Remove(place); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.Write(file, sizes, nil); err == nil {
		t.Error("what was lost is not missed")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	if err := CheckName("a.zip"); problem.KindOf(err) != problem.Input {
		t.Error(err)
	}
}
