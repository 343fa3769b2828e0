package support

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"ipivs.com/valtctl/installer/redact"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/plain"
	"ipivs.com/valtctl/repos/problem"
)

// Top is the folder that everything in an archive is in, and ManifestName the list of it.
const (
	Top          = "valtctl-support"
	ManifestName = "MANIFEST.json"
)

// Manifest is the list of what is in an archive, and of what is not.
type Manifest struct {
	Schema  string         `json:"schema"`
	Kind    string         `json:"kind"`
	Site    string         `json:"site"`
	Made    time.Time      `json:"made"`
	By      string         `json:"by"`
	Version any            `json:"version"`
	Hidden  bool           `json:"addresses_hidden"`
	PerFile int64          `json:"bytes_per_file"` // limits
	PerHost int64          `json:"bytes_per_host"`
	Hosts   []ManifestHost `json:"hosts"`
	Files   []ManifestFile `json:"files"` // in their order in the archive
	LeftOut []ManifestFile `json:"left_out"`
	Removed redact.Counts  `json:"removed"` // secrets, in all files
}

// ManifestHost is whether a host could be asked.
type ManifestHost struct {
	Host    string `json:"host"`
	Reached bool   `json:"reached"`
	Problem string `json:"problem,omitempty"`
}

// ManifestFile is one file, or one that is not there and why.
type ManifestFile struct {
	Path    string        `json:"path"`           // below Top
	Host    string        `json:"host,omitempty"` // empty: the controller's
	Bytes   int64         `json:"bytes,omitempty"`
	SHA256  string        `json:"sha256,omitempty"`
	Removed redact.Counts `json:"removed,omitempty"` // secrets, by what stands in their place
	Cut     int64         `json:"cut,omitempty"`     // bytes left out before what is there
	Problem string        `json:"problem,omitempty"`
}

// Archive is what comes together from hosts and controller until it is written. Its files
// wait in a folder of their own, without secrets already. It may be used by several
// goroutines, each with files of its own.
type Archive struct {
	dir      string
	redactor *redact.Redactor
	perHost  int64

	mu    sync.Mutex
	files []ManifestFile
	left  []ManifestFile
	hosts []ManifestHost
	spool map[string]string // path in the archive to file
}

// NewArchive is an empty one that takes at most so many bytes of each host. The redactor
// goes over everything once more, hosts' files included.
func NewArchive(r *redact.Redactor, perHost int64) (*Archive, error) {
	dir, err := os.MkdirTemp("", "valtctl-support-*")
	if err != nil {
		return nil, fmt.Errorf("making a folder for what is gathered: %w", err)
	}
	return &Archive{dir: dir, redactor: r, perHost: perHost, left: []ManifestFile{}, spool: map[string]string{}}, nil
}

// Close removes what has gathered.
func (a *Archive) Close() error {
	if err := os.RemoveAll(a.dir); err != nil {
		return fmt.Errorf("removing what was gathered: %w", err)
	}
	return nil
}

// Asked says whether a host could be reached, and what went wrong there.
func (a *Archive) Asked(host string, reached bool, err error) {
	h := ManifestHost{Host: host, Reached: reached}
	if err != nil {
		h.Problem = a.clean(err.Error())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hosts = append(a.hosts, h)
}

func (a *Archive) clean(text string) string {
	cleaned, _ := a.redactor.Bytes([]byte(text))
	return string(cleaned)
}

// Add puts one of the controller's own files in. A problem is said in the list.
func (a *Archive) Add(name string, limit int64, take func(io.Writer) error) error {
	kept := &tail{limit: int(limit)}
	w := a.redactor.Writer(kept)
	err := take(w)
	if closing := w.Close(); err == nil {
		err = closing
	}
	content, cut := kept.content()
	f := ManifestFile{Path: path.Join("controller", name), Removed: w.Counts(), Cut: cut}
	if err != nil {
		f.Problem = a.clean(err.Error())
	}
	if len(content) == 0 && err != nil {
		a.leave(f)
		return nil
	}
	return a.keep(f, content)
}

// JSON is what Add takes of a value.
func JSON(v any) func(io.Writer) error { return func(w io.Writer) error { return writeJSON(w, v) } }

// keep puts a file where it waits.
func (a *Archive) keep(f ManifestFile, content []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.spool[f.Path] != "" {
		return fmt.Errorf("gathering %s: it came twice", f.Path)
	}
	place := filepath.Join(a.dir, fmt.Sprintf("%06d", len(a.files)))
	if err := os.WriteFile(place, content, 0o600); err != nil {
		return fmt.Errorf("gathering %s: %w", f.Path, err)
	}
	a.spool[f.Path] = place
	a.files = append(a.files, f)
	return nil
}

func (a *Archive) leave(f ManifestFile) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.left = append(a.left, f)
}

