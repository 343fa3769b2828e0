package updater

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/wizard"
	"ipivs.com/valtctl/repos/problem"
)

// KindReplace is that another server takes the place of a media server.
const KindReplace Kind = "replace"

// ReplaceOptions are what a replacement is given, beside the Options, whose site is the one that
// there is to be.
type ReplaceOptions struct {
	Options
	What   wizard.Replacement
	Before *site.Site // as the site file has it now
	// SkipChecks leaves out trying the new server's network.
	SkipChecks bool
	// PlugWithin is how long it is waited for a USB licence key to be plugged over; 0:
	// DefaultPlug.
	PlugWithin time.Duration
	// Begun is what an earlier controller has written down; nil: this one begins.
	Begun *Replacing
	// Accept is asked before the first change; nil: go on.
	Accept func(ctx context.Context, p *ReplacePreview) error
	// Write puts the new site into the site file, once all of it is so.
	Write func() error
}

// DefaultPlug is how long it is waited for a USB licence key.
const DefaultPlug = 15 * time.Minute

// Replacing is what stands beside the lease of a replacement.
type Replacing struct {
	What wizard.Replacement `json:"what"`
	// Moved says that it is decided: the new server serves, and whoever goes on goes forward.
	Moved bool `json:"moved,omitempty"`
}

// UnfinishedReplacement is what Resume and Abort return where what is unfinished is a replacement: to
// go on with it takes the site file's text as well.
type UnfinishedReplacement struct{ Replacing }

func (u *UnfinishedReplacement) Error() string {
	return fmt.Sprintf("the replacement of %s by %s is unfinished", u.What.Old, u.What.New)
}

// ReplaceResult is what a replacement came to.
type ReplaceResult struct {
	Preview *ReplacePreview `json:"preview"`
	Report  *Report         `json:"report,omitempty"` // nil: nothing was begun
	// Written says that the site file says so now.
	Written bool `json:"written"`
	// Notes are what a person should do or know afterwards.
	Notes []string `json:"notes,omitempty"`
}

// replacement is one under way. Its work is over the site as it is to be, and the old server.
type replacement struct {
	*update
	o        ReplaceOptions
	old, new site.Host
	release  string
	install  *installer.Target // of the new server
	settings *installer.Target // of those that drive it
	drivers  []string          // the hosts that record by it, whose settings name its address

	held  *fleet.LeaseHolder
	moved atomic.Bool
	mu    sync.Mutex
	hosts map[string]*HostRecord
	at    map[string]bool // hosts whose transaction waits for what comes after it
}

// Replace has a new server take the place of a media server. The new one is made ready first; then
// the old one is drained and stopped, the new one serves, the application is told its address, and
// each of them goes back by itself unless all of it went well. The old server keeps its recordings.
// The Result is nil where nothing could be planned.
func Replace(ctx context.Context, o ReplaceOptions) (*ReplaceResult, error) {
	if err := RefuseReplace(o.Before, o.What); err != nil {
		return nil, err
	}
	m, err := beginReplacement(ctx, o)
	if err != nil {
		return nil, err
	}
	result, err := m.run(ctx)
	return result, errors.Join(err, m.work.Close())
}

// RefuseReplace refuses by the site file alone what is no replacement of a media server by another.
func RefuseReplace(s *site.Site, what wizard.Replacement) error {
	no := func(fix, format string, args ...any) error {
		return &problem.Error{Kind: problem.Input, Doing: "replacing", Object: what.Old, Err: fmt.Errorf(format, args...), Fix: fix}
	}
	old, is := s.Host(what.Old)
	_, there := s.Host(what.New)
	switch {
	case !is && !there: // with the new one there it is done, and only to be closed
		return no("valtctl site show lists the site's hosts", "%s has no such host", s.File())
	case is && site.Is(old.Roles, func(r site.RoleSpec) bool { return r.Conducts || !r.Engine }):
		return no("a later version moves the application server, by restoring its backup on the new one; this one replaces media servers",
			"it has the role %s, and this valtctl replaces media servers alone", old.Roles[0])
	case is && there:
		return no("name a server that the site does not have; to give "+what.New+" the cameras as well, move them in the site file, then: valtctl update",
			"%s is a host of the site already", what.New)
	}
	for _, h := range s.Hosts {
		if is && what.Address != "" && string(h.Address) == what.Address {
			return no("give the new server's own address", "%s is the address of %s", what.Address, h.Name)
		}
	}
	return nil
}

