package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
)

// Options are what a run over hosts is given. Site, Dial, Run, Now and Observer are
// needed, and StateDir where releases are read or a rollout is recorded.
type Options struct {
	Site  *site.Site
	Hosts []string // only these; empty: all
	// Leaving are hosts that the run is about as well, and that are the site's no more once it is
	// over.
	Leaving []site.Host
	// Keeper is the host that keeps the site's lease; nil: LeaseHost's.
	Keeper   *site.Host
	Dial     Dialer
	StateDir string // the controller's folder for this site
	Run      string // the run's id, unique and sortable by time
	Who      string // who runs it, for the hosts' journals
	Now      func() time.Time
	Observer event.Observer
	DryRun   bool
	Lease    time.Duration // how long the site's lease is held without renewing it; 0: DefaultLease
	// Outlive has the run wait for the end of a lease that somebody holds and does not renew.
	Outlive bool
	// Carrier is the bundle that everything comes from; nil: the site's own sources.
	Carrier *Carrier
	// Limit is how many hosts fetch at a time: they share one line to the vendor, or one
	// bundle. 0: DefaultLimit.
	Limit int
	// Ask gets a passphrase from a person; nil: nobody can be asked.
	Ask func(question string) ([]byte, error)
}

// DefaultLimit is how many hosts fetch at a time where nobody says otherwise.
const DefaultLimit = 16

// AtOnce is how many hosts fetch at a time.
func (o Options) AtOnce() int {
	if o.Limit > 0 {
		return o.Limit
	}
	return DefaultLimit
}

// Chosen are the hosts that the options are about, in the site file's order: those named,
// or all. A name that the site does not have is a problem of kind Input.
func (o Options) Chosen() ([]site.Host, error) {
	if len(o.Hosts) == 0 {
		return o.Site.Hosts, nil
	}
	for _, name := range o.Hosts {
		if _, ok := o.Site.Host(name); !ok {
			return nil, &problem.Error{Kind: problem.Input, Doing: "choosing hosts", Object: name, Err: errors.New("the site has no such host"),
				Fix: "valtctl site show lists its hosts"}
		}
	}
	var hosts []site.Host
	for _, h := range o.Site.Hosts {
		if slices.Contains(o.Hosts, h.Name) {
			hosts = append(hosts, h)
		}
	}
	return hosts, nil
}

// Fleet is the hosts of one run, in the site file's order.
type Fleet struct {
	Options Options
	Hosts   []*Host
	// Beside are the site's other hosts, which this run leaves as they are. They are asked what
	// they do, and told who may change the site; nothing else (ConnectBeside).
	Beside []*Host

	mu    sync.Mutex
	lease *LeaseHolder // nil: it is not held
}

// New is the fleet of these hosts, none of them connected to yet.
func New(o Options, hosts []site.Host) *Fleet {
	f := &Fleet{Options: o}
	for _, h := range hosts {
		f.Hosts = append(f.Hosts, newHost(h, f))
	}
	for _, h := range o.Leaving {
		f.Hosts = append(f.Hosts, newHost(h, f))
	}
	for _, h := range o.Site.Hosts {
		if !slices.ContainsFunc(hosts, func(mine site.Host) bool { return mine.Name == h.Name }) {
			beside := newHost(h, f)
			beside.beside = true
			f.Beside = append(f.Beside, beside)
		}
	}
	return f
}

// ConnectBeside connects to the site's other hosts, as far as they can be reached, and gathers
// their facts. Those that cannot be are told and remain unconnected: nothing is known of them.
func (f *Fleet) ConnectBeside(ctx context.Context) {
	_ = Each(f.Beside, func(h *Host) error {
		if h.Connected() {
			return nil
		}
		err := h.Connect(ctx)
		if err == nil {
			err = h.Refresh(ctx)
		}
		if err != nil {
			h.tell(event.Event{Kind: event.Note, Text: "this run is not about it, and it cannot be asked: " + OneLine(Bare(err))})
		}
		return nil
	})
}

// Whole are all hosts of the site.
func (f *Fleet) Whole() []*Host { return slices.Concat(f.Hosts, f.Beside) }

