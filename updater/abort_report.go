package updater

import (
	"context"
	"errors"
	"maps"

	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/journal"
	"ipivs.com/valtctl/installer/status"
)

// recorded aborts with a record of it: in the journal of the rollout where this controller
// has that, else in one of its own.
func (a *abortRun) recorded(ctx context.Context) (report *Report, err error) {
	report = a.report()
	rec, err := a.open(report)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rec.Close()) }()
	if err := rec.Record(journal.Begin, "", report); err != nil {
		return nil, err
	}
	results, err := a.callOffAll(ctx)
	if results == nil {
		return nil, err
	}
	for i := range report.Hosts {
		h := &report.Hosts[i]
		if r, ok := results[h.Host]; ok {
			r.From, r.Wave = h.From, h.Wave
			*h = r
		}
		err = errors.Join(err, rec.Record(recordEnd, h.Host, *h))
	}
	report.Halted = a.why
	err = errors.Join(err, rec.Record(recordHalt, "", haltData{a.why}))
	report.Ended = a.Now().UTC()
	return report, errors.Join(err, rec.Record(journal.End, "", endData{Halted: a.why}))
}

// open opens the rollout's journal. One that its own controller still holds is left alone.
func (a *abortRun) open(report *Report) (*Recorder, error) {
	if report.Run != a.Run {
		if rec, err := OpenRecorder(a.StateDir, report.Run, a.Now); err == nil {
			return rec, nil
		}
		report.Run = a.Run
	}
	return OpenRecorder(a.StateDir, a.Run, a.Now)
}

// report is what is known before anything is done.
func (a *abortRun) report() *Report {
	intent := a.found.Intent
	if intent == nil { // only hosts know of it
		intent = &Intent{Kind: KindUpdate, Who: a.Who}
	}
	r := &Report{About: About{Run: a.Run, Kind: intent.Kind, Site: a.Site.ID, From: intent.From, To: intent.To, Who: intent.Who}, Started: a.Now().UTC()}
	done := maps.Clone(intent.Done)
	if was, err := ReadReport(a.StateDir, intent.Run); intent.Run != "" && err == nil && was.To == intent.To {
		r.About, r.Started, r.Waves, r.Notes = was.About, was.Started, was.Waves, was.Notes
	}
	for _, h := range a.found.Hosts {
		of, known := done[h.Host]
		if !known {
			of = a.untold(intent, h)
		}
		if now := h.Current(); now != nil && r.To == "" && !now.State.Finished() {
			r.To, r.PlanDigest = now.Release, now.PlanDigest
		}
		if h.Facts.Installed != nil && of.From == "" {
			of.From = h.Facts.Installed.Release
		}
		r.Hosts = append(r.Hosts, of)
	}
	return r
}

// untold is what became of a host that the rollout has told nobody of. Its turn may have ended by
// itself, while nobody was there to see it.
func (a *abortRun) untold(intent *Intent, h status.Host) HostRecord {
	r := HostRecord{Host: h.Host, Outcome: NotStarted, Reason: a.why}
	if h.Err != nil {
		r.Reason = "it was not reached; what was not confirmed there goes back by itself"
		return r
	}
	now, begun := h.Current(), intent.Before[h.Host]
	if now == nil || now.Stage || now.Result == nil || now.RunID != begun.Run {
		return r
	}
	ended := HostRecord{Host: h.Host, To: now.Release, Started: now.Started, Ended: now.Ended}
	_ = (&driver{update: a.update}).conclude(fleet.End{ID: now.ID, Result: *now.Result}, &ended) // its reason is in it
	if ended.Outcome == Failed {                                                                 // it changed nothing that serves
		return r
	}
	return ended
}
