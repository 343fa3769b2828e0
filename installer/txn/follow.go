package txn

import (
	"context"
	"fmt"
	"time"

	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/step"
)

// How often a follower looks, and for how many looks nothing may run a transaction
// before it says so: a unit that was just started has not taken the journal yet.
const (
	followEvery = 50 * time.Millisecond
	followGrace = 200
)

// Event is one thing that happened in a transaction: a record, or progress, which is
// kept nowhere and may be missed.
type Event struct {
	Record   *journal.Record `json:"record,omitempty"`
	Progress *step.Progress  `json:"progress,omitempty"`
}

// Follow hands out a transaction's events from journal record from on, until the
// transaction ends, waits, or is found to be run by nothing for ten seconds; the Result
// says which. It reads files alone, so that it neither needs nor disturbs what runs the
// transaction, and a follower that was cut off goes on where it was. An error of event
// ends it.
func (s *Store) Follow(ctx context.Context, id string, from int64, event func(Event) error) (Result, error) {
	request, err := s.request(id)
	if err != nil {
		return Result{}, err
	}
	f := follower{store: s, id: id, request: request, from: from, event: event, tail: journal.Tail{Path: s.journalFile(id)}}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		result, err := f.look()
		if err != nil {
			return Result{}, fmt.Errorf("following transaction %s: %w", id, err)
		}
		if result != nil {
			return *result, nil
		}
		select {
		case <-ctx.Done():
			return Result{}, fmt.Errorf("following transaction %s: %w", id, ctx.Err())
		case <-tick.C:
		}
	}
}

type follower struct {
	store   *Store
	id      string
	request Request
	from    int64
	event   func(Event) error
	tail    journal.Tail
	last    journal.Record
	n       int64 // of the last progress handed out
	idle    int   // looks since something ran the transaction
}

// look hands out what is new, and returns the result once there is one.
func (f *follower) look() (*Result, error) {
	busy, err := journal.Busy(f.tail.Path) // before reading: what ends now is read to its end
	if err != nil {
		return nil, err
	}
	if result, err := f.records(); result != nil || err != nil {
		return result, err
	}
	if now := f.store.readProgress(f.id); now.N != f.n && now.N != 0 {
		f.n = now.N
		if err := f.event(Event{Progress: &now.Progress}); err != nil {
			return nil, err
		}
	}
	if busy {
		f.idle = 0
		return nil, nil
	}
	if f.last.Kind == journal.Waiting {
		var d problemsData
		if err := f.last.Decode(&d); err != nil {
			return nil, err
		}
		return &Result{Outcome: Waiting, Step: f.last.Step, Problems: d.Problems}, nil
	}
	if f.idle++; f.idle > followGrace {
		return &Result{Outcome: Interrupted, Step: f.last.Step}, nil
	}
	return nil, nil
}

// records hands out new records, and returns the result in an end record.
func (f *follower) records() (*Result, error) {
	records, err := f.tail.Next()
	for _, r := range records {
		f.last = r
		if r.Seq >= f.from {
			named := f.request.named(r)
			if err := f.event(Event{Record: &named}); err != nil {
				return nil, err
			}
		}
		if r.Kind == journal.End {
			return endOf(r), nil
		}
	}
	return nil, err
}
