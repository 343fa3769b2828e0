package cases

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/repos/sleep"
)

// visitEvery is how often clients ask each host: 20 times a second. Neighbours, whose
// answers measure how long a container is away, ask more often than that.
const (
	visitEvery = 50 * time.Millisecond
	pollEvery  = 10 * time.Millisecond
)

// byHandRounds is how often containers are stopped and started by hand; the median counts.
const byHandRounds = 5

// downtimeLimit is how much longer a container may be away in an update than when it is
// stopped and started by hand.
const downtimeLimit = 1.5

// rolling updates the site while clients ask and a recording runs.
func rolling(ctx context.Context, e *Env) error {
	media, err := e.mediaHosts()
	if err != nil {
		return err
	}
	if len(media) < 3 && !e.Sample {
		return fmt.Errorf("the lab has %d media hosts; make one with: valtlab up --media 3", len(media))
	}
	return atItsBest(func() error { return e.roll(ctx, media) })
}

// roll updates the site once, from wherever it is.
func (e *Env) roll(ctx context.Context, media []lab.Host) error {
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	byHand, err := e.byHand(ctx, media)
	if err != nil {
		return err
	}
	w, err := e.watchSite(ctx, media)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- e.recordFor(ctx, media[len(media)-1], 15*time.Second) }()
	err = e.Timed("update of the site", func() error {
		_, err := e.Expect(ctx, 0, e.quick("update", "--to", releases.Canary)...)
		return err
	})
	if err = errors.Join(err, w.end()); err != nil {
		return err
	}
	if err := <-ended; err != nil {
		return err
	}
	if err := e.noneLost(ctx, media); err != nil {
		return err
	}
	e.Measure("recordings lost", "0")
	if err := w.judge(e, byHand); err != nil {
		return err
	}
	return e.serves(ctx)
}

// recordFor begins a recording and ends it, as the application does, after a while.
func (e *Env) recordFor(ctx context.Context, media lab.Host, d time.Duration) error {
	desk, err := e.desk(ctx, "app1", media)
	if err != nil {
		return err
	}
	streams, err := desk.streams(ctx)
	if err != nil {
		return err
	}
	if err := desk.record(ctx, streams[0]); err != nil {
		return err
	}
	e.Measure("recording", "%s on %s, for %s", streams[0], media.Name, d)
	if err := sleep.For(ctx, d); err != nil {
		return err
	}
	return desk.stop(ctx, streams[0])
}

// byHand stops and starts each host's containers with Docker alone, and measures how long
// they are away for their neighbours.
func (e *Env) byHand(ctx context.Context, media []lab.Host) (map[string]time.Duration, error) {
	rounds := map[string][]time.Duration{}
	for range byHandRounds {
		w, err := e.watchSite(ctx, media)
		if err != nil {
			return nil, err
		}
		err = e.stopAndStart(ctx, map[string]string{"app1": "valt-web", media[0].Name: "valt-engine"})
		if err == nil {
			err = w.allServe(ctx)
		}
		if err = errors.Join(err, w.end()); err != nil {
			return nil, err
		}
		rounds["app"] = append(rounds["app"], w.of("app1").longest())
		rounds["media"] = append(rounds["media"], w.of(media[0].Name).longest())
	}
	away := map[string]time.Duration{}
	for role, all := range rounds {
		slices.Sort(all)
		away[role] = all[len(all)/2]
	}
	e.Measure("away, stopped and started by hand", "application %.2f s, media engine %.2f s (median of %d)", away["app"].Seconds(), away["media"].Seconds(), byHandRounds)
	return away, nil
}

// allServe waits until every neighbour gets an answer. One that was asked before the last
// stop has its answer, or none, after a second.
func (w *watching) allServe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, hostWithin)
	defer cancel()
	err := sleep.For(ctx, time.Second)
	for err == nil && slices.ContainsFunc(w.hosts, func(h *watched) bool { return !h.answers() }) {
		err = sleep.For(ctx, pollEvery)
	}
	return err
}

