package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/plain"
	"ipivs.com/valtctl/repos/problem"
)

// How often and how far apart Open tries for a lock that somebody else has.
const (
	lockTries = 30
	lockPause = 10 * time.Millisecond
)

// Writer appends to a journal. One at a time has a journal open; it is not for several
// goroutines.
type Writer struct {
	store  durable.File
	close  func() error
	now    func() time.Time
	path   string
	chain  chain
	size   int64
	broken error // why nothing more can be appended
}

// Open opens a journal for appending, made with mode 0600 where there is none. It
// holds the journal's lock until Close or the death of the process; while another
// process has it the error is a problem.Locked. It returns the records that are there
// and, if the last line was torn, what was dropped; the file no longer holds it then.
func Open(path string, now func() time.Time) (*Writer, []Record, *Torn, error) {
	f, err := openLocked(path)
	if err != nil {
		return nil, nil, nil, err
	}
	w, got, err := start(f, path, now)
	if err != nil {
		return nil, got.records, got.torn, errors.Join(err, f.Close())
	}
	return w, got.records, got.torn, nil
}

// start reads what is in f and makes a Writer that goes on after it.
func start(f durable.File, path string, now func() time.Time) (*Writer, read, error) {
	got, err := readAll(f, path)
	if err != nil {
		return nil, got, err
	}
	// What a program that was killed had written is in the page cache, and acted on from here on.
	if err := f.Sync(); err != nil {
		return nil, got, fmt.Errorf("syncing the journal %s: %w", path, err)
	}
	if got.torn != nil {
		if err := errors.Join(f.Truncate(got.size), f.Sync()); err != nil {
			return nil, got, fmt.Errorf("dropping the torn last line of %s: %w", path, err)
		}
	}
	return &Writer{store: f, close: f.Close, now: now, path: path, chain: got.chain, size: got.size}, got, nil
}

// descriptor is an open file that can be locked.
type descriptor interface{ Fd() uintptr }

// openLocked opens or makes the file and takes its lock.
func openLocked(path string) (durable.File, error) {
	f, err := durable.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	held, err := lock(f)
	for range lockTries { // Busy holds the lock for an instant
		if held || err != nil {
			break
		}
		time.Sleep(lockPause)
		held, err = lock(f)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking the journal %s: %w", path, err), f.Close())
	}
	if !held {
		return nil, errors.Join(&problem.Error{
			Kind: problem.Locked, Doing: "opening the journal", Object: path,
			Err: errors.New("another process is writing it"),
		}, f.Close())
	}
	// A file whose name is not on the disk would lose what is appended to it.
	if err := durable.SyncDir(filepath.Dir(path)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Busy says whether some process has the journal open for appending. A journal that
// does not exist is not busy.
func Busy(path string) (bool, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("opening the journal: %w", err)
	}
	defer f.Close()
	held, err := lock(f)
	if err != nil {
		return false, fmt.Errorf("trying the lock of the journal %s: %w", path, err)
	}
	return !held, nil
}

// Append adds a record about the whole, or about what the name says where that is no step
// (a rollout's records are about hosts). Everything else is as with AppendStep.
func (w *Writer) Append(kind Kind, name string, data any) (Record, error) {
	return w.AppendStep(kind, name, "", data)
}

// AppendStep adds a record about a step and returns it once it is on the disk. Data is any JSON value.
// When the disk is full nothing is added and a later Append may succeed; when the disk
// does not keep what it was given, no later one does.
func (w *Writer) AppendStep(kind Kind, id string, of step.KindName, data any) (Record, error) {
	if w.broken != nil {
		return Record{}, fmt.Errorf("appending to the journal %s: %w", w.path, w.broken)
	}
	encoded, err := json.Marshal(data)
	if err != nil {
		return Record{}, fmt.Errorf("encoding a journal record (%s %s): %w", kind, id, err)
	}
	encoded = plain.JSON(encoded) // people read journals with programs that obey what stands there
	r := Record{Seq: w.chain.seq + 1, Time: w.now().UTC().Round(0), Prev: w.chain.prev, Kind: kind, Step: id, StepKind: of, Data: encoded}
	line, err := json.Marshal(r)
	if err != nil {
		return Record{}, fmt.Errorf("encoding a journal record (%s %s): %w", kind, id, err)
	}
	line = plain.JSON(line)
	if len(line) > MaxLine {
		return Record{}, fmt.Errorf("appending to the journal %s: a record (%s %s) of %d bytes, at most %d are taken",
			w.path, kind, id, len(line), MaxLine)
	}
	if err := w.put(line); err != nil {
		return Record{}, fmt.Errorf("appending to the journal %s: %w", w.path, err)
	}
	return r, nil
}

// put writes a line and waits until it is on the disk.
func (w *Writer) put(line []byte) error {
	if _, err := w.store.WriteAt(append(line, '\n'), w.size); err != nil {
		if undo := w.store.Truncate(w.size); undo != nil {
			w.broken = fmt.Errorf("removing what was half written: %w", undo)
			return errors.Join(err, w.broken)
		}
		return err
	}
	if err := w.store.Sync(); err != nil {
		// After a failed fsync(2) the kernel may call the same pages clean: a
		// second try would succeed without the line being on the disk.
		w.broken = fmt.Errorf("syncing it: %w", err)
		return w.broken
	}
	w.chain.next(line)
	w.size += int64(len(line)) + 1
	return nil
}

// Close gives the journal back.
func (w *Writer) Close() error {
	if err := w.close(); err != nil {
		return fmt.Errorf("closing the journal %s: %w", w.path, err)
	}
	return nil
}
