package survey

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/wowza"
)

// How long the questions may take together. Reckoning a download reads every package list
// of the host, which takes longer than all the rest.
const (
	within         = 2500 * time.Millisecond
	downloadWithin = 30 * time.Second
)

// maxFile caps what is read of one file of the host, in bytes.
const maxFile = 1 << 20

// Env is the host that is asked.
type Env struct {
	Machine *step.Machine // its Root, Run, Now and engine are used
	// EngineREST is the media engine's REST interface; empty: wowza.DefaultURL.
	EngineREST string
	// Ignore is a process whose sockets do not count: the agent's own, which listens while
	// flows are tried. 0: none.
	Ignore int
	Within time.Duration // for all questions together; 0: 2.5 s, 30 s with a download
}

// answer puts into the reply what one question found; nil: nothing.
type answer func(*Reply)

type question struct {
	name Question
	ask  func(ctx context.Context) (answer, error)
}

// questions lists every question. A new one is a function and a line here.
func (h *host) questions(r Request) []question {
	return []question{
		{AskListeners, h.listeners},
		{AskPackages, h.packages},
		{AskDownload, func(ctx context.Context) (answer, error) { return h.download(ctx, r.Packages) }},
		{AskRoutes, h.routes},
		{AskNetworks, h.networks},
		{AskImages, h.images},
		{AskWrites, func(ctx context.Context) (answer, error) { return h.writes(ctx, r) }},
		{AskInodes, func(context.Context) (answer, error) { return h.inodes(r.Folders) }},
		{AskReboot, h.reboot},
		{AskFirewall, h.firewalls},
		{AskProxy, h.proxies},
		{AskResolvers, h.resolvers},
		{AskTime, h.timeService},
		{AskCertificates, func(context.Context) (answer, error) { return h.certificates(r.Certificates) }},
		{AskKeys, h.keys},
		{AskLists, h.lists},
		{AskSupport, h.support},
		{AskCgroups, h.cgroups},
		{AskSources, h.sources},
		{AskOutdated, h.outdated},
		{AskForward, h.forward},
		{AskInside, func(ctx context.Context) (answer, error) { return h.inside(ctx, r.Names) }},
	}
}

// host is one host while it is asked.
type host struct {
	*step.Machine
	rest   string
	ignore int
	dial   dialInside
}

// Take asks the host everything at once. A question that fails, or has no answer in time,
// is in the reply's Problems and holds up no other. The error is for a host that cannot
// be asked at all.
func Take(ctx context.Context, e Env, r Request) (Reply, error) {
	if e.Machine == nil || e.Machine.Run == nil || e.Machine.Now == nil {
		return Reply{}, errors.New("surveying the host: a machine with programs and a clock is needed")
	}
	h := &host{Machine: e.Machine, rest: e.EngineREST, ignore: e.Ignore, dial: dialIn}
	if h.rest == "" {
		h.rest = wowza.DefaultURL
	}
	ctx, cancel := context.WithTimeout(ctx, limit(e, r))
	defer cancel()
	type result struct {
		name Question
		fill answer
		err  error
	}
	all := h.questions(r)
	results := make(chan result, len(all)) // room for all: nobody waits for a late one
	waiting := map[Question]bool{}
	for _, q := range all {
		waiting[q.name] = true
		go func() {
			fill, err := q.ask(ctx)
			results <- result{q.name, fill, err}
		}()
	}
	reply := Reply{Problems: map[Question]string{}}
	for len(waiting) > 0 {
		select {
		case one := <-results:
			delete(waiting, one.name)
			reply.take(one.name, one.fill, one.err)
		case <-ctx.Done():
			for name := range waiting {
				reply.Problems[name] = fmt.Sprintf("no answer within %s", limit(e, r))
			}
			return reply, nil
		}
	}
	return reply, nil
}

func limit(e Env, r Request) time.Duration {
	switch {
	case e.Within != 0:
		return e.Within
	case len(r.Packages) > 0:
		return downloadWithin
	}
	return within
}

// take adds one question's answer, also where it is not whole.
func (r *Reply) take(name Question, fill answer, err error) {
	if fill != nil {
		fill(r)
	}
	if err != nil {
		r.Problems[name] = err.Error()
	}
}

// read is a file's content, capped; empty and no error where there is none.
func (h *host) read(path string) (string, error) {
	f, err := os.Open(h.Path(path))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("opening %s: %w", path, err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	if len(content) > maxFile {
		return "", fmt.Errorf("reading %s: it has more than %d bytes", path, maxFile)
	}
	return string(content), nil
}

// there says whether something is at the path.
func (h *host) there(path string) bool {
	_, err := os.Stat(h.Path(path))
	return err == nil
}

// runs says whether systemd has a unit active: it keeps a link for each and removes it
// when the unit ends.
func (h *host) runs(unit string) bool {
	_, err := os.Lstat(h.Path("/run/systemd/units/invocation:" + unit))
	return err == nil
}

// glob lists the paths of the host that match, without its root.
func (h *host) glob(pattern string) []string {
	found, err := fs.Glob(os.DirFS(h.Path("/")), strings.TrimPrefix(pattern, "/"))
	if err != nil {
		return nil // the patterns are this package's own
	}
	for i := range found {
		found[i] = "/" + found[i]
	}
	return found
}
