package check

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/probe"
)

// listening is our hosts' own end of the flows, while they are tried.
type listening struct {
	token string
	stop  context.CancelFunc
	done  sync.WaitGroup

	mu       sync.Mutex
	states   map[string]map[uint16]probe.PortState // by host
	arrivals map[string][]probe.Arrival            // by host
}

func newListening() *listening {
	return &listening{token: newToken(), stop: func() {}, states: map[string]map[uint16]probe.PortState{}, arrivals: map[string][]probe.Arrival{}}
}

// listen has every destination host listen where nothing does, and returns when each has
// said where.
func (p Prober) listen(ctx context.Context, trials []*trial) (*listening, error) {
	ctx, cancel := context.WithCancel(ctx)
	l := newListening()
	l.stop = cancel
	if p.NoListen {
		return l, nil
	}
	var ready sync.WaitGroup
	for host, ports := range p.ports(trials) {
		if p.Announce != nil {
			p.Announce(host, ports)
		}
		l.states[host] = map[uint16]probe.PortState{}
		ready.Add(1)
		l.done.Go(func() { l.run(ctx, p.Hosts[host], host, ports, sync.OnceFunc(ready.Done)) })
	}
	ready.Wait()
	if ctx.Err() != nil {
		l.end()
		return nil, fmt.Errorf("listening on the hosts: %w", context.Cause(ctx))
	}
	return l, nil
}

// ports are the TCP ports of ours that somebody is going to try, by host.
func (p Prober) ports(trials []*trial) map[string][]uint16 {
	all := map[string][]uint16{}
	for _, t := range trials {
		host := ourEnd(t.flow)
		if t.by == "" || p.Hosts[host] == nil || slices.Contains(all[host], t.flow.Port) {
			continue
		}
		all[host] = append(all[host], t.flow.Port)
	}
	for _, ports := range all {
		slices.Sort(ports)
	}
	return all
}

// ourEnd is the host that a TCP flow ends at; empty: none of ours.
func ourEnd(f network.Flow) string {
	if f.Destination.Kind != network.KindHost || f.Protocol != network.TCP {
		return ""
	}
	name, _, _ := strings.Cut(f.Destination.Name, "+")
	return name
}

// run keeps what one host tells, until the listening ends. A host that cannot listen is
// known by its ports having no state.
func (l *listening) run(ctx context.Context, m Machine, host string, ports []uint16, ready func()) {
	defer ready()
	err := m.Listen(ctx, probe.ListenRequest{Ports: ports, Token: l.token}, func(e probe.ListenEvent) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if e.Arrival != nil {
			l.arrivals[host] = append(l.arrivals[host], *e.Arrival)
		}
		if e.State != nil {
			l.states[host][e.State.Port] = *e.State
			if len(l.states[host]) == len(ports) {
				ready()
			}
		}
		return nil
	})
	if err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, port := range ports {
			if _, told := l.states[host][port]; !told {
				l.states[host][port] = probe.PortState{Port: port, Err: err.Error()}
			}
		}
	}
}

// end stops the listening and returns what arrived. It may be called again.
func (l *listening) end() *listening {
	l.stop()
	l.done.Wait()
	return l
}

// state is who listens at the end of a flow; nil: the far end is not ours, or was not asked.
func (l *listening) state(f network.Flow) *probe.PortState {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s, ok := l.states[ourEnd(f)][f.Port]; ok {
		return &s
	}
	return nil
}

func (l *listening) ours(f network.Flow) bool {
	s := l.state(f)
	return s != nil && s.Ours
}

// came says whether a question's first packet reached the flow's far end, and known
// whether that can be told. Behind an address translation the source's port alone can be
// recognised, which routers keep where they can.
func (l *listening) came(f network.Flow, o probe.Outcome) (came, known bool) {
	state := l.state(f)
	_, port, err := net.SplitHostPort(o.Local)
	if state == nil || err != nil {
		return false, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	came = slices.ContainsFunc(l.arrivals[ourEnd(f)], func(a probe.Arrival) bool {
		return a.Port == f.Port && (a.From == o.Local || strings.HasSuffix(a.From, ":"+port))
	})
	return came, came || state.Watched
}

// PortList writes ports for people.
func PortList(ports []uint16) string {
	texts := make([]string, len(ports))
	for i, p := range ports {
		texts[i] = strconv.Itoa(int(p))
	}
	return strings.Join(texts, ", ")
}

// text is where we listened, a line a host.
func (l *listening) text() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for host, states := range l.states {
		var ports []uint16
		for _, s := range states {
			if s.Ours {
				ports = append(ports, s.Port)
			}
		}
		if len(ports) == 0 {
			continue
		}
		slices.Sort(ports)
		all = append(all, host+": "+PortList(ports))
	}
	slices.Sort(all)
	return all
}
