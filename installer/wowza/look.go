package wowza

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"syscall"
	"time"

	"github.com/icholy/digest"

	"ipivs.com/valtctl/repos/safepath"
)

// Caps of what is read, in bytes, and of how long one question may take.
const (
	maxPassword = 4 << 10
	maxAnswer   = 1 << 20
	askWithin   = 5 * time.Second
)

// Paths of the REST interface (Wowza Streaming Engine REST API, version 2).
const (
	machine = "/v2/machine/monitoring/current"
	vhost   = "/v2/servers/_defaultServer_/vhosts/_defaultVHost_/applications"
)

// Look asks an engine what it does now. An engine that does not run is an answer, and one
// that cannot be asked an error: what it records is not known then. The password is read
// from its file below root ("" on a real host).
func Look(ctx context.Context, a Access, root string) (State, error) {
	c, err := open(a, root)
	if err != nil {
		return State{}, err
	}
	defer c.http.CloseIdleConnections()
	var s State
	err = c.machine(ctx, &s)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return State{}, c.absent(ctx, err)
	}
	if err != nil && !errors.Is(err, errNotThere) {
		return State{}, err
	}
	s.Running = true
	return s, c.applications(ctx, &s)
}

// Quiet looks twice, between apart, and lists the recorders that a stop would cut now; it
// waits no longer than it takes to find one. Nothing is recorded only where both looks
// say so: one that is just being begun shows in the second.
func Quiet(ctx context.Context, a Access, root string, between time.Duration) ([]Recorder, error) {
	for look := range 2 {
		if look > 0 {
			select {
			case <-ctx.Done():
				return nil, fmt.Errorf("looking at the recorders: %w", ctx.Err())
			case <-time.After(between):
			}
		}
		s, err := Look(ctx, a, root)
		if err != nil || len(s.Busy()) > 0 {
			return s.Busy(), err
		}
	}
	return nil, nil
}

type client struct {
	base string
	http *http.Client
}

func open(a Access, root string) (*client, error) {
	password, err := readPassword(root, a.PasswordFile)
	if err != nil {
		return nil, fmt.Errorf("asking the media engine: %w", err)
	}
	c := &client{base: a.URL}
	if c.base == "" {
		c.base = DefaultURL
	}
	user := a.User
	if user == "" {
		user = DefaultUser
	}
	c.http = &http.Client{Transport: &digest.Transport{Username: user, Password: password, Transport: &http.Transport{}}}
	return c, nil
}

// readPassword reads it where the engine's user may own the folder.
func readPassword(root, path string) (string, error) {
	text, err := safepath.Under(root).ReadFile(path, maxPassword)
	if err != nil {
		return "", err
	}
	if text = bytes.TrimSpace(text); len(text) == 0 {
		return "", fmt.Errorf("%s holds no password", path)
	}
	return string(text), nil
}

// absent says whether nothing of an engine is there. One that serves streams while its
// REST interface refuses may be recording.
func (c *client) absent(ctx context.Context, refused error) error {
	u, err := url.Parse(c.base)
	if err != nil {
		return fmt.Errorf("asking the media engine: %w", err)
	}
	dialer := net.Dialer{Timeout: askWithin}
	for _, port := range []string{"1935", "8086"} { // streams; the version page, which needs no login
		if conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port)); err == nil {
			conn.Close()
			return fmt.Errorf("the media engine serves on port %s, and does not say what it does: %w", port, refused)
		}
	}
	return nil
}

// machine asks for what the engine says of itself.
func (c *client) machine(ctx context.Context, s *State) error {
	var answer struct {
		Version string  `json:"serverVersion"`
		Licence string  `json:"licenseType"`
		Uptime  Seconds `json:"serverUptime"`
	}
	err := c.get(ctx, machine, &answer)
	s.Version, s.Licence, s.Uptime = answer.Version, answer.Licence, answer.Uptime
	return err
}

// applications asks every instance of every application what comes in and is recorded.
func (c *client) applications(ctx context.Context, s *State) error {
	var apps struct {
		Applications []struct{ ID string } `json:"applications"`
	}
	if err := c.get(ctx, vhost, &apps); err != nil {
		return err
	}
	for _, app := range apps.Applications {
		at := vhost + "/" + url.PathEscape(app.ID)
		var watched struct {
			Connections int `json:"totalConnections"`
		}
		if err := c.get(ctx, at+"/monitoring/current", &watched); err != nil && !errors.Is(err, errNotThere) {
			return err
		}
		s.Connections += watched.Connections
		instances, err := c.instances(ctx, at)
		if err != nil {
			return err
		}
		for _, name := range instances {
			if err := c.instance(ctx, app.ID, at+"/instances/"+url.PathEscape(name), s); err != nil {
				return err
			}
		}
	}
	return nil
}

// instances lists an application's instances; the default one is always asked for.
func (c *client) instances(ctx context.Context, app string) ([]string, error) {
	var list struct {
		Instances []struct {
			Name string `json:"name"`
		} `json:"instanceList"`
	}
	if err := c.get(ctx, app+"/instances", &list); err != nil && !errors.Is(err, errNotThere) {
		return nil, err
	}
	names := []string{"_definst_"}
	for _, i := range list.Instances {
		names = append(names, i.Name)
	}
	return slices.Compact(slices.Sorted(slices.Values(names))), nil
}

// instance adds one instance. One that was never started is not there.
func (c *client) instance(ctx context.Context, app, at string, s *State) error {
	var streams struct {
		Incoming []struct {
			Name      string `json:"name"`
			Connected bool   `json:"isConnected"`
		} `json:"incomingStreams"`
	}
	if err := c.get(ctx, at, &streams); err != nil && !errors.Is(err, errNotThere) {
		return err
	}
	for _, in := range streams.Incoming {
		s.Streams = append(s.Streams, Stream{app, in.Name, in.Connected})
	}
	var recorders struct {
		List []struct {
			Name  string `json:"recorderName"`
			State string `json:"recorderState"`
		} `json:"streamrecorder"`
	}
	if err := c.get(ctx, at+"/streamrecorders", &recorders); err != nil && !errors.Is(err, errNotThere) {
		return err
	}
	for _, r := range recorders.List {
		s.Recorders = append(s.Recorders, Recorder{app, r.Name, r.State})
	}
	return nil
}

var errNotThere = errors.New("it has no such thing")

// get asks one question and decodes its JSON.
func (c *client) get(ctx context.Context, at string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base+at, nil)
	if err != nil {
		return fmt.Errorf("asking the media engine: %w", err)
	}
	r.Header.Set("Accept", "application/json")
	reply, err := c.http.Do(r)
	if err != nil {
		return fmt.Errorf("asking the media engine: %w", err)
	}
	defer reply.Body.Close()
	switch reply.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return fmt.Errorf("asking the media engine for %s: %w", at, errNotThere)
	default:
		return fmt.Errorf("asking the media engine for %s: it answers %s", at, reply.Status)
	}
	if err := json.NewDecoder(io.LimitReader(reply.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("reading the media engine's answer: %w", err)
	}
	return nil
}
