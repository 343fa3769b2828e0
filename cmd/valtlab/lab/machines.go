package lab

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/containers"
)

// Kinds of containers, in the label containers.KindLabel.
const (
	kindHost   = "host"
	kindWorld  = "world"
	kindClient = "client"
	// KindCamera is for the hook that starts cameras.
	KindCamera = "camera"
)

// Names of the two containers that every lab has besides its hosts.
const (
	worldName  = "world"
	clientName = "client"
)

// machine is a container as it should be, with the files put in before its first
// start.
type machine struct {
	spec  containers.Spec
	files []containers.File
}

// specLabel holds a machine's hash, by which up sees whether one that exists is as
// it should be.
const specLabel = containers.Label + ".spec"

func (m machine) hash() (string, error) {
	text, err := json.Marshal(struct {
		Spec  containers.Spec
		Files []containers.File
	}{m.spec, m.files})
	if err != nil {
		return "", fmt.Errorf("describing %s: %w", m.spec.Name, err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), nil
}

// ensure leaves a machine that is as it should be alone, starts it if it has
// stopped, and makes it otherwise. It tells whether it made it.
func (l *Lab) ensure(ctx context.Context, m machine) (made bool, err error) {
	hash, err := m.hash()
	if err != nil {
		return false, err
	}
	found, err := l.engine.Find(ctx, m.spec.Name)
	if err != nil {
		return false, err
	}
	if found.Labels[specLabel] == hash {
		switch found.State {
		case "running":
			return false, nil
		case "exited", "created":
			if l.engine.StartContainer(ctx, m.spec.Name) == nil {
				return false, nil
			}
		}
	}
	return true, l.make(ctx, m)
}

// make makes a machine anew with empty volumes.
func (l *Lab) make(ctx context.Context, m machine) error {
	hash, err := m.hash()
	if err != nil {
		return err
	}
	if err := l.engine.Remove(ctx, m.spec.Name); err != nil {
		return err
	}
	for _, volume := range m.spec.Volumes {
		if err := l.engine.RemoveVolume(ctx, volume.Name); err != nil {
			return err
		}
	}
	m.spec.Labels = map[string]string{specLabel: hash}
	return l.engine.Run(ctx, m.spec, m.files...)
}

// hostMachine is the container of a host. The recordings' disk is a volume, so that
// /srv/valt is a mounted file system as on a real media server.
func (l *Lab) hostMachine(ctx context.Context, h Host, image string) (machine, error) {
	secrets, err := l.hostSecrets(ctx, h)
	if err != nil {
		return machine{}, err
	}
	resolver, err := l.resolver(h)
	if err != nil {
		return machine{}, err
	}
	tree, err := groupTree(h.release().Unified)
	if err != nil {
		return machine{}, err
	}
	spec := containers.Spec{
		Name: l.Container(h.Name), Hostname: h.Name, Lab: l.Name(), Kind: kindHost, Image: image,
		Network: l.networkOf(h), Address: h.Address, Machine: true, Unified: tree,
		Binds: []containers.Bind{{Source: resolver, Target: "/etc/resolv.conf", ReadOnly: true}},
	}
	if h.HasRole(RoleMedia) {
		spec.Volumes = []containers.Volume{{Name: l.Container(h.Name) + "-recordings", Target: RecordingsPath}}
	}
	return machine{spec: spec, files: h.files(secrets)}, nil
}

// RecordingsPath is where a media host's recordings' disk is mounted.
const RecordingsPath = "/srv/valt"

// networkOf is the network a host is on: the lab's, or one of its own.
func (l *Lab) networkOf(h Host) string {
	if h.Behind == "" {
		return l.Network()
	}
	return l.behindNetwork(h.Behind)
}

// clientMachine is the container of someone who watches.
func (l *Lab) clientMachine(image string) machine {
	return machine{
		spec: containers.Spec{
			Name: l.Container(clientName), Hostname: clientName, Lab: l.Name(), Kind: kindClient, Image: image,
			Command: []string{"sleep", "infinity"}, Network: l.Network(), Address: l.Client(), Init: true,
			Binds: []containers.Bind{
				{Source: l.Path("hosts", "resolv.conf"), Target: "/etc/resolv.conf", ReadOnly: true},
				{Source: l.Path("ca.crt"), Target: "/usr/local/share/ca-certificates/valtlab.crt", ReadOnly: true},
			},
			Env: []string{"CURL_CA_BUNDLE=/usr/local/share/ca-certificates/valtlab.crt"},
		},
	}
}

// askState tells how far a host has booted. One whose setup failed would run on with sshd and without
// a login, so its last words are part of the answer, which is no state to go on from.
const askState = `if systemctl is-failed --quiet valtlab-setup.service; then echo valtlab-setup failed:
journalctl --unit valtlab-setup --no-pager --output cat --lines 5; fi
systemctl is-system-running || :`

// awaitHost returns when the host has booted and its sshd greets, or says what is
// missing after awaitWithin.
func (l *Lab) awaitHost(ctx context.Context, h Host) error {
	return l.await(ctx, "host "+h.Name, func(ctx context.Context) error {
		state, err := l.engine.Output(ctx, l.Container(h.Name), "sh", "-c", askState)
		if err != nil {
			return err
		}
		if state != "running\n" && state != "degraded\n" {
			return fmt.Errorf("systemd says %q", state)
		}
		if h.Behind != "" { // this machine has no way to it
			return nil
		}
		return greets(ctx, fmt.Sprintf("%s:%d", h.Address, h.Port))
	})
}

// awaitWithin is how long a machine may take until it answers, which takes seconds unless this one is
// busy with other things.
const awaitWithin = 5 * time.Minute

// await asks until the answer is good, for awaitWithin at most.
func (l *Lab) await(ctx context.Context, what string, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, awaitWithin)
	defer cancel()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	last := fmt.Errorf("not asked yet")
	for {
		if err := ready(ctx); err == nil {
			return nil
		} else if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w: %w", what, ctx.Err(), last)
		case <-tick.C:
		}
	}
}
