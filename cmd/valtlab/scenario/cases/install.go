package cases

import (
	"context"
	"fmt"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/smoke"
)

// siteHosts are the names of the hosts in the lab's own site file.
func (e *Env) siteHosts() ([]string, error) {
	hosts, err := e.Lab.Hosts()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, h := range hosts {
		if h.Standard() {
			names = append(names, h.Name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("the lab has no hosts")
	}
	return names, nil
}

// bareSite makes the site's own hosts bare, and leaves those alone that a scenario beside
// this one works on.
func (e *Env) bareSite(ctx context.Context) error {
	hosts, err := e.siteHosts()
	if err != nil {
		return err
	}
	return e.Lab.Reset(ctx, hosts...)
}

// disturbed are the hosts that a scenario disturbs: all of the site's, or in a sample one
// that the seed chooses, since hosts are installed independently of each other.
func (e *Env) disturbed() ([]string, error) {
	hosts, err := e.siteHosts()
	if err != nil || !e.Sample {
		return hosts, err
	}
	n := e.Random.IntN(len(hosts))
	return hosts[n : n+1], nil
}

// on is the command line's part that names hosts.
func on(hosts []string) []string {
	var args []string
	for _, h := range hosts {
		args = append(args, "--host", h)
	}
	return args
}

// baseline is what the site's hosts are after an undisturbed installation; it is made
// where no scenario of this run has made it.
func (e *Env) baseline(ctx context.Context) (map[string]fingerprint, error) {
	if e.shared.baseline != nil {
		return e.shared.baseline, nil
	}
	err := e.Timed("undisturbed install, to compare with", func() error {
		if err := e.bareSite(ctx); err != nil {
			return err
		}
		if _, err := e.Expect(ctx, 0, "install", "--yes"); err != nil {
			return err
		}
		return e.keepBaseline(ctx)
	})
	return e.shared.baseline, err
}

func (e *Env) keepBaseline(ctx context.Context) error {
	hosts, err := e.siteHosts()
	if err != nil {
		return err
	}
	e.shared.baseline, err = e.fingerprints(ctx, hosts...)
	return err
}

// asUndisturbed wants hosts to be what an undisturbed installation makes of them, and a
// whole site to serve.
func (e *Env) asUndisturbed(ctx context.Context, hosts []string) error {
	got, err := e.fingerprints(ctx, hosts...)
	if err != nil {
		return err
	}
	if err := same(e.shared.baseline, got); err != nil {
		return err
	}
	if e.Sample {
		return nil
	}
	return e.serves(ctx)
}

// serves asks the site what its people would.
func (e *Env) serves(ctx context.Context) error {
	site, err := smoke.LabSite(e.Lab)
	if err != nil {
		return err
	}
	return smoke.Err(smoke.All(ctx, e.Lab, site))
}

// oneTransaction wants a host to have begun a single one.
func (e *Env) oneTransaction(ctx context.Context, host string) error {
	out, err := outputIfThere(ctx, e.Lab, host, "find", "/var/lib/valtctl/txn", "-name", "journal.jsonl")
	if err != nil {
		return err
	}
	if count := len(strings.Fields(out)); count != 1 {
		return fmt.Errorf("%s has %d transactions instead of 1", host, count)
	}
	return nil
}
