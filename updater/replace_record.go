package updater

import (
	"context"
	"errors"
	"sync"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/journal"
)

// record is a host's part of the report.
func (m *replacement) record(host string) *HostRecord {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hosts[host] == nil {
		m.hosts[host] = &HostRecord{Host: host, From: m.release, To: m.release, Wave: 1, Started: m.Now()}
	}
	return m.hosts[host]
}

// recorded does it, with a journal of what it comes to at the controller.
func (m *replacement) recorded(ctx context.Context, p *ReplacePreview) (report *Report, err error) {
	rec, err := OpenRecorder(m.StateDir, m.Run, m.Now)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rec.Close()) }()
	report = &Report{About: About{Run: m.Run, Kind: KindReplace, Site: m.Site.ID, From: m.old.Name, To: m.new.Name, Who: m.Who, PlanDigest: p.Digest,
		Images: digests(m.install.Manifest)}, Started: m.Now(), Waves: [][]string{m.inOrder()}}
	for _, name := range m.inOrder() {
		report.Hosts = append(report.Hosts, HostRecord{Host: name})
	}
	if err := rec.Record(journal.Begin, "", report); err != nil {
		return nil, err
	}
	if err := m.remember(ctx); err != nil {
		return report, err
	}
	for _, name := range m.inOrder() {
		if err := rec.Record(recordStart, name, startData{1}); err != nil {
			return report, err
		}
	}
	failed := m.replace(ctx)
	return report, errors.Join(failed, m.conclusion(ctx, rec, report, failed))
}

// inOrder are the hosts of it, in the order in which they switch.
func (m *replacement) inOrder() []string {
	return append([]string{m.old.Name, m.new.Name}, m.drivers...)
}

// remember notes what the old server serves, to compare the new one with it.
func (m *replacement) remember(ctx context.Context) error {
	if m.moved.Load() {
		return nil
	}
	d := &driver{update: m.update, target: m.install}
	engine, err := d.engine(ctx, m.install, m.old.Name)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	put(&m.before, m.old.Name, Begun{m.Run, State{Engine: engine, Known: true}})
	return nil
}

// conclusion writes down what it came to.
func (m *replacement) conclusion(ctx context.Context, rec *Recorder, report *Report, failed error) error {
	if failed != nil {
		report.Halted = oneLine(failed)
	}
	var errs []error
	for i, name := range m.inOrder() {
		r := *m.record(name)
		switch {
		case r.Outcome != "":
		case failed == nil:
			r.Outcome = Unchanged
		default:
			r.Outcome, r.Reason = NotStarted, report.Halted
		}
		report.Hosts[i] = r
		errs = append(errs, rec.Record(recordEnd, name, r))
	}
	if ctx.Err() == nil {
		report.Ended = m.Now()
		errs = append(errs, rec.Record(journal.End, "", endData{report.Halted}))
	}
	return errors.Join(errs...)
}

// adoptReplacement sees to what an earlier controller left on the hosts: before it was decided all of
// it goes back, so that the site is what it was; afterwards whoever goes on confirms it.
func (m *replacement) adoptReplacement(ctx context.Context) error {
	left := m.work.Unfinished()
	m.say("", "going on with the replacement of %s by %s", m.old.Name, m.new.Name)
	if len(left) == 0 || m.moved.Load() {
		return nil
	}
	held, holding, err := m.work.Hold(ctx, nil)
	if err != nil {
		return err
	}
	err = m.takeBackAll(holding, left, "its controller was lost before "+m.new.Name+" served")
	return errors.Join(err, held.Release(ctx), m.work.Refresh(ctx))
}

// takeBackAll has every host go back. What only makes the new server ready is followed to its end.
func (m *replacement) takeBackAll(ctx context.Context, left []installer.Unfinished, why string) error {
	errs := make([]error, len(left))
	var wg sync.WaitGroup
	for i, l := range left {
		wg.Go(func() {
			do := func() error { _, err := m.work.CallOff(ctx, l, why); return err }
			if !l.WayBack {
				do = func() error { _, err := m.work.Adopt(ctx, l, nil, nil); return err }
			}
			errs[i] = do()
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
