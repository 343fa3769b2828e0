package updater

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/repos/durable"
	"ipivs.com/valtctl/repos/problem"
)

// The records of a rollout, beside begin, resumed, dropped and end. Step is the host.
const (
	recordStart journal.Kind = "host-start" // a host is about to be changed
	recordEnd   journal.Kind = "host-end"   // it has come to something; data is a HostResult
	// recordBefore is what a host served before its change; data is a State.
	recordBefore journal.Kind = "host-before"
	recordHalt   journal.Kind = "halt" // no host is started any more
	recordNote   journal.Kind = "note" // data is a Note
)

// What they carry.
type (
	startData struct {
		Wave int `json:"wave"`
	}
	haltData struct {
		Reason string `json:"reason"`
	}
	endData struct {
		Halted string `json:"halted,omitempty"`
	}
)

// maxJournal caps a journal that is read whole, in bytes.
const maxJournal = 256 << 20

// Recorder is the Recording of a real run: a hash-chained journal at the controller. It
// may be used by several goroutines.
type Recorder struct {
	mu  sync.Mutex
	w   *journal.Writer
	now func() time.Time
}

// OpenRecorder opens the journal of a run below the site's state folder, or makes it. A
// run that is resumed goes on in its journal.
func OpenRecorder(stateDir, run string, now func() time.Time) (*Recorder, error) {
	path, err := journalOf(stateDir, run)
	if err != nil {
		return nil, err
	}
	if err := durable.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of the runs' journals: %w", err)
	}
	w, before, torn, err := journal.Open(path, now)
	if err != nil {
		return nil, err
	}
	r := &Recorder{w: w, now: now}
	if torn != nil {
		err = r.Record(journal.Dropped, "", torn)
	}
	if len(before) > 0 {
		err = errors.Join(err, r.Record(journal.Resumed, "", nil))
	}
	if err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return r, nil
}

// Record adds one record, which is on the disk when it returns.
func (r *Recorder) Record(kind journal.Kind, host string, data any) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err := r.w.Append(kind, host, data)
	return err
}

// Note records what was seen of a host before its change or after it.
func (r *Recorder) Note(host string, when When, text string) error {
	return r.Record(recordNote, host, Note{Host: host, When: when, Text: text, Time: r.now().UTC()})
}

// Close gives the journal back.
func (r *Recorder) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.w.Close()
}