// stopAndStart does that with one container a host.
func (e *Env) stopAndStart(ctx context.Context, containers map[string]string) error {
	for host, c := range containers {
		for _, do := range []string{"stop", "start"} {
			if _, err := e.Lab.Output(ctx, host, "docker", do, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// watched is one host as somebody sees it.
type watched struct {
	host, role    string
	url           string
	client        *http.Client // of people; nil: nobody asks
	neighbour     *http.Client
	asked, failed atomic.Int64 // by people
	mu            sync.Mutex
	serves        bool // a neighbour gets an answer
	since         time.Time
	gaps          []time.Duration
	admits        atomic.Bool // people's connections are taken
}

// watching is a site while somebody asks all its hosts.
type watching struct {
	hosts  []*watched
	stop   context.CancelFunc
	done   sync.WaitGroup
	fewest atomic.Int64 // media hosts that gave people an answer, at the worst moment
	nMedia int
	inside []*lab.Inside // where it asks from
}

// watchSite begins to ask every host 20 times a second: as people do, and as its neighbours
// do, which the gate lets through.
func (e *Env) watchSite(ctx context.Context, media []lab.Host) (*watching, error) {
	w := &watching{nMedia: len(media)}
	from := map[string]*lab.Inside{}
	for _, name := range []string{"client", "app1", media[0].Name} {
		inside, err := e.Lab.Inside(ctx, name)
		if err != nil {
			return nil, errors.Join(err, w.leave())
		}
		from[name], w.inside = inside, append(w.inside, inside)
	}
	ctx, w.stop = context.WithCancel(ctx)
	w.fewest.Store(int64(len(media)))
	w.hosts = append(w.hosts, &watched{host: "app1", role: "app", url: "https://" + e.Lab.App().String() + "/",
		neighbour: poller(from[media[0].Name].Dial, nil)})
	for _, h := range media {
		w.hosts = append(w.hosts, &watched{host: h.Name, role: "media", url: "http://" + h.Address.String() + ":8000/",
			neighbour: poller(from["app1"].Dial, nil)})
	}
	for _, h := range w.hosts {
		h.serves, h.since = true, e.Now()
		h.client = poller(from["client"].Dial, h.admits.Store)
		h.admits.Store(true)
		w.done.Go(func() { h.poll(ctx, e.Now) })
		w.done.Go(func() { h.visit(ctx) })
	}
	w.done.Go(func() { w.count(ctx) })
	return w, nil
}

// poller asks over connections of dial's. Every question is a new session, as a new
// visitor's is. The certificate has the site's name and is checked by valtlab visit; here
// only whether something answers is asked. connected, unless it is nil, is told whether each
// connection was taken.
func poller(dial func(ctx context.Context, address string) (net.Conn, error), connected func(bool)) *http.Client {
	return &http.Client{Timeout: time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, _, address string) (net.Conn, error) {
			conn, err := dial(ctx, address)
			if connected != nil {
				connected(err == nil)
			}
			return conn, err
		},
	}}
}

func getsAnswer(ctx context.Context, c *http.Client, url string) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	reply, err := c.Do(r)
	if err != nil {
		return false
	}
	reply.Body.Close()
	return reply.StatusCode == http.StatusOK
}

// poll asks as a neighbour does and notes every time without an answer.
func (h *watched) poll(ctx context.Context, now func() time.Time) {
	for ctx.Err() == nil {
		began := now()
		ok := getsAnswer(ctx, h.neighbour, h.url)
		if ctx.Err() != nil {
			return
		}
		h.mu.Lock()
		switch {
		case ok && !h.serves:
			h.gaps = append(h.gaps, now().Sub(h.since))
			h.serves = true
		case !ok && h.serves:
			h.serves, h.since = false, began
		}
		h.mu.Unlock()
		_ = sleep.For(ctx, pollEvery)
	}
}

// visit asks as people do. A host admits them if it takes their connection, which its kernel
// does at once however busy its programs are; one that is gated drops it.
func (h *watched) visit(ctx context.Context) {
	for ctx.Err() == nil {
		ok := getsAnswer(ctx, h.client, h.url)
		if ctx.Err() != nil {
			return
		}
		h.asked.Add(1)
		if !ok {
			h.failed.Add(1)
		}
		_ = sleep.For(ctx, visitEvery)
	}
}

// count keeps the fewest media hosts that people got an answer of.
func (w *watching) count(ctx context.Context) {
	for ctx.Err() == nil {
		n := int64(0)
		for _, h := range w.hosts {
			if h.role == "media" && h.admits.Load() {
				n++
			}
		}
		w.fewest.Store(min(w.fewest.Load(), n))
		_ = sleep.For(ctx, visitEvery)
	}
}

func (w *watching) end() error {
	w.stop()
	w.done.Wait()
	return w.leave()
}

func (w *watching) leave() error {
	var errs []error
	for _, i := range w.inside {
		errs = append(errs, i.Close())
	}
	return errors.Join(errs...)
}

func (w *watching) of(host string) *watched {
	return w.hosts[slices.IndexFunc(w.hosts, func(h *watched) bool { return h.host == host })]
}

// answers says whether a neighbour got an answer last.
func (h *watched) answers() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.serves
}

func (h *watched) longest() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.gaps) == 0 {
		return 0
	}
	return slices.Max(h.gaps)
}

// judge prints what was seen and says what was too much.
func (w *watching) judge(e *Env, byHand map[string]time.Duration) error {
	var err error
	for _, h := range w.hosts {
		e.Measure(h.host, "away for %.2f s; %d of %d requests of new visitors failed (drain included)", h.longest().Seconds(), h.failed.Load(), h.asked.Load())
		limit := time.Duration(float64(byHand[h.role]) * downtimeLimit)
		if h.longest() > limit {
			err = slow("%s was away for %.2f s, more than %.1f times the %.2f s by hand", h.host, h.longest().Seconds(), downtimeLimit, byHand[h.role].Seconds())
		}
	}
	e.Measure("fewest media hosts that took sessions", "%d of %d", w.fewest.Load(), w.nMedia)
	if floor := int64(min(1, w.nMedia-1)); w.fewest.Load() < floor {
		err = fmt.Errorf("only %d media hosts took sessions; the floor is %d", w.fewest.Load(), floor)
	}
	return err
}
