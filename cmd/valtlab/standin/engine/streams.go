package engine

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"
)

// stream is one camera as the engine sees it.
type stream struct {
	name      string // the camera's host, with the port where it is not 554
	source    string // rtsp://…
	connected bool
	server    string // the camera's Server header
	methods   string // its Public header: what it answered OPTIONS with
	media     string // what it answered DESCRIBE with, in short
	err       string // why it is not connected
}

// streams asks the cameras what they have to show.
type streams struct {
	recorders *recorders
	log       *slog.Logger

	mu  sync.Mutex
	all []stream
}

func newStreams(cameras []string, r *recorders, log *slog.Logger) *streams {
	s := &streams{recorders: r, log: log}
	for _, camera := range cameras {
		s.all = append(s.all, stream{name: nameOf(camera), source: "rtsp://" + camera + "/live", err: "not asked yet"})
	}
	return s
}

func nameOf(camera string) string {
	return strings.ReplaceAll(strings.TrimSuffix(camera, ":554"), ":", "_")
}

// watch asks every camera now and again, until ctx ends.
func (s *streams) watch(ctx context.Context, every time.Duration) {
	var work sync.WaitGroup
	defer work.Wait()
	for i := range s.all {
		work.Go(func() {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				s.ask(ctx, i)
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
			}
		})
	}
}

// ask asks one camera and notes the answer.
func (s *streams) ask(ctx context.Context, i int) {
	s.mu.Lock()
	was := s.all[i]
	s.mu.Unlock()
	is := describe(ctx, was)
	s.mu.Lock()
	s.all[i] = is
	s.mu.Unlock()
	if ctx.Err() != nil {
		return // cut off by us: the camera said nothing
	}
	if is.connected != was.connected || is.err != was.err {
		s.log.Info("camera", "source", is.source, "connected", is.connected, "OPTIONS", is.methods, "DESCRIBE", is.media, "error", is.err)
	}
	s.recorders.stream(is.name, is.connected)
}

// describe asks OPTIONS and DESCRIBE (RFC 2326, sections 10.1 and 10.2).
func describe(ctx context.Context, s stream) stream {
	s = stream{name: s.name, source: s.source}
	u, err := base.ParseURL(s.source)
	if err != nil {
		s.err = err.Error()
		return s
	}
	c := gortsplib.Client{Scheme: "rtsp", Host: u.Host, ReadTimeout: 3 * time.Second, WriteTimeout: 3 * time.Second,
		DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
			return (&net.Dialer{Timeout: 3 * time.Second}).DialContext(ctx, network, address)
		}}
	if err := c.Start2(); err != nil {
		s.err = err.Error()
		return s
	}
	defer c.Close()
	defer context.AfterFunc(ctx, c.Close)()
	options, err := c.Options(u)
	if err != nil {
		s.err = "OPTIONS: " + err.Error()
		return s
	}
	s.methods, s.server = first(options.Header["Public"]), first(options.Header["Server"])
	shown, _, err := c.Describe(u)
	if err != nil {
		s.err = "DESCRIBE: " + err.Error()
		return s
	}
	for _, m := range shown.Medias {
		s.media = strings.TrimSpace(s.media + " " + string(m.Type))
		for _, f := range m.Formats {
			s.media += " " + f.Codec()
		}
	}
	s.connected = true
	return s
}

func first(v base.HeaderValue) string {
	if len(v) == 0 {
		return ""
	}
	return v[0]
}

// list is every stream.
func (s *streams) list() []stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]stream(nil), s.all...)
}