// Runs lists the rollouts that this controller has recorded, newest first: their ids begin
// with their time.
func Runs(stateDir string) ([]string, error) {
	files, err := filepath.Glob(filepath.Join(stateDir, "runs", "*.jsonl"))
	if err != nil {
		return nil, fmt.Errorf("listing the runs: %w", err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(filepath.Base(f), ".jsonl")
	}
	slices.Sort(files)
	slices.Reverse(files)
	return files, nil
}

// ReadReport rebuilds a run's report from its journal and checks the chain. Where the
// journal was damaged the report holds what comes before that, and the error is a
// problem.Trust that names the line.
func ReadReport(stateDir, run string) (*Report, error) {
	path, err := journalOf(stateDir, run)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, &problem.Error{Kind: problem.Input, Doing: "reading the report of run", Object: run, Err: err,
			Fix: "valtctl report without a run shows the newest one of this controller"}
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxJournal+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	if len(content) > maxJournal {
		return nil, fmt.Errorf("reading %s: it is longer than %d bytes", path, maxJournal)
	}
	return rebuild(content, path, run)
}

// rebuild makes a report of a journal's bytes.
func rebuild(content []byte, path, run string) (*Report, error) {
	records, torn, damage := journal.Read(bytes.NewReader(content), path)
	var b reportBuilder
	for _, r := range records {
		if err := b.add(r); err != nil {
			return nil, errors.Join(fmt.Errorf("reading %s: %w", path, err), damage)
		}
	}
	report := b.report
	if report == nil {
		report = &Report{About: About{Run: run}}
	}
	b.explain()
	report.Chain = &Chain{Records: len(records), Torn: torn != nil, Head: head(content, len(records))}
	if damage != nil {
		report.Chain.Damaged = flat(damage.Error())
	}
	if b.report == nil && damage == nil {
		damage = &problem.Error{Kind: problem.Failed, Doing: "reading the report of run", Object: run, Err: errors.New("it was cut off before anything was begun")}
	}
	return report, damage
}

// head is the digest of the nth line.
func head(content []byte, n int) string {
	var last []byte
	for range n {
		last, content, _ = bytes.Cut(content, []byte{'\n'})
	}
	if n == 0 {
		return ""
	}
	sum := sha256.Sum256(last)
	return hex.EncodeToString(sum[:])
}

// reportBuilder is a report as the records tell it.
type reportBuilder struct {
	report  *Report
	started map[string]HostRecord // hosts that were started and have not ended
	over    bool
}

func (b *reportBuilder) add(r journal.Record) error {
	if r.Kind == journal.Begin {
		return b.addBegin(r)
	}
	if b.report == nil {
		return nil // resumed or dropped before it began
	}
	switch r.Kind {
	case recordStart:
		var d startData
		if err := r.Decode(&d); err != nil {
			return err
		}
		b.started[r.Step] = HostRecord{Host: r.Step, Wave: d.Wave, Started: r.Time}
	case recordEnd:
		var h HostRecord
		if err := r.Decode(&h); err != nil {
			return err
		}
		delete(b.started, r.Step)
		b.set(h)
	case recordHalt:
		var d haltData
		if err := r.Decode(&d); err != nil {
			return err
		}
		b.report.Halted = d.Reason
	case recordNote:
		var n Note
		if err := r.Decode(&n); err != nil {
			return err
		}
		b.report.Notes = append(b.report.Notes, n)
	case journal.End:
		var d endData
		if err := r.Decode(&d); err != nil {
			return err
		}
		b.report.Ended, b.report.Halted, b.over = r.Time, d.Halted, true
	}
	return nil
}

// addBegin starts a report: the run's first, one that goes on with it, or the way to the
// next release.
func (b *reportBuilder) addBegin(r journal.Record) error {
	var next Report
	if err := r.Decode(&next); err != nil {
		return err
	}
	before := b.report
	b.explain()
	b.report, b.started, b.over = &next, map[string]HostRecord{}, false
	switch {
	case before == nil:
	case before.To == next.To && before.Kind == next.Kind:
		next.Started, next.Notes, next.Earlier = before.Started, before.Notes, before.Earlier
	default:
		next.Earlier = append(before.Earlier, before)
		before.Earlier = nil
	}
	return nil
}

func (b *reportBuilder) set(h HostRecord) {
	i := slices.IndexFunc(b.report.Hosts, func(o HostRecord) bool { return o.Host == h.Host })
	if i < 0 {
		b.report.Hosts = append(b.report.Hosts, h)
		return
	}
	b.report.Hosts[i] = h
}

// explain gives hosts an outcome that a stopped controller could not write down any more.
func (b *reportBuilder) explain() {
	if b.report == nil {
		return
	}
	for _, h := range b.started {
		h.Outcome, h.Reason = Running, "its controller stopped recording; the host goes on by itself"
		b.set(h)
	}
	for i := range b.report.Hosts {
		if h := &b.report.Hosts[i]; h.Outcome == "" {
			h.Outcome, h.Reason = NotStarted, "nothing is recorded of it"
		}
	}
}

// journalOf is where a run's journal is. A run's id is a file's name and nothing more.
func journalOf(stateDir, run string) (string, error) {
	if !regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z_-]{0,99}$`).MatchString(run) {
		return "", &problem.Error{Kind: problem.Input, Doing: "looking for run", Object: run, Err: errors.New("that is no id of a run"),
			Fix: "copy it from valtctl history or from the folder runs of the state folder"}
	}
	return filepath.Join(stateDir, "runs", run+".jsonl"), nil
}