// Receiver takes the parts of one host. What a host sends is not trusted to be within the
// limits, nor without secrets that it does not know.
type Receiver struct {
	archive *Archive
	host    string
	path    string
	content []byte
	total   int64
	count   int
}

// From receives a host's parts.
func (a *Archive) From(host string) *Receiver { return &Receiver{archive: a, host: host} }

// maxFiles caps how many files one host may send.
const maxFiles = 20000

// Part takes the next one.
func (r *Receiver) Part(p Part) error {
	if p.Path != r.path || p.Path == "" {
		if len(r.content) > 0 {
			return fmt.Errorf("gathering from host %s: %s has no end", r.host, r.path)
		}
		if !fs.ValidPath(p.Path) || len(p.Path) > 300 || strings.Contains(p.Path, `\`) || p.Path != plain.Line(p.Path) {
			return fmt.Errorf("gathering from host %s: %q is no path of a file", r.host, p.Path)
		}
		r.path = p.Path
	}
	r.total += int64(len(p.Data))
	if p.End != nil {
		r.count++
	}
	// The host keeps to the limit; what stands in the place of secrets is longer than some.
	if r.total > 2*r.archive.perHost || r.count > maxFiles {
		return fmt.Errorf("gathering from host %s: it sends more than was asked for", r.host)
	}
	r.content = append(r.content, p.Data...)
	if p.End == nil {
		return nil
	}
	return r.end(*p.End)
}

func (r *Receiver) end(e End) error {
	content, counts := r.archive.redactor.Bytes(r.content)
	name := path.Join("hosts", r.host, r.path)
	r.path, r.content = "", nil
	removed := redact.Counts{}
	removed.Add(e.Removed)
	removed.Add(counts)
	f := ManifestFile{Path: name, Host: r.host, Removed: removed, Cut: e.Cut, Problem: r.archive.clean(e.Problem)}
	if e.LeftOut {
		r.archive.leave(f)
		return nil
	}
	return r.archive.keep(f, content)
}

// Written is what was written.
type Written struct {
	File     string            `json:"file"`
	Bytes    int64             `json:"bytes"`
	Manifest Manifest          `json:"manifest"`
	Legend   map[string]string `json:"legend,omitempty"` // of the stand-ins; it is not in the archive
}

// Write writes the archive, complete or not at all, and for its owner alone. With a hider
// every file and the list get stand-ins.
func (a *Archive) Write(file string, m Manifest, h *redact.Hider) (*Written, error) {
	compress, err := compression(file)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	m.Schema, m.Kind, m.Hidden, m.Hosts, m.LeftOut, m.Removed = "valtctl/v1", "support-bundle", h != nil, a.hosts, a.left, redact.Counts{}
	byPath := func(x, y ManifestFile) int { return strings.Compare(x.Path, y.Path) }
	slices.SortFunc(a.files, byPath)
	slices.SortFunc(m.LeftOut, byPath)
	places := make([]string, len(a.files))
	m.Files = slices.Clone(a.files)
	for i := range m.Files {
		f := &m.Files[i]
		m.Removed.Add(f.Removed)
		places[i] = a.spool[f.Path]
		if err := finish(f, &places[i], h); err != nil {
			return nil, err
		}
	}
	list, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the list of what is in the archive: %w", err)
	}
	text := string(plain.JSON(list)) + "\n"
	out := &Written{File: file, Manifest: m}
	if h != nil {
		text = h.Text(text)
		out.Legend = h.Legend()
	}
	counted := &counter{}
	err = durable.WriteFrom(file, 0o600, func(w io.Writer) error {
		counted.to = w
		return pack(counted, compress, m.Made, []byte(text), m.Files, places, h)
	})
	out.Bytes = counted.n
	return out, err
}

// finish puts stand-ins into a waiting file and sums it up.
func finish(f *ManifestFile, place *string, h *redact.Hider) error {
	in, err := os.Open(*place)
	if err != nil {
		return fmt.Errorf("reading %s: %w", f.Path, err)
	}
	defer in.Close()
	sum := sha256.New()
	counted := &counter{to: sum}
	if h == nil {
		_, err = io.Copy(counted, in)
	} else {
		*place += ".hidden"
		err = hidden(in, *place, counted, h)
	}
	if err != nil {
		return fmt.Errorf("reading %s: %w", f.Path, err)
	}
	f.Bytes, f.SHA256 = counted.n, hex.EncodeToString(sum.Sum(nil))
	return nil
}

func hidden(in io.Reader, place string, also io.Writer, h *redact.Hider) error {
	out, err := os.OpenFile(place, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	w := h.Writer(io.MultiWriter(out, also))
	_, err = io.Copy(w, in)
	return errors.Join(err, w.Close(), out.Close())
}

// pack writes the compressed tar. Owners and times are the same for all, so that nothing of
// the controller is in it that is not in the list.
func pack(out io.Writer, compress func(io.Writer) (io.WriteCloser, error), made time.Time, list []byte, files []ManifestFile, places []string, h *redact.Hider) error {
	z, err := compress(out)
	if err != nil {
		return err
	}
	t := tar.NewWriter(z)
	header := func(name string, size int64) error {
		if h != nil {
			name = h.Text(name)
		}
		return t.WriteHeader(&tar.Header{Name: path.Join(Top, name), Mode: 0o600, Size: size, ModTime: made.UTC().Truncate(time.Second), Format: tar.FormatPAX})
	}
	err = header(ManifestName, int64(len(list)))
	if err == nil {
		_, err = t.Write(list)
	}
	for i := 0; i < len(files) && err == nil; i++ {
		if err = header(files[i].Path, files[i].Bytes); err == nil {
			err = copyFile(t, places[i])
		}
	}
	return errors.Join(err, t.Close(), z.Close())
}

func copyFile(out io.Writer, place string) error {
	in, err := os.Open(place)
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = io.Copy(out, in)
	return err
}

// compression goes by the name of the file.
func compression(file string) (func(io.Writer) (io.WriteCloser, error), error) {
	gz := func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil }
	forms := map[string]func(io.Writer) (io.WriteCloser, error){
		".tar.gz": gz, ".tgz": gz,
		".tar.zst": func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1)) },
	}
	for _, end := range slices.Sorted(maps.Keys(forms)) {
		if strings.HasSuffix(file, end) {
			return forms[end], nil
		}
	}
	return nil, &problem.Error{Kind: problem.Input, Doing: "writing", Object: file, Err: errors.New("its name does not say which archive it is to be"),
		Fix: "name it .tar.gz or .tar.zst"}
}

// CheckName judges the name of an archive before anything is gathered for it.
func CheckName(file string) error {
	_, err := compression(file)
	return err
}

// counter counts what goes through.
type counter struct {
	to io.Writer
	n  int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.n += int64(n)
	return n, err
}
