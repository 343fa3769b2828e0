package release

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/theupdateframework/go-tuf/v2/metadata/trustedmetadata"

	"ipivs.com/valtctl/repos/problem"
)

// DefaultURL is the vendor's repository (design.md, "Releases").
const DefaultURL = "https://apt.ipivs.com/valt/"

// Options say which repository is read and where this reader keeps what it trusts.
type Options struct {
	URL  string           // of the repository, metadata/ and targets/ below it; empty: DefaultURL
	Root []byte           // root of trust of a site that replaces it; empty: BuiltInRoot
	Dir  string           // this reader's folder; made when something is kept
	HTTP *http.Client     // empty: system certificate authorities, no proxy
	Now  func() time.Time // the clock that expiries are judged by
}

func (o *Options) complete() error {
	if o.URL == "" {
		o.URL = DefaultURL
	}
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return &problem.Error{
			Kind: problem.Input, Doing: "reading release.url", Object: o.URL, Err: err,
			Fix: "write it as https://host/path/",
		}
	}
	o.URL = strings.TrimSuffix(o.URL, "/") + "/"
	if len(o.Root) == 0 {
		o.Root = BuiltInRoot()
	}
	if o.HTTP == nil {
		if o.HTTP, err = NewClient(nil, ""); err != nil {
			return err
		}
	}
	if o.Dir == "" || o.Now == nil {
		return errors.New("opening the release repository: a folder and a clock are needed")
	}
	return nil
}

// Repository reads one release repository. Refresh or LoadLast comes first; after it the
// reading methods may be used by several goroutines at once.
type Repository struct {
	opts    Options
	store   store
	set     *trustedmetadata.TrustedMetadata
	state   State
	offline bool
	dropped []string
}

// Open prepares a reader without using the network. A missing or broken root of trust
// is refused here, and so is a folder that has followed another repository.
func Open(opts Options) (*Repository, error) {
	if err := opts.complete(); err != nil {
		return nil, err
	}
	r := &Repository{opts: opts, store: store{dir: opts.Dir}}
	c, err := r.store.chain()
	if err != nil {
		return nil, err
	}
	if _, err := startRoot(c, opts.Root, opts.Dir); err != nil {
		return nil, err
	}
	if r.state, _, err = r.store.state(); err != nil {
		return nil, err
	}
	return r, nil
}

// State is what this reader trusts now: after Refresh or LoadLast what was verified,
// before it what the last good refresh recorded.
func (r *Repository) State() State { return r.state }

// Dropped names the kept files that could not be parsed and were left out by the last
// Refresh or LoadLast, each with its reason. The next good refresh replaces them.
func (r *Repository) Dropped() []string { return r.dropped }

// Refresh brings the trusted metadata up to date: two requests where nothing changed
// (the next root version, which must be missing, and the timestamp). A repository that
// cannot be reached is a problem of kind Failed; everything that a signature, a version,
// a length or an expiry forbids is one of kind Trust. errors.Is(err, ErrExpired) tells
// the one trust problem after which LoadLast still serves status, resume and repair.
func (r *Repository) Refresh(ctx context.Context) error {
	c, seen, err := r.kept()
	if err != nil {
		return err
	}
	start, err := startRoot(c, r.opts.Root, r.opts.Dir)
	if err != nil {
		return err
	}
	files, dropped := r.store.cached()
	r.dropped = append(r.dropped, dropped...)

	fetch := newFetcher(ctx, r.opts.HTTP)
	got, err := r.verify(verification{start: start, files: files, at: r.opts.Now(), fetch: fetch})
	// Roots that were verified are kept even where the rest fails: a revocation must
	// not be forgotten because the timestamp was late.
	if c, err = r.keepRoots(c, start, fetch, got, err); err != nil {
		return err
	}
	st := got.state(r.opts.Now())
	if err := r.check(c, st, seen); err != nil {
		return err
	}
	if err := r.store.commit(got.files, st); err != nil {
		return fmt.Errorf("keeping the release metadata: %w", err)
	}
	r.set, r.state, r.offline = &got.set, st, false
	return nil
}

