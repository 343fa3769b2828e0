package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// The states of a recorder, in the real engine's words (its REST documentation,
// "Create and manage stream recorders").
const (
	recorderWaiting = "Waiting for stream"
	recorderActive  = "Recording in Progress"
)

// application is the only one there is.
const application = "live"

// streamName is what a stream may be called, since it becomes a file's name.
var streamName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

var (
	errNoRecorder = errors.New("no such recorder")
	errRecorder   = errors.New("the recorder is there already")
	errName       = errors.New("a recorder's name is letters, digits, dots, dashes and underscores")
)

// recorder records one stream, or waits for it.
type recorder struct {
	name string
	file *recordFile // nil while waiting
}

// recorderInfo is a recorder at one moment.
type recorderInfo struct {
	name, state, path string
	size              int64
	started           time.Time // zero while waiting
}

// recorders are the engine's stream recorders. A recorder ends for good when its
// stream stops, as the real one's do.
type recorders struct {
	dir string
	now func() time.Time
	log *slog.Logger

	mu        sync.Mutex
	all       map[string]*recorder
	connected map[string]bool // streams that there are
}

func openRecorders(dir string, now func() time.Time, log *slog.Logger) (*recorders, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("opening the recordings: %w", err)
	}
	lost, err := markLost(dir, now())
	for _, name := range lost {
		log.Error("recording LOST", "file", name, "why", "the engine was killed while recording")
	}
	return &recorders{dir: dir, now: now, log: log, all: map[string]*recorder{}, connected: map[string]bool{}}, err
}

// create adds a recorder; it begins at once if its stream is there.
func (r *recorders) create(name string) error {
	if !streamName.MatchString(name) {
		return fmt.Errorf("creating recorder %q: %w", name, errName)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all[name] != nil {
		return fmt.Errorf("creating recorder %s: %w", name, errRecorder)
	}
	created := &recorder{name: name}
	if r.connected[name] {
		if err := r.begin(created); err != nil {
			return err
		}
	}
	r.all[name] = created
	return nil
}

func (r *recorders) begin(x *recorder) error {
	file, err := newRecordFile(filepath.Join(r.dir, application), x.name, r.now())
	if err != nil {
		return fmt.Errorf("creating recorder %s: %w", x.name, err)
	}
	x.file = file
	r.log.Info("recording", "stream", x.name, "file", file.name())
	return nil
}

// stop ends a recorder in good order.
func (r *recorders) stop(name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.end(name, stateComplete, "stopped by request")
}

// end removes the recorder. The caller holds the lock.
func (r *recorders) end(name, state, reason string) error {
	x := r.all[name]
	if x == nil {
		return fmt.Errorf("stopping recorder %s: %w", name, errNoRecorder)
	}
	delete(r.all, name)
	if x.file == nil {
		return nil
	}
	r.log.Info("recording ended", "stream", name, "file", x.file.name(), "state", state, "why", reason)
	return x.file.end(state, reason, r.now())
}

// stream tells that a stream has come or gone.
func (r *recorders) stream(name string, connected bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.connected[name] == connected {
		return
	}
	r.connected[name] = connected
	x := r.all[name]
	if x == nil {
		return
	}
	var err error
	if connected && x.file == nil {
		err = r.begin(x)
	}
	if !connected {
		err = r.end(name, stateComplete, "its stream stopped")
	}
	if err != nil {
		r.log.Error("recording failed", "stream", name, "why", err)
	}
}

// write appends to all active recordings until ctx ends.
func (r *recorders) write(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.append()
		}
	}
}

func (r *recorders) append() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, x := range r.all {
		if x.file == nil {
			continue
		}
		if err := x.file.write(r.now().UTC().Format(time.RFC3339Nano) + "\n"); err != nil {
			r.log.Error("recording failed", "stream", name, "why", err)
			r.end(name, stateLost, err.Error()) //nolint:errcheck // the disk has said why already
		}
	}
}

// loseAll marks every active recording lost.
func (r *recorders) loseAll(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, x := range r.all {
		if x.file != nil {
			r.log.Error("recording LOST", "file", x.file.name(), "why", reason)
		}
		if err := r.end(name, stateLost, reason); err != nil {
			r.log.Error("recording failed", "stream", name, "why", err)
		}
	}
}

// list is every recorder, by name.
func (r *recorders) list() []recorderInfo {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]recorderInfo, 0, len(r.all))
	for _, x := range r.all {
		info := recorderInfo{name: x.name, state: recorderWaiting}
		if x.file != nil {
			info.state, info.path, info.size, info.started = recorderActive, x.file.name(), x.file.size, x.file.state.Started
		}
		list = append(list, info)
	}
	slices.SortFunc(list, func(a, b recorderInfo) int { return strings.Compare(a.name, b.name) })
	return list
}