// Anywhere is the host of that name, also one that the run is not about.
func (f *Fleet) Anywhere(name string) (*Host, error) {
	whole := f.Whole()
	i := slices.IndexFunc(whole, func(h *Host) bool { return h.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("looking for host %s: the site has no such host", name)
	}
	return whole[i], nil
}

// Connect connects to the hosts and gathers their facts. What was opened is open also where
// that fails.
func (f *Fleet) Connect(ctx context.Context) error {
	return Each(f.Hosts, func(h *Host) error {
		if err := h.Connect(ctx); err != nil {
			return err
		}
		if err := h.Refresh(ctx); err != nil {
			return err
		}
		now := h.Facts().Facts
		h.tell(event.Event{Kind: event.Facts, Text: fmt.Sprintf("%s %s, %s", now.OS.Pretty, now.Arch, engineText(now))})
		return nil
	})
}

// Unreached is a host that cannot be asked, and why.
type Unreached struct {
	Host string
	Err  error // a problem of kind Check
}

// ConnectReachable is Connect for a run that is about those hosts that can be reached. The others
// are returned, and are none of the fleet's any more.
func (f *Fleet) ConnectReachable(ctx context.Context) []Unreached {
	all := make([]Unreached, len(f.Hosts))
	var wg sync.WaitGroup
	for i, h := range f.Hosts {
		wg.Go(func() {
			err := h.Connect(ctx)
			if err == nil {
				err = h.Refresh(ctx)
			}
			if err != nil {
				all[i] = Unreached{h.Name, errors.Join(unreached(h, err), h.Close())}
			}
		})
	}
	wg.Wait()
	var lost []Unreached
	var reached []*Host
	for i, h := range f.Hosts {
		if all[i].Err != nil {
			lost = append(lost, all[i])
		} else {
			reached = append(reached, h)
		}
	}
	f.Hosts = reached
	return lost
}

func engineText(f facts.Facts) string {
	if f.Engine == nil {
		return "no Docker engine"
	}
	return "Docker " + f.Engine.Version
}

// Host is the host of that name; an error where the run does not have it.
func (f *Fleet) Host(name string) (*Host, error) {
	i := slices.IndexFunc(f.Hosts, func(h *Host) bool { return h.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("looking for host %s: this run does not have it", name)
	}
	return f.Hosts[i], nil
}

// Facts are what a host had when it was asked last; none of one that the run does not have.
func (f *Fleet) Facts(host string) facts.Facts {
	h, err := f.Host(host)
	if err != nil {
		return facts.Facts{}
	}
	return h.Facts().Facts
}

// Refresh asks every host for its facts again.
func (f *Fleet) Refresh(ctx context.Context) error {
	return Each(f.Hosts, func(h *Host) error { return h.Refresh(ctx) })
}

// Close ends every connection. What ends with the far side already gone is no error.
func (f *Fleet) Close() error {
	return Each(f.Whole(), func(h *Host) error { return h.Close() })
}

// RefreshOne asks one host for its facts again.
func (f *Fleet) RefreshOne(ctx context.Context, host string) error {
	h, err := f.Host(host)
	if err != nil {
		return err
	}
	return h.Refresh(ctx)
}

// With connects to one host, does something there and leaves it. Nothing is carried there.
func With(ctx context.Context, o Options, h site.Host, do func(*Host) error) error {
	o.Carrier = nil
	host := New(o, []site.Host{h}).Hosts[0]
	if err := host.Connect(ctx); err != nil {
		return err
	}
	return errors.Join(do(host), host.Close())
}

// Each does a job for all at once and joins the errors in their order.
func Each[T any](all []T, job func(T) error) error {
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, one := range all {
		wg.Go(func() { errs[i] = job(one) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// EachOf is Each with so many at a time. Once ctx ends none is begun.
func EachOf[T any](ctx context.Context, most int, all []T, job func(T) error) error {
	turn := make(chan struct{}, most)
	return Each(all, func(one T) error {
		select {
		case turn <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		defer func() { <-turn }()
		if ctx.Err() != nil { // it ended while the turn came
			return context.Cause(ctx)
		}
		return job(one)
	})
}
