package txn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/sleep"
)

// Store is the transactions of one host: a folder each under /var/lib/valtctl/txn, and
// while they run one each under /run/valtctl/txn.
type Store struct {
	dir      string
	run      string
	rollback string
	hostFile string
	now      func() time.Time
	uptime   func() (time.Duration, error)
	pause    func(ctx context.Context, d time.Duration) error
	keep     int // transactions that are over
}

// Clock is a host's time as transactions reckon with it.
type Clock struct {
	Now func() time.Time
	// Uptime is the boot clock, which no one sets: deadlines are counted in it.
	Uptime func() (time.Duration, error)
	Pause  func(ctx context.Context, d time.Duration) error
}

// NewStore is the store of the host whose files are below root ("" on a real host).
func NewStore(root string, now func() time.Time) *Store {
	return NewStoreBy(root, Clock{now, func() (time.Duration, error) { return uptime(filepath.Join(root, "/proc/uptime")) }, sleep.For})
}

// NewStoreBy is NewStore with another clock than the host's own.
func NewStoreBy(root string, c Clock) *Store {
	return &Store{
		dir:      filepath.Join(root, "/var/lib/valtctl/txn"),
		run:      filepath.Join(root, "/run/valtctl/txn"),
		rollback: filepath.Join(root, "/var/lib/valtctl/rollback"),
		hostFile: filepath.Join(root, "/var/lib/valtctl/host.json"),
		now:      c.Now,
		uptime:   c.Uptime,
		pause:    c.Pause,
		keep:     KeptTransactions,
	}
}

func (s *Store) folder(id string) string      { return filepath.Join(s.dir, id) }
func (s *Store) journalFile(id string) string { return filepath.Join(s.folder(id), "journal.jsonl") }
func (s *Store) requestFile(id string) string { return filepath.Join(s.folder(id), "request.json") }

// Create writes a transaction for Execute to run, and its secrets, and returns its id.
// Nothing is written unless all of it can be understood. A request whose key a transaction
// has, also one that is over, is that transaction. While another transaction of
// the host is unfinished the error is a problem.Locked that names it.
func (s *Store) Create(r Request, secrets map[string][]byte, kinds step.Registry) (string, error) {
	r.Secrets = names(secrets)
	if err := r.validate(kinds); err != nil {
		return "", err
	}
	for name := range secrets {
		if err := checkSecretName(name); err != nil {
			return "", err
		}
	}
	guard, err := s.guard()
	if err != nil {
		return "", err
	}
	defer guard.Close()
	all, err := s.List(0)
	if err != nil {
		return "", err
	}
	if id := begunAs(r.Key, all); id != "" {
		return id, nil
	}
	if err := s.checkNoneUnfinished(all); err != nil {
		return "", err
	}
	s.clear(all)
	id := newID(s.now())
	if err := s.write(id, r, secrets); err != nil {
		return "", errors.Join(err, s.forget(id, true))
	}
	return id, nil
}

// guard lets one at a time decide by what transactions there are. Its lock is that of a
// journal which nobody writes to.
func (s *Store) guard() (io.Closer, error) {
	if err := durable.MkdirAll(s.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of transactions: %w", err)
	}
	w, _, _, err := journal.Open(filepath.Join(s.dir, ".guard"), s.now)
	if err != nil {
		return nil, fmt.Errorf("guarding the transactions: %w", err)
	}
	return w, nil
}

// begunAs is the transaction of a request's key; empty: there is none.
func begunAs(key string, all []Summary) string {
	i := slices.IndexFunc(all, func(t Summary) bool { return key != "" && t.Key == key })
	if i < 0 {
		return ""
	}
	return all[i].ID
}

// checkNoneUnfinished refuses a second transaction, and clears what the finished ones
// left in memory if they were killed at their very end.
func (s *Store) checkNoneUnfinished(all []Summary) error {
	for _, t := range all {
		if t.State.Finished() {
			if err := s.forget(t.ID, true); err != nil {
				return err
			}
			continue
		}
		return &problem.Error{Kind: problem.Locked, Doing: "beginning a transaction on", Object: t.Host,
			Err: fmt.Errorf("transaction %s of release %s, begun by %s, is %s", t.ID, t.Release, t.Who, t.State),
			Fix: "valtctl resume follows it or finishes it."}
	}
	return nil
}

