package check

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/probe"
)

// Listening is our hosts' own end of the flows, while they are tried.
type Listening struct {
	token string
	done  sync.WaitGroup

	mu       sync.Mutex
	stops    []context.CancelFunc
	states   map[string]map[uint16]probe.PortState // by host
	arrivals map[string][]probe.Arrival            // by host
}

// NewListening listens nowhere yet.
func NewListening() *Listening {
	return &Listening{token: newToken(), states: map[string]map[uint16]probe.PortState{}, arrivals: map[string][]probe.Arrival{}}
}

// Start has a host listen where nothing does, and returns when it has said where. It
// listens until End, or until ctx ends. Hosts may start at the same time.
func (l *Listening) Start(ctx context.Context, host string, m Machine, ports []uint16) {
	ctx, stop := context.WithCancel(ctx)
	l.mu.Lock()
	l.stops = append(l.stops, stop)
	l.states[host] = map[uint16]probe.PortState{}
	l.mu.Unlock()
	ready := make(chan struct{})
	l.done.Go(func() { l.run(ctx, m, host, ports, sync.OnceFunc(func() { close(ready) })) })
	<-ready
}

// Ports are the TCP ports of the site's hosts that somebody is going to try, by host.
func (p Prober) Ports(flows []network.Flow) map[string][]uint16 {
	all := map[string][]uint16{}
	for _, f := range flows {
		host := ourEnd(f)
		tried := f.Source.Kind == network.KindHost || f.Source.Kind == network.KindNetwork && p.Here != nil && p.standsIn(f.Source)
		if host != "" && tried && !slices.Contains(all[host], f.Port) {
			all[host] = append(all[host], f.Port)
		}
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

// maxArrivals is how many connections are kept of a host, far more than are tried.
const maxArrivals = 1 << 16

// run keeps what one host tells, until the listening ends. A host that cannot listen is
// known by its ports having no state.
func (l *Listening) run(ctx context.Context, m Machine, host string, ports []uint16, ready func()) {
	defer ready()
	err := m.Listen(ctx, probe.ListenRequest{Ports: ports, Token: l.token}, func(e probe.ListenEvent) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		if e.Arrival != nil && len(l.arrivals[host]) < maxArrivals {
			l.arrivals[host] = append(l.arrivals[host], *e.Arrival)
		}
		if e.State != nil && slices.Contains(ports, e.State.Port) {
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

// End stops the listening and waits until the hosts have. It may be called again.
func (l *Listening) End() {
	l.mu.Lock()
	stops := l.stops
	l.mu.Unlock()
	for _, stop := range stops {
		stop()
	}
	l.done.Wait()
}

// state is who listens at the end of a flow; nil: the far end is not ours, or was not asked.
func (l *Listening) state(f network.Flow) *probe.PortState {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s, ok := l.states[ourEnd(f)][f.Port]; ok {
		return &s
	}
	return nil
}

func (l *Listening) ours(f network.Flow) bool {
	s := l.state(f)
	return s != nil && s.Ours
}

// came says whether a question's first packet reached the flow's far end, and known
// whether that can be told. Behind an address translation the source's port alone can be
// recognised, which routers keep where they can.
func (l *Listening) came(f network.Flow, o probe.Outcome) (came, known bool) {
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

// Where says where we listened, a line a host: "media1: 444, 8000".
func (l *Listening) Where() []string {
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