// beginReplacement connects to the old server, the new one and those that drive it.
func beginReplacement(ctx context.Context, o ReplaceOptions) (*replacement, error) {
	if o.Soak == 0 {
		o.Soak = DefaultSoak
	}
	if o.DrainWithin == 0 {
		o.DrainWithin = DefaultDrain
	}
	if o.PlugWithin == 0 {
		o.PlugWithin = DefaultPlug
	}
	m := &replacement{o: o, hosts: map[string]*HostRecord{}, at: map[string]bool{}}
	m.new, _ = o.Site.Host(o.What.New)
	if m.old, _ = o.Before.Host(o.What.Old); m.old.Name == "" {
		left, _ := o.Before.WasReplaced(o.What.Old)
		m.old = left.Host(m.new.Roles)
	}
	for _, h := range o.Site.Hosts {
		if site.Is(h.Roles, func(r site.RoleSpec) bool { return r.Conducts }) {
			m.drivers = append(m.drivers, h.Name)
		}
	}
	keeper := fleet.LeaseHost(o.Before)
	o.Hosts, o.Leaving, o.Keeper = append(slices.Clone(m.drivers), m.new.Name), []site.Host{m.old}, &keeper
	o.Outlive = o.Begun != nil
	m.moved.Store(o.Begun != nil && o.Begun.Moved)
	work, lost, err := installer.BeginReachable(ctx, o.Options.Options)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, l := range lost {
		if l.Host == m.new.Name {
			l.Err = installer.Reached(l.Host, m.new.Address, l.Err)
		}
		errs = append(errs, l.Err)
	}
	if len(errs) > 0 {
		return nil, errors.Join(append(errs, work.Close())...)
	}
	work.ConnectBeside(ctx)
	m.update = &update{Options: o.Options, work: work, kind: KindReplace}
	return m, nil
}

// run looks, asks, and does it.
func (m *replacement) run(ctx context.Context) (*ReplaceResult, error) {
	if m.isWritten() {
		return m.close(ctx)
	}
	if m.o.Begun != nil && !m.DryRun {
		if err := m.adoptReplacement(ctx); err != nil {
			return nil, err
		}
	}
	if err := m.plan(ctx); err != nil {
		return nil, err
	}
	p, err := m.preview(ctx)
	result := &ReplaceResult{Preview: p}
	if err != nil || m.DryRun {
		return result, err
	}
	if m.o.Accept != nil {
		if err := m.o.Accept(ctx, p); err != nil {
			return result, err
		}
	}
	note, err := m.note()
	if err != nil {
		return result, err
	}
	var holding context.Context
	if m.held, holding, err = m.work.Hold(ctx, note); err != nil {
		return result, err
	}
	result.Report, err = m.recorded(holding, p)
	if err == nil {
		result.Written, err = true, m.o.Write()
	}
	if result.Written = result.Written && err == nil; result.Written {
		result.Notes = m.afterwards(ctx)
	}
	if m.isOver(ctx, err) {
		err = errors.Join(err, m.held.Note(ctx, json.RawMessage("null")))
	}
	return result, errors.Join(err, m.held.Release(ctx))
}

// isWritten says that the site file says already that the new server has the place.
func (m *replacement) isWritten() bool {
	_, is := m.o.Before.Host(m.o.What.New)
	return is
}

// isOver says that nothing is left to go on with: it is done, or every host is seen to be what it
// was.
func (m *replacement) isOver(ctx context.Context, err error) bool {
	if err == nil {
		return true
	}
	if m.moved.Load() || ctx.Err() != nil || m.work.Refresh(ctx) != nil {
		return false
	}
	return len(m.work.Unfinished()) == 0
}

// note is what stands beside the lease.
func (m *replacement) note() (json.RawMessage, error) {
	text, err := json.Marshal(Intent{Kind: KindReplace, From: m.old.Name, To: m.new.Name, Final: m.new.Name, Run: m.Run, Who: m.Who,
		Hosts: append(slices.Clone(m.drivers), m.new.Name, m.old.Name), Soak: m.Soak, Drain: m.DrainWithin,
		Replace: &Replacing{What: m.o.What, Moved: m.moved.Load()}})
	if err != nil {
		return nil, fmt.Errorf("writing down what the replacement is about: %w", err)
	}
	return text, nil
}

// close takes away what stands beside the lease of a replacement that is done.
func (m *replacement) close(ctx context.Context) (*ReplaceResult, error) {
	result := &ReplaceResult{Preview: &ReplacePreview{Old: m.old.Name, New: m.new.Name}, Written: true}
	if m.o.Begun == nil {
		return nil, &problem.Error{Kind: problem.Input, Doing: "replacing", Object: m.old.Name, Err: fmt.Errorf("%s has its place already", m.new.Name),
			Fix: fmt.Sprintf("to go back: valtctl replace %s --with %s", m.new.Name, m.old.Name)}
	}
	held, _, err := m.work.Hold(ctx, nil)
	if err != nil {
		return result, err
	}
	result.Notes = m.afterwards(ctx)
	return result, errors.Join(held.Note(ctx, json.RawMessage("null")), held.Release(ctx))
}

// say tells of the new server or of the old one.
func (m *replacement) say(host, format string, args ...any) {
	m.Observer.Observe(event.Event{Kind: event.Note, Host: host, Text: fmt.Sprintf(format, args...)})
}