// write puts a transaction in place by one rename, after everything it needs is there.
func (s *Store) write(id string, r Request, secrets map[string][]byte) error {
	if err := s.keepSecrets(id, secrets); err != nil {
		return err
	}
	pending := filepath.Join(s.dir, ".new-"+id)
	if err := durable.MkdirAll(pending, 0o700); err != nil {
		return fmt.Errorf("making the folder of transaction %s: %w", id, err)
	}
	err := writeJSON(filepath.Join(pending, "request.json"), r, 0o600)
	if err == nil {
		err = durable.Rename(pending, filepath.Join(s.dir, id))
	}
	if err != nil {
		return fmt.Errorf("putting transaction %s in place: %w", id, errors.Join(err, durable.RemoveAll(pending)))
	}
	return nil
}

// Understood refuses to have this program go on with a transaction that only a newer one can: what it
// cannot make it cannot take back either, and the host would end in quarantine. One that runs or is over
// needs nobody to go on with it.
func (s *Store) Understood(id string, kinds step.Registry) error {
	r, err := s.request(id)
	if err != nil {
		return err
	}
	if t, err := s.Summary(id); err != nil || t.State.Finished() || t.State == StateRunning {
		return err
	}
	var unknown []error
	for _, spec := range r.Steps {
		if _, err := kinds.Make(spec); err != nil {
			unknown = append(unknown, err)
		}
	}
	if r.Schema != Schema {
		unknown = append(unknown, fmt.Errorf("its schema is %q, not %q", r.Schema, Schema))
	}
	if len(unknown) == 0 {
		return nil
	}
	return &problem.Error{Kind: problem.Input, Doing: "going on with transaction", Object: id,
		Err: fmt.Errorf("another version of valtctl began it, and this one does not understand all of it: %w", errors.Join(unknown...)),
		Fix: "go on with the version that began it, or the newest of those that work on this site"}
}

// ErrOver says that a transaction has ended.
var ErrOver = errors.New("it is over")

// Restart gives an unfinished transaction what it needs to go on; Launcher.Start runs it
// then. Its fetch half needs every secret again, its apply half none. A transaction that
// runs already goes on as it does, with the secrets of now in place of those that it has: a
// bundle answers elsewhere when another controller brings it.
func (s *Store) Restart(id string, secrets map[string][]byte) error {
	r, err := s.request(id)
	if err != nil {
		return err
	}
	w, records, torn, err := journal.Open(s.journalFile(id), s.now)
	if problem.KindOf(err) == problem.Locked {
		return s.renewSecrets(id, r, secrets)
	}
	if err != nil {
		return fmt.Errorf("resuming transaction %s: %w", id, err)
	}
	defer w.Close()
	past := readPast(records)
	if past.end != nil {
		return &problem.Error{Kind: problem.Input, Doing: "resuming transaction", Object: id,
			Err: fmt.Errorf("%w: %s", ErrOver, past.end.Outcome), Fix: "valtctl install begins a new one."}
	}
	if _, gone := s.missing(id, r); gone && !past.fetched {
		if err := checkSupplied(r, secrets); err != nil {
			return err
		}
	}
	if err := s.keepSecrets(id, secrets); err != nil {
		return err
	}
	if err := noteTorn(w, torn); err != nil {
		return err
	}
	_, err = w.Append(journal.Supplied, "", suppliedData{Secrets: names(secrets)})
	return err
}

// request reads a transaction's request.
func (s *Store) request(id string) (Request, error) {
	if err := checkID(id); err != nil {
		return Request{}, err
	}
	var r Request
	err := readJSON(s.requestFile(id), &r)
	if errors.Is(err, fs.ErrNotExist) {
		return Request{}, &problem.Error{Kind: problem.Input, Doing: "finding transaction", Object: id,
			Err: errors.New("this host has none of that id"), Fix: "valtctl history lists them."}
	}
	return r, err
}

// ids lists the transactions' ids, newest first.
func (s *Store) ids() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing transactions: %w", err)
	}
	var ids []string
	for _, e := range entries {
		if isID(e.Name()) {
			ids = append(ids, e.Name())
		}
	}
	slices.Sort(ids)
	slices.Reverse(ids)
	return ids, nil
}
