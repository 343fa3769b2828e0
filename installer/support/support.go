// Package support puts together what people who help from afar ask for: journals, logs,
// states, versions, in one archive with a list of what is in it. It exists so that nobody
// has to be asked for it file by file, and so that nobody sends a secret along: what is
// known to be one, and what looks like one, is taken out on the host before anything
// leaves it, and again at the controller, which knows others (redact). Gather is the host's
// side, Archive the controller's. It changes nothing on a host and sends nothing anywhere.
package support

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"ipivs.com/valtctl/installer/redact"
	"ipivs.com/valtctl/installer/step"
)

// Request says how much is wanted, and what the controller knows to be secret. Only secrets
// that this host is given anyway are in it.
type Request struct {
	Secrets map[string][]byte `json:"secrets,omitempty"`
	PerFile int64             `json:"per_file"` // bytes of one file at most, its last ones
	PerHost int64             `json:"per_host"` // bytes of all files at most
}

// Part is a piece of one file. Pieces of a file follow each other; the last has End.
type Part struct {
	Path string `json:"path"` // below the host's folder, with slashes
	Data []byte `json:"data,omitempty"`
	End  *End   `json:"end,omitempty"`
}

// End says what became of a file.
type End struct {
	Removed redact.Counts `json:"removed,omitempty"` // what was taken out, how often
	Cut     int64         `json:"cut,omitempty"`     // bytes that were left out before what is there
	LeftOut bool          `json:"left_out,omitempty"`
	Problem string        `json:"problem,omitempty"` // why it is not there, or not whole
}

// Env is the host that is asked.
type Env struct {
	Machine *step.Machine // its Root, Run, Now and engine are used
	Within  time.Duration // for each source; 0: half a minute
}

const (
	defaultWithin = 30 * time.Second
	chunk         = 256 << 10
	least         = 1 << 10 // bytes; a limit below is a mistake
)

// source is one file of the archive.
type source struct {
	path  string
	whole bool // of no use without its beginning
	take  func(ctx context.Context, out io.Writer) error
}

// errAbsent says that a host has nothing of the kind, which is no problem.
var errAbsent = errors.New("there is none")

// Gather hands over every file in a fixed order, the most useful first. What cannot be read
// is said in its End and holds up nothing else. The error is of part, or of a request that
// makes no sense.
func Gather(ctx context.Context, e Env, r Request, part func(Part) error) error {
	if r.PerFile < least || r.PerHost < least {
		return fmt.Errorf("gathering what support asks for: the limits of %d bytes a file and %d a host are too small", r.PerFile, r.PerHost)
	}
	if e.Within == 0 {
		e.Within = defaultWithin
	}
	h := &host{Env: e}
	secrets := h.secrets(ctx, r.Secrets)
	redactor := redact.New(secrets)
	left := r.PerHost
	for _, s := range h.sources(ctx) {
		limit := min(r.PerFile, left)
		if limit < least {
			if err := part(Part{Path: s.path, End: &End{LeftOut: true, Problem: "the limit of the host is reached"}}); err != nil {
				return err
			}
			continue
		}
		content, end := h.read(ctx, s, redactor, limit)
		if end == nil {
			continue
		}
		left -= int64(len(content))
		if err := send(s.path, content, end, part); err != nil {
			return err
		}
	}
	if short := redactor.TooShort(); len(short) > 0 {
		return part(Part{Path: "secrets", End: &End{LeftOut: true, Problem: fmt.Sprintf("too short to be told from other text, and not looked for: %v", short)}})
	}
	return nil
}

// host is one host while it is asked.
type host struct {
	Env
	listing *containers
}

// read reads one source without its secrets; no End where there is nothing.
func (h *host) read(ctx context.Context, s source, r *redact.Redactor, limit int64) ([]byte, *End) {
	ctx, cancel := context.WithTimeout(ctx, h.Within)
	defer cancel()
	kept := &tail{limit: int(limit)}
	clean := r.Writer(kept)
	err := s.take(ctx, clean)
	if closing := clean.Close(); err == nil {
		err = closing
	}
	if errors.Is(err, errAbsent) {
		return nil, nil
	}
	content, cut := kept.content()
	end := &End{Removed: clean.Counts(), Cut: cut}
	if err != nil {
		text, _ := r.Bytes([]byte(err.Error()))
		end.Problem = string(text)
	}
	switch {
	case s.whole && cut > 0:
		return nil, &End{LeftOut: true, Problem: fmt.Sprintf("it is longer than %d bytes, and of no use cut", limit)}
	case len(content) == 0 && err != nil:
		end.LeftOut = true
	case len(content) == 0:
		return nil, nil // nothing to say
	}
	return content, end
}

func send(path string, content []byte, end *End, part func(Part) error) error {
	for len(content) > chunk {
		if err := part(Part{Path: path, Data: content[:chunk]}); err != nil {
			return err
		}
		content = content[chunk:]
	}
	return part(Part{Path: path, Data: content, End: end})
}

// tail keeps the last bytes that are written to it.
type tail struct {
	limit int
	kept  []byte
	total int64
}

func (t *tail) Write(p []byte) (int, error) {
	t.total += int64(len(p))
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*t.limit { // not with every write
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-t.limit:]...)
	}
	return len(p), nil
}

// content is what was kept, from the beginning of a line where something was cut.
func (t *tail) content() (kept []byte, cut int64) {
	kept = t.kept
	if len(kept) > t.limit {
		kept = kept[len(kept)-t.limit:]
	}
	if int64(len(kept)) < t.total {
		for i, c := range kept {
			if c == '\n' {
				kept = kept[i+1:]
				break
			}
		}
	}
	return kept, t.total - int64(len(kept))
}
