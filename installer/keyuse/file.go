package keyuse

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/problem"
)

// How much is kept: what was done and what was refused have half of it each, so that neither
// pushes the other out. Shown is how much of it a host tells at once.
const (
	Kept  = 200
	Shown = 40
)

// sameFor is how long a refusal for the same reason is the same use.
const sameFor = 24 * time.Hour

// File is a host's record on its disk.
type File struct {
	Dir string // its folder
	Now func() time.Time
	Who string // whose key it is
}

func (f File) path() string { return filepath.Join(f.Dir, "uses.json") }

// Note writes a use down, durably. Of concurrent notes none is lost. A record that is damaged
// is put aside, and that is noted.
func (f File) Note(u Use) error {
	if err := durable.MkdirAll(f.Dir, 0o700); err != nil {
		return fmt.Errorf("noting the use of a key: %w", err)
	}
	guard, err := Guard(filepath.Join(f.Dir, ".uses-guard"), f.Now, noteTries)
	if err != nil {
		return fmt.Errorf("noting the use of a key: %w", err)
	}
	defer guard.Close()
	record, err := read(f.path())
	if err != nil {
		aside := f.path() + ".damaged"
		if moved := durable.Rename(f.path(), aside); moved != nil {
			return fmt.Errorf("noting the use of a key: %w", errors.Join(err, moved))
		}
		record.add(f.stamped(Use{Call: Look, Refused: Unknown, Text: "the record before could not be read, and lies in " + aside + ": " + err.Error()}))
	}
	record.add(f.stamped(u))
	text, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("noting the use of a key: %w", err)
	}
	return durable.WriteFile(f.path(), append(text, '\n'), 0o600)
}

// stamped is a use of now, with nothing in it that a person could not read.
func (f File) stamped(u Use) Use {
	now := f.Now().UTC()
	u.First, u.Last, u.Count, u.Who = now, now, 1, f.Who
	for _, text := range []*string{&u.Request, &u.Release, &u.Transaction, &u.Text} {
		*text = Clean(*text, maxText)
	}
	return u
}

// add puts a use first, with those before that it is the same as.
func (r *Record) add(u Use) {
	if i := slices.IndexFunc(r.Uses, u.sameAs); i >= 0 {
		was := r.Uses[i]
		u.First, u.Count = was.First, was.Count+1
		if u.Request != "" && u.Refused == "" {
			u.Count, u.Transaction = was.Count, cmp.Or(u.Transaction, was.Transaction) // it is only answered by now
		}
		r.Uses = slices.Delete(r.Uses, i, i+1)
	}
	r.Uses = slices.Insert(r.Uses, 0, u)
	left := map[bool]int{true: Kept / 2, false: Kept / 2}
	r.Uses = slices.DeleteFunc(r.Uses, func(o Use) bool {
		left[o.Refused != ""]--
		return left[o.Refused != ""] < 0
	})
}

// sameAs says whether a use is an earlier one once more.
func (u Use) sameAs(o Use) bool {
	switch soon := u.Last.Sub(o.First) < sameFor; {
	case u.Refused != o.Refused || u.Call != o.Call:
		return false
	case u.Refused != "":
		return soon
	case u.Request != "":
		return u.Request == o.Request
	default:
		return soon && o.Request == "" && u.Transaction == o.Transaction
	}
}

// Read is what a host's folder has of it, the newest uses first, at most so many; nil where no
// key of unattended runs was ever used. A record that cannot be read says so.
func Read(dir string, most int) *Record {
	record, err := read(filepath.Join(dir, "uses.json"))
	if err != nil {
		return &Record{Trouble: Clean(err.Error(), maxText)}
	}
	if len(record.Uses) == 0 && record.Trouble == "" {
		return nil
	}
	record.Uses = record.Uses[:min(most, len(record.Uses))]
	return &record
}

// read leaves a record empty where there is no file.
func read(path string) (r Record, err error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &r)
	}
	if err != nil {
		return Record{}, fmt.Errorf("reading what was done with the schedule's key in %s: %w", path, err)
	}
	return r, nil
}

// Guarding: how often and after which pause a guard is tried.
const (
	guardPause = 20 * time.Millisecond
	noteTries  = 250 // five seconds: whoever has it writes one file
)

// Guard lets one program of the host at a time do something, until it is closed. Its lock is
// that of a journal which nobody writes to.
func Guard(path string, now func() time.Time, tries int) (io.Closer, error) {
	for try := 0; ; try++ {
		w, _, _, err := journal.Open(path, now)
		if err == nil {
			return w, nil
		}
		if problem.KindOf(err) != problem.Locked || try >= tries {
			return nil, err
		}
		time.Sleep(guardPause)
	}
}
