package engine

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// version is what the version page says. The first words are the real engine's, so
// that whoever looks for them finds them; the last says what this is.
const version = "Wowza Streaming Engine 4 Monthly Edition 4.8.27 (stand-in)"

// engine is the running stand-in.
type engine struct {
	options
	log       *slog.Logger
	started   time.Time
	streams   *streams
	recorders *recorders
	rtmp      *rtmp
	listeners map[string]net.Listener // by the name of the port
}

// newEngine looks for recordings that its predecessor lost and opens all ports.
func newEngine(o options, log *slog.Logger) (*engine, error) {
	log = log.With("engine", "stand-in")
	recorders, err := openRecorders(o.recordings, o.now, log)
	if err != nil {
		return nil, err
	}
	e := &engine{options: o, log: log, started: o.now(), recorders: recorders,
		streams: newStreams(o.cameras, recorders, log), rtmp: &rtmp{}, listeners: map[string]net.Listener{}}
	if err := e.listen(); err != nil {
		return nil, errors.Join(err, e.close())
	}
	log.Info("started", "version", version, "licence", o.licence, "cameras", len(o.cameras))
	return e, nil
}

func (e *engine) listen() error {
	addresses := map[string]string{"stream": e.ports.stream, "web": e.ports.web, "version": e.ports.version,
		"rest": e.ports.rest, "manager": e.ports.manager}
	if e.certificate != nil {
		addresses["streamTLS"] = e.ports.streamTLS
	}
	for name, address := range addresses {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return fmt.Errorf("opening the %s port: %w", name, err)
		}
		e.listeners[name] = listener
	}
	return nil
}

// serve works until ctx ends. Recordings that are active then are lost: stopping them
// in time is the business of whoever stops the engine.
func (e *engine) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan error, len(e.listeners))
	var work sync.WaitGroup
	for name, listener := range e.listeners {
		serve := e.server(name)
		work.Go(func() { failed <- serve(listener) })
	}
	work.Go(func() { e.streams.watch(ctx, e.poll) })
	work.Go(func() { e.recorders.write(ctx, e.writeEvery) })
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
		err = fmt.Errorf("serving: %w", err)
	}
	cancel()
	err = errors.Join(err, e.close())
	work.Wait()
	e.recorders.loseAll("the engine was stopped while recording")
	return err
}

// server is what serves a port.
func (e *engine) server(name string) func(net.Listener) error {
	handlers := map[string]http.Handler{"web": e.webPage(), "version": versionPage(), "rest": e.rest(), "manager": managerPage()}
	for port, well := range handlers {
		handlers[port] = e.ailing(port, well)
	}
	switch name {
	case "stream":
		return e.rtmp.serve
	case "streamTLS":
		return func(l net.Listener) error { return e.rtmp.serve(tls.NewListener(l, e.tlsConfig())) }
	case "web": // the vendor's page: HTTP/HTTPS on one port
		return func(l net.Listener) error {
			if e.certificate != nil {
				l = &eitherListener{l, e.tlsConfig()}
			}
			return serveHTTP(l, handlers[name])
		}
	}
	return func(l net.Listener) error { return serveHTTP(l, handlers[name]) }
}

func (e *engine) tlsConfig() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{*e.certificate}, MinVersion: tls.VersionTLS12}
}

func serveHTTP(l net.Listener, h http.Handler) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	if err := server.Serve(l); err != nil {
		return fmt.Errorf("serving %s: %w", l.Addr(), err)
	}
	return nil
}

func (e *engine) close() error {
	var errs []error
	for _, l := range e.listeners {
		if err := l.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, fmt.Errorf("closing %s: %w", l.Addr(), err))
		}
	}
	return errors.Join(errs...)
}
