// Package journal is the append-only record of what happened to one host or one run:
// JSON lines, each holding the SHA-256 of the one before it, each on the disk before
// the next thing is done. It is evidence of what was done and never the truth about a
// host, which only an inspection tells. It knows the words of a transaction so that it
// can sum one up; it runs nothing (installer/txn does).
package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

// MaxLine caps one line, in bytes without its newline.
const MaxLine = 1 << 20

// Kind is what a record says.
type Kind string

// The kinds of records.
const (
	Begin       Kind = "begin"       // the work starts; data says which
	Resumed     Kind = "resumed"     // it goes on after it had been cut off
	Dropped     Kind = "dropped"     // a torn last line was found and dropped
	Unchanged   Kind = "unchanged"   // a step's inspection found nothing to do
	Kept        Kind = "kept"        // a step that can no longer be inspected was done before
	Deferred    Kind = "deferred"    // a step would disrupt what serves, and was left
	Skipped     Kind = "skipped"     // a step was not run because of another one
	Apply       Kind = "apply"       // a step is about to change the host
	Applied     Kind = "applied"     // it did, and the inspection after it agrees
	Failed      Kind = "failed"      // a step went wrong
	HalfDone    Kind = "half"        // all steps of a half are done
	Waiting     Kind = "waiting"     // the work cannot go on without a person
	Supplied    Kind = "supplied"    // a person gave what it waited for
	Interrupted Kind = "interrupted" // the host was told to stop; the work goes on later
	Switched    Kind = "switched"    // everything is done, and waits to be confirmed
	Confirmed   Kind = "confirmed"   // it is for good
	Undoing     Kind = "undoing"     // it is being taken back; data says why
	Undone      Kind = "undone"      // a step was taken back
	End         Kind = "end"         // the work is over; data says how it ended
)

// Record is one line. Step and StepKind are empty in records about the whole; a line that
// was written before journals named kinds has no StepKind, which the request then tells.
type Record struct {
	Seq      int64           `json:"seq"`  // from 1, without gaps
	Time     time.Time       `json:"time"` // UTC
	Prev     string          `json:"prev"` // SHA-256 (hex) of the line before, without its newline; empty in the first
	Kind     Kind            `json:"kind"`
	Step     string          `json:"step"`
	StepKind step.KindName   `json:"step_kind,omitempty"`
	Data     json.RawMessage `json:"data"`
}

// Decode reads the record's data into v.
func (r Record) Decode(v any) error {
	if err := json.Unmarshal(r.Data, v); err != nil {
		return fmt.Errorf("reading the data of journal record %d (%s): %w", r.Seq, r.Kind, err)
	}
	return nil
}

// errUnreadable marks a line that is no record at all, as a torn write leaves it.
var errUnreadable = errors.New("not a record")

// errNewer marks a line that a newer version wrote in another way than this one knows.
var errNewer = errors.New("a newer valtctl wrote this line")

// chain checks lines one after the other.
type chain struct {
	seq  int64
	prev string // hex digest of the last line
}

// take checks the next line, given without its newline, and moves on to it. What a newer version
// writes beside what this one knows is passed over: the chain says that nobody added it later.
func (c *chain) take(line []byte) (Record, error) {
	var r Record
	decoder := json.NewDecoder(bytes.NewReader(line))
	err := decoder.Decode(&r)
	if err != nil && !c.isNewer(r, err) {
		return Record{}, fmt.Errorf("%w: %w", errUnreadable, err)
	}
	if decoder.InputOffset() != int64(len(line)) {
		return Record{}, fmt.Errorf("%w: something follows it", errUnreadable)
	}
	if err != nil {
		return Record{}, fmt.Errorf("%w: %w", errNewer, err)
	}
	if r.Seq != c.seq+1 {
		return Record{}, fmt.Errorf("it is numbered %d, not %d", r.Seq, c.seq+1)
	}
	if r.Prev != c.prev {
		return Record{}, fmt.Errorf("it does not follow from the line before it (prev is %q, not %q)", r.Prev, c.prev)
	}
	c.next(line)
	return r, nil
}

// isNewer says that a line which this version could not read is a newer version's: it follows from
// the one before it, and a field that is known has a value of another type. The fields beside it
// were read all the same (encoding/json).
func (c *chain) isNewer(r Record, err error) bool {
	var other *json.UnmarshalTypeError
	return errors.As(err, &other) && other.Field != "" && r.Seq == c.seq+1 && r.Prev == c.prev
}

// next moves on to line, which is known to be good.
func (c *chain) next(line []byte) {
	digest := sha256.Sum256(line)
	c.seq++
	c.prev = hex.EncodeToString(digest[:])
}

// unusable is the problem of a line that take refused. One that a newer version wrote is good, and
// only not understood here.
func unusable(object string, line int64, err error) error {
	if !errors.Is(err, errNewer) {
		return damaged(object, line, err)
	}
	return &problem.Error{
		Kind: problem.Failed, Doing: "reading the journal", Object: object + ":" + strconv.FormatInt(line, 10), Err: err,
		Fix: "Use the newest valtctl of those that work on this site: valtctl version tells which this is.",
	}
}

// damaged is the problem of a journal whose lines do not follow from each other. It is
// a matter of trust, not of work: somebody or something changed the evidence.
func damaged(object string, line int64, err error) error {
	return &problem.Error{
		Kind: problem.Trust, Doing: "reading the journal",
		Object: object + ":" + strconv.FormatInt(line, 10),
		Err:    fmt.Errorf("this line was changed after it was written, or is damaged: %w", err),
		Fix:    "Keep the file as it is, find out who or what changed it, then start anew: every step looks at the host itself first.",
	}
}
