package cases

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/icholy/digest"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/releases"
)

// What the scenarios of updates share: a site of a release, and recordings on it.

// quick are the flags of a rollout that need not watch for long.
func (e *Env) quick(args ...string) []string { return append(args, "--yes", "--soak", e.soak()) }

// soak is how long a rollout watches each host where that is not what is looked at. In a
// sample it looks once.
func (e *Env) soak() string {
	if e.Sample {
		return "1s"
	}
	return "3s"
}

// at brings the whole site to a release from wherever an earlier scenario left it.
func (e *Env) at(ctx context.Context, release string) error {
	hosts, err := e.siteHosts()
	if err != nil {
		return err
	}
	var have []string
	for _, h := range hosts {
		now, err := e.installed(ctx, h)
		if err != nil {
			return err
		}
		have = append(have, now)
	}
	slices.Sort(have)
	if have = slices.Compact(have); len(have) == 1 && have[0] == release {
		return nil
	}
	if !slices.Contains(have, "") && !slices.Contains(have, releases.Migrating) && release == releases.Stable { // no way leads back from that one
		return e.Timed("rollback to "+release, func() error {
			_, err := e.Expect(ctx, 0, e.quick("rollback", "--to", release)...)
			return err
		})
	}
	return e.Timed("install of "+release, func() error {
		if err := e.bareSite(ctx); err != nil {
			return err
		}
		if _, err := e.Expect(ctx, 0, "install", "--yes"); err != nil {
			return err
		}
		if release == releases.Stable {
			return nil
		}
		_, err := e.Expect(ctx, 0, e.quick("update", "--to", release)...)
		return err
	})
}

// installed is the release that a host says it has; empty: none.
func (e *Env) installed(ctx context.Context, host string) (string, error) {
	text, err := outputIfThere(ctx, e.Lab, host, "cat", "/var/lib/valtctl/host.json")
	if err != nil || text == "" {
		return "", err
	}
	var is struct{ Release string }
	if err := json.Unmarshal([]byte(text), &is); err != nil {
		return "", fmt.Errorf("reading what %s has: %w", host, err)
	}
	return is.Release, nil
}

// mediaHosts are the site's media hosts.
func (e *Env) mediaHosts() ([]lab.Host, error) {
	all, err := e.Lab.Hosts()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(h lab.Host) bool { return !h.Standard() || !slices.Contains(h.Roles, lab.RoleMedia) }), nil
}

// desk is the application as it drives one media host's recordings: it asks the engine's
// REST interface from the application's address, over connections that it keeps.
type desk struct {
	host   string
	engine string // the REST interface
	http   *http.Client
}

// recorded is the part of the REST interface that is about what comes in and is recorded.
const recorded = "/servers/_defaultServer_/vhosts/_defaultVHost_/applications/live/instances/_definst_"

// desk opens one. From is the host whose address it has.
func (e *Env) desk(ctx context.Context, from string, media lab.Host) (*desk, error) {
	password, err := e.Lab.Output(ctx, media.Name, "cat", "/etc/valt/secrets/engine")
	if err != nil {
		return nil, fmt.Errorf("reading the engine's password: %w", err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, address string) (net.Conn, error) { return e.Lab.Dial(ctx, from, address) }}
	return &desk{
		host: media.Name, engine: "http://" + media.Address.String() + ":8087/v2",
		http: &http.Client{Timeout: 5 * time.Second, Transport: &digest.Transport{Username: "valt", Password: strings.TrimSpace(password), Transport: transport}},
	}, nil
}

// streams are the names of the streams that come in.
func (d *desk) streams(ctx context.Context) ([]string, error) {
	var is struct {
		Incoming []struct {
			Name      string
			Connected bool `json:"isConnected"`
		} `json:"incomingStreams"`
	}
	if err := d.ask(ctx, http.MethodGet, recorded, nil, &is); err != nil {
		return nil, err
	}
	var names []string
	for _, s := range is.Incoming {
		if s.Connected {
			names = append(names, s.Name)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s has no stream that could be recorded", d.host)
	}
	return names, nil
}

// record begins a recording; an error means that the engine did not say that it records.
func (d *desk) record(ctx context.Context, stream string) error {
	return d.ask(ctx, http.MethodPost, recorded+"/streamrecorders/"+stream, []byte(`{"recorderName":"`+stream+`"}`), nil)
}

// stop ends a recording in good order.
func (d *desk) stop(ctx context.Context, stream string) error {
	return d.ask(ctx, http.MethodPut, recorded+"/streamrecorders/"+stream+"/actions/stopRecording", nil, nil)
}

// licence is the one that the engine says it has at this moment.
func (d *desk) licence(ctx context.Context) (string, error) {
	var is struct{ LicenseType string }
	err := d.ask(ctx, http.MethodGet, "/machine/monitoring/current", nil, &is)
	return is.LicenseType, err
}

func (d *desk) ask(ctx context.Context, method, at string, body []byte, into any) error {
	r, err := http.NewRequestWithContext(ctx, method, d.engine+at, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("asking %s: %w", d.host, err)
	}
	r.Header.Set("Content-Type", "application/json")
	reply, err := d.http.Do(r)
	if err != nil {
		return fmt.Errorf("asking %s: %w", d.host, err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(io.LimitReader(reply.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("asking %s: %w", d.host, err)
	}
	if reply.StatusCode/100 != 2 {
		return fmt.Errorf("%s answers %s: %s", d.host, reply.Status, text)
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("reading the answer of %s: %w", d.host, err)
	}
	return nil
}

// recordingsFolder is where the stand-in keeps what it records.
var recordingsFolder = path.Join(lab.RecordingsPath, "recordings")

// lost names the recordings of a host that were cut.
func (e *Env) lost(ctx context.Context, host string) ([]string, error) {
	out, err := outputIfThere(ctx, e.Lab, host, "find", recordingsFolder, "-name", "*.mp4.json", "-exec", "grep", "-q", `"state":"LOST"`, "{}", ";", "-print")
	return strings.Fields(out), err
}

// noneLost wants no recording of the site to have been cut.
func (e *Env) noneLost(ctx context.Context, hosts []lab.Host) error {
	for _, h := range hosts {
		lost, err := e.lost(ctx, h.Name)
		if err != nil {
			return err
		}
		if len(lost) > 0 {
			return fmt.Errorf("%s lost recordings: %v", h.Name, lost)
		}
	}
	return nil
}

// haveReleases wants each host to have the release that is named for it.
func (e *Env) haveReleases(ctx context.Context, want map[string]string) error {
	var errs []error
	for host, release := range want {
		have, err := e.installed(ctx, host)
		if err == nil && have != release {
			err = fmt.Errorf("%s has %s instead of %s", host, have, release)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// gateOpen wants a host to take sessions again.
func (e *Env) gateOpen(ctx context.Context, host string) error {
	if out, err := outputIfThere(ctx, e.Lab, host, "nft", "list", "table", "inet", "valtctl_drain"); err != nil || out != "" {
		return fmt.Errorf("%s still keeps sessions out: %s (%w)", host, out, err)
	}
	return nil
}
