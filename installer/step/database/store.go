package database

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/problem"
)

// DefaultDir is where backups are kept where the site file names no folder.
const DefaultDir = "/var/lib/valtctl/backup"

// DefaultKeep is how many are kept where the site file says nothing.
const DefaultKeep = 5

// Schema marks a Record.
const Schema = "valtctl/backup/v1"

const (
	recordFile = "backup.json"
	dumpFile   = "dump.sql.zst"
	sealedEnd  = ".age"
	maxRecord  = 64 << 20
)

// Record is what is known of a backup. It is written when the dump is whole, and again with each proof.
type Record struct {
	Schema  string    `json:"schema"`
	ID      string    `json:"id"`
	Site    string    `json:"site"`
	Host    string    `json:"host"`
	Release string    `json:"release"` // that served
	Made    time.Time `json:"made"`
	Why     string    `json:"why"`
	Image   string    `json:"image"`  // the engine's ID of the database's image
	Server  string    `json:"server"` // its version, as it says it: "10.11.19-MariaDB-0+deb12u1"
	Client  string    `json:"client"` // of the image, as it says it
	Dump    Dump      `json:"dump"`
	// Inventory is what the database held. Moved are tables that were written to meanwhile.
	Inventory Inventory `json:"inventory"`
	Moved     []string  `json:"moved,omitempty"`
	Phases    []Phase   `json:"phases"`
	Proofs    []Proof   `json:"proofs,omitempty"` // oldest first
}

// Dump is the file beside the record.
type Dump struct {
	File   string `json:"file"`
	SHA256 string `json:"sha256"` // of the file
	Size   int64  `json:"size"`   // of the file, bytes
	Plain  int64  `json:"plain"`  // of the statements, bytes
	// Recipients are whom it is encrypted to, beside this host itself; none: it is not encrypted.
	Recipients []string `json:"recipients,omitempty"`
}

// Phase is how long a part of the work took.
type Phase struct {
	Name string        `json:"name"`
	Took time.Duration `json:"took_ns"`
}

// Proof is one restoring into a throwaway container that came to the same.
type Proof struct {
	Time     time.Time      `json:"time"`
	Image    string         `json:"image"`
	Server   string         `json:"server"`
	Client   string         `json:"client"`
	Compared map[string]int `json:"compared"`        // things by kind
	Moved    int            `json:"moved,omitempty"` // tables of which only the form was compared
	Phases   []Phase        `json:"phases"`
	By       string         `json:"by,omitempty"` // the run that asked for it
}

// Proved is when the backup was proved last; zero: never.
func (r Record) Proved() time.Time {
	if len(r.Proofs) == 0 {
		return time.Time{}
	}
	return r.Proofs[len(r.Proofs)-1].Time
}

// Store says where a site keeps its backups and how.
type Store struct {
	Dir       string `json:"dir"`
	Keep      int    `json:"keep"`                // how many; 0: all
	Recipient string `json:"recipient,omitempty"` // age's; empty: not encrypted
}

var goodID = regexp.MustCompile(`^[0-9]{8}T[0-9]{6}Z(-[a-z0-9-]{1,40})?$`)

// NewID names a backup made at a time.
func NewID(at time.Time, why string) string {
	id := at.UTC().Format("20060102T150405Z")
	if why != "" {
		id += "-" + why
	}
	return id
}

func (s Store) check() error {
	if err := step.CleanPath(s.Dir); err != nil {
		return err
	}
	if s.Keep < 0 {
		return fmt.Errorf("checking how many backups are kept: %d", s.Keep)
	}
	if s.Recipient == "" {
		return nil
	}
	if _, err := age.ParseRecipients(strings.NewReader(s.Recipient)); err != nil {
		return fmt.Errorf("reading backup.recipient: %w", err)
	}
	return nil
}

func (s Store) folder(h *step.Machine, id string) string { return h.Path(filepath.Join(s.Dir, id)) }

// read is the record of a backup, nil where there is none.
func (s Store) read(h *step.Machine, id string) (*Record, error) {
	if !goodID.MatchString(id) {
		return nil, &problem.Error{Kind: problem.Input, Doing: "looking for backup", Object: id, Err: errors.New("this is no name of a backup"), Fix: "valtctl backup list names those that there are"}
	}
	return readRecord(filepath.Join(s.folder(h, id), recordFile))
}

func readRecord(file string) (*Record, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what is known of a backup: %w", err)
	}
	defer f.Close()
	var r Record
	if err := json.NewDecoder(io.LimitReader(f, maxRecord)).Decode(&r); err != nil {
		return nil, fmt.Errorf("reading %s: %w", file, err)
	}
	if r.Schema != Schema {
		return nil, &problem.Error{Kind: problem.Input, Doing: "reading", Object: file, Err: fmt.Errorf("its form is %q, and this valtctl understands %q", r.Schema, Schema),
			Fix: "use the valtctl that made it, or a newer one"}
	}
	return &r, nil
}

func (s Store) save(h *step.Machine, r *Record) error {
	text, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("writing down the backup: %w", err)
	}
	return durable.WriteFile(filepath.Join(s.folder(h, r.ID), recordFile), append(text, '\n'), 0o600)
}