// kept reads the root chain and the recorded state, and starts the list of what was
// dropped.
func (r *Repository) kept() (chain, State, error) {
	c, err := r.store.chain()
	if err != nil {
		return chain{}, State{}, err
	}
	seen, dropped, err := r.store.state()
	if err != nil {
		return chain{}, State{}, err
	}
	r.dropped = append(c.dropped, dropped...)
	return c, seen, nil
}

// keepRoots adds the start root and every root that was verified on top of it to the
// chain, and returns the chain as it is then. It passes failed on, worded for a person.
// A start root from which nothing could be verified is not kept: it may be the wrong
// file, and the next run must be free to start from the right one.
func (r *Repository) keepRoots(c chain, start root, fetch *fetcher, got verified, failed error) (chain, error) {
	var errs []error
	if failed != nil {
		errs = append(errs, r.explain(failed, fetch.last))
	}
	var add []root
	if failed == nil || got.rootVersion() > start.version {
		add = append(add, start)
	}
	for n := start.version + 1; n <= got.rootVersion(); n++ {
		add = append(add, root{version: n, data: fetch.roots[n]})
	}
	for _, one := range add {
		if err := r.store.addRoot(c, one); err != nil {
			errs = append(errs, fmt.Errorf("keeping root version %d: %w", one.version, err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return c, err
	}
	return r.store.chain()
}

// check compares a verified state with everything this reader knows from before. go-tuf
// has done so with the cache; this also holds where cached files were lost, or where the
// keys that they were signed with are gone.
func (r *Repository) check(c chain, st, seen State) error {
	seen = c.signers(seen)
	if newest := c.newest().version; newest < c.highest {
		seen.Roles = withRoot(seen.Roles, c.highest)
	}
	return errors.Join(
		reached(c, r.opts.Root, r.opts.URL, r.opts.Dir),
		NotOlder(st, seen, r.opts.Dir),
	)
}

func withRoot(roles map[string]RoleState, version int64) map[string]RoleState {
	all := map[string]RoleState{roleRoot: {Version: version}}
	for role, st := range roles {
		if role != roleRoot || st.Version > version {
			all[role] = st
		}
	}
	return all
}

// LoadLast reads the last good refresh from the folder, judged at that refresh's time
// and without the network, for status, resume, repair and rollback: those go on when
// the metadata has expired or the repository is out of reach. What was never read
// before cannot be read after it.
func (r *Repository) LoadLast() error {
	c, seen, err := r.kept()
	if err != nil {
		return err
	}
	if len(c.roots) == 0 || seen.Refreshed.IsZero() {
		return &problem.Error{
			Kind: problem.Failed, Doing: "reading the last good release metadata from", Object: r.opts.Dir,
			Err: errors.New("there has been no good refresh yet"),
			Fix: "run the command once where the release repository can be reached",
		}
	}
	newest, err := startRoot(c, r.opts.Root, r.opts.Dir)
	if err != nil {
		return err
	}
	files, dropped := r.store.cached()
	r.dropped = append(r.dropped, dropped...)
	got, err := r.verify(verification{start: lastRoot(c, seen, newest), files: files, at: seen.Refreshed})
	if err != nil {
		got, err = r.verify(verification{start: newest, files: files, at: seen.Refreshed})
	}
	if err != nil {
		return r.explain(err, r.opts.Dir)
	}
	r.set, r.state, r.offline = &got.set, got.state(seen.Refreshed), true
	return nil
}

// lastRoot is the root of the last good refresh. A newer one may have been kept since by
// a refresh that failed after it, and what is kept here need not be signed by its keys.
func lastRoot(c chain, seen State, newest root) root {
	if last, ok := c.version(seen.Roles[roleRoot].Version); ok {
		return last
	}
	return newest
}
