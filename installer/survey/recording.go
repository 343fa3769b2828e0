package survey

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"ipivs.com/valtctl/installer/wowza"
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
		why, askErr := h.askRecorders(ctx, wowza.Access{URL: h.rest, User: r.EngineUser, PasswordFile: file})
		if askErr == nil {
			return why
		}
		err = errors.Join(err, askErr)
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
func (h *host) askRecorders(ctx context.Context, a wowza.Access) (string, error) {
	state, err := wowza.Look(ctx, a, h.Root)
	if err == nil && !state.Running {
		err = errors.New("its REST interface does not answer")
	}
	if err != nil {
		return "", err
	}
	for _, r := range state.Busy() {
		return fmt.Sprintf("the media engine records: %s is %q", r.Name, r.State), nil
	}
	return "", nil
}