// List are the records of a folder's backups, oldest first. What cannot be read is told beside them.
func List(h *step.Machine, dir string) ([]Record, error) {
	entries, err := os.ReadDir(h.Path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("looking for backups: %w", err)
	}
	var all []Record
	var errs []error
	for _, e := range entries {
		if !e.IsDir() || !goodID.MatchString(e.Name()) {
			continue
		}
		r, err := readRecord(filepath.Join(h.Path(dir), e.Name(), recordFile))
		errs = append(errs, err)
		if r != nil {
			all = append(all, *r)
		}
	}
	slices.SortFunc(all, func(a, b Record) int { return strings.Compare(a.ID, b.ID) })
	return all, errors.Join(errs...)
}

// prune removes backups beyond those to keep, oldest first: never the last proved one, and never the one named.
func (s Store) prune(h *step.Machine, not string) error {
	if s.Keep == 0 {
		return nil
	}
	all, err := List(h, s.Dir)
	if err != nil {
		return err
	}
	for _, id := range surplus(all, s.Keep, not) {
		if err := durable.RemoveAll(s.folder(h, id)); err != nil {
			return fmt.Errorf("removing an old backup: %w", err)
		}
	}
	return nil
}

// surplus are the backups, of all from the oldest on, that are too many.
func surplus(all []Record, keep int, not string) []string {
	last := ""
	for _, r := range all {
		if !r.Proved().IsZero() {
			last = r.ID
		}
	}
	var gone []string
	for _, r := range all {
		if len(all)-len(gone) > keep && r.ID != last && r.ID != not {
			gone = append(gone, r.ID)
		}
	}
	return gone
}

// counted passes bytes on, counts them and, where there is a sum, sums them up.
type counted struct {
	to  io.Writer
	n   int64
	sum hash.Hash
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.n += int64(n)
	if c.sum != nil {
		c.sum.Write(p[:n])
	}
	return n, err
}

// pack writes what fill writes into the backup's file: packed, and encrypted where the site says so.
func (s Store) pack(h *step.Machine, id string, fill func(io.Writer) error) (Dump, error) {
	d := Dump{File: dumpFile}
	to, err := s.recipients(h)
	if err != nil {
		return d, err
	}
	if len(to) > 0 {
		d.File, d.Recipients = dumpFile+sealedEnd, []string{s.Recipient}
	}
	if err := durable.MkdirAll(s.folder(h, id), 0o700); err != nil {
		return d, fmt.Errorf("making room for the backup: %w", err)
	}
	err = durable.WriteFrom(filepath.Join(s.folder(h, id), d.File), 0o600, func(file io.Writer) error {
		out := &counted{to: file, sum: sha256.New()}
		plain := &counted{}
		if err := packed(out, to, plain, fill); err != nil {
			return err
		}
		d.SHA256, d.Size, d.Plain = hex.EncodeToString(out.sum.Sum(nil)), out.n, plain.n
		return nil
	})
	return d, err
}

// packed runs fill into plain, and from there through zstd, and age where there is somebody to encrypt to.
func packed(out io.Writer, to []age.Recipient, plain *counted, fill func(io.Writer) error) error {
	sealed := io.WriteCloser(nopCloser{out})
	if len(to) > 0 {
		var err error
		if sealed, err = age.Encrypt(out, to...); err != nil {
			return fmt.Errorf("encrypting the backup: %w", err)
		}
	}
	squeezed, err := zstd.NewWriter(sealed, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("packing the backup: %w", err)
	}
	plain.to = squeezed
	return errors.Join(fill(plain), squeezed.Close(), sealed.Close())
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }

// unpack reads a backup's file, once all of it has the sum that was written down.
func (s Store) unpack(h *step.Machine, r *Record, keys []age.Identity, use func(io.Reader) error) error {
	if r.Dump.File != dumpFile && r.Dump.File != dumpFile+sealedEnd {
		return fmt.Errorf("reading backup %s: it names a file %q", r.ID, r.Dump.File)
	}
	f, err := os.Open(filepath.Join(s.folder(h, r.ID), r.Dump.File))
	if err != nil {
		return fmt.Errorf("reading backup %s: %w", r.ID, err)
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	if err != nil {
		return fmt.Errorf("reading backup %s: %w", r.ID, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != r.Dump.SHA256 || n != r.Dump.Size {
		return spoiled(r, fmt.Errorf("its file has %d bytes with the sum %s, and was written with %d and %s", n, got, r.Dump.Size, r.Dump.SHA256))
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("reading backup %s: %w", r.ID, err)
	}
	var in io.Reader = f
	if len(r.Dump.Recipients) > 0 {
		if in, err = age.Decrypt(f, keys...); err != nil {
			return &problem.Error{Kind: problem.Trust, Doing: "decrypting backup", Object: r.ID, Err: err, Fix: "it is encrypted to " + strings.Join(r.Dump.Recipients, ", ") + " and to the host that made it; on another host it is opened by hand: age -d -i KEY | zstd -d"}
		}
	}
	unpacked, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1))
	if err != nil {
		return spoiled(r, err)
	}
	defer unpacked.Close()
	return use(unpacked)
}

func spoiled(r *Record, err error) error {
	return &problem.Error{Kind: problem.Trust, Doing: "reading backup", Object: r.ID, Err: err, Fix: "this backup is spoiled; take another one: valtctl backup list"}
}

// readable reads what was unpacked to its end: a key that does not fit, and what is spoiled, show there.
func readable(from io.Reader) error {
	if _, err := io.Copy(io.Discard, from); err != nil {
		return fmt.Errorf("reading the backup to its end: %w", err)
	}
	return nil
}
