package survey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/icholy/digest"
)

// The media engine's REST interface, which answers the host itself (docs/assumptions.md).
const (
	DefaultEngineREST = "http://127.0.0.1:8087"
	DefaultEngineUser = "valt"

	vhost     = "/v2/servers/_defaultServer_/vhosts/_defaultVHost_/applications"
	maxAnswer = 1 << 20 // bytes of one answer
)

// enginePorts are those that only a media engine has (the vendor's page: streams, control,
// REST, administration). 444 and 8000 may be anybody's.
func enginePorts() []uint16 { return []uint16{1935, 8086, 8087, 8088} }

// mayRecord is why a recording may be running here, which a write must not slow down;
// empty: it is certain that none is.
func (h *host) mayRecord(ctx context.Context, r Request) string {
	serves, err := h.servesMedia(ctx)
	if err != nil {
		return "it cannot be told whether a media engine runs here: " + err.Error()
	}
	if !serves {
		return ""
	}
	err = errors.New("no password of its REST interface is known")
	for _, file := range r.EnginePasswords {
		password, readErr := h.read(file)
		if password = strings.TrimSpace(password); readErr != nil || password == "" {
			err = errors.Join(err, readErr)
			continue
		}
		var why string
		if why, err = h.askRecorders(ctx, r.EngineUser, password); err == nil {
			return why
		}
	}
	return "a media engine runs here, and it cannot be told whether it records: " + err.Error()
}

// servesMedia says whether anything listens on a media engine's ports, or is published
// there.
func (h *host) servesMedia(ctx context.Context) (bool, error) {
	open, err := h.sockets()
	if err != nil {
		return false, err
	}
	containers, err := h.containers(ctx)
	if err != nil {
		return false, err
	}
	var bare []Listener
	for _, s := range open {
		bare = append(bare, Listener{Protocol: s.Protocol, Port: s.At.Port()})
	}
	return slices.ContainsFunc(published(bare, containers), func(l Listener) bool {
		return l.Protocol == "tcp" && slices.Contains(enginePorts(), l.Port)
	}), nil
}

// askRecorders names the first recorder that is not stopped. One that waits for its stream
// counts: it may begin at any moment.
func (h *host) askRecorders(ctx context.Context, user, password string) (string, error) {
	if user == "" {
		user = DefaultEngineUser
	}
	ask := &http.Client{Transport: &digest.Transport{Username: user, Password: password, Transport: &http.Transport{DisableKeepAlives: true}}}
	var apps struct {
		Applications []struct{ ID string } `json:"applications"`
	}
	if err := h.get(ctx, ask, vhost, &apps); err != nil {
		return "", err
	}
	for _, app := range apps.Applications {
		at := vhost + "/" + url.PathEscape(app.ID) + "/instances"
		var instances struct {
			List []struct {
				Name string `json:"name"`
			} `json:"instanceList"`
		}
		if err := h.get(ctx, ask, at, &instances); err != nil && !errors.Is(err, errNotThere) {
			return "", err
		}
		names := []string{"_definst_"}
		for _, i := range instances.List {
			names = append(names, i.Name)
		}
		for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
			if why, err := h.recorder(ctx, ask, at+"/"+url.PathEscape(name)+"/streamrecorders"); why != "" || err != nil {
				return why, err
			}
		}
	}
	return "", nil
}

// recorder is the first of an instance's recorders that is not stopped. An instance that
// was never started is not there.
func (h *host) recorder(ctx context.Context, ask *http.Client, at string) (string, error) {
	var list struct {
		Recorders []struct {
			Name  string `json:"recorderName"`
			State string `json:"recorderState"`
		} `json:"streamrecorder"`
	}
	if err := h.get(ctx, ask, at, &list); err != nil && !errors.Is(err, errNotThere) {
		return "", err
	}
	for _, r := range list.Recorders {
		if !strings.Contains(strings.ToLower(r.State), "stopped") {
			return fmt.Sprintf("the media engine records: %s is %q", r.Name, r.State), nil
		}
	}
	return "", nil
}

var errNotThere = errors.New("it has no such thing")

// get asks the engine one question and decodes its JSON.
func (h *host) get(ctx context.Context, ask *http.Client, at string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, h.rest+at, nil)
	if err != nil {
		return fmt.Errorf("asking the media engine: %w", err)
	}
	r.Header.Set("Accept", "application/json")
	reply, err := ask.Do(r)
	if err != nil {
		return fmt.Errorf("asking the media engine: %w", err)
	}
	defer reply.Body.Close()
	switch {
	case reply.StatusCode == http.StatusNotFound:
		return fmt.Errorf("asking the media engine for %s: %w", at, errNotThere)
	case reply.StatusCode != http.StatusOK:
		return fmt.Errorf("asking the media engine: it answers %s", reply.Status)
	}
	if err := json.NewDecoder(io.LimitReader(reply.Body, maxAnswer)).Decode(into); err != nil {
		return fmt.Errorf("reading the media engine's answer: %w", err)
	}
	return nil
}
