package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"golang.org/x/sync/errgroup"

	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/ubuntu"
	"ipivs.com/valtctl/cmd/valtlab/vendorsim"
)

// Camera is one of the lab's cameras, for the hook that starts them.
type Camera struct {
	Name    string // "camera1"; its container is Lab.Container(Name)
	Address netip.Addr
	Media   string // the media host it is assigned to
}

// Hooks are the parts of Up that know what VALT is. Each may be nil.
type Hooks struct {
	// Prepare begins as soon as the engine answers, beside everything else: building
	// images.
	Prepare func(context.Context, *Lab) error
	// Publish begins when Prepare has ended and the world answers: pushing images,
	// publishing releases. It must leave the file root.json in the state folder.
	Publish func(context.Context, *Lab) error
	// Cameras begins when Prepare has ended and the network is there. It removes
	// cameras that are not listed.
	Cameras func(context.Context, *Lab, []Camera) error
}

// UpOptions say what the practice site is to have.
type UpOptions struct {
	Media   int // media hosts
	Cameras int
	Bears   Bears
	Hooks   Hooks
}

func (o UpOptions) validate() error {
	var errs []error
	if o.Media < 0 || o.Media > maxMedia {
		errs = append(errs, fmt.Errorf("%d media hosts: the lab has room for 0 to %d", o.Media, maxMedia))
	}
	if o.Cameras < 0 || o.Cameras > maxCameras {
		errs = append(errs, fmt.Errorf("%d cameras: the lab has room for 0 to %d", o.Cameras, maxCameras))
	}
	return errors.Join(append(errs, o.Bears.validate())...)
}

// Names of stages that notes are about.
const (
	stageTools  = "tools"
	stageEngine = "Docker engine"
)

// Up brings the lab from whatever state it is in to the one that is asked for. What is
// there already and as it should be, is left alone: hosts keep what was
// installed on them.
func (l *Lab) Up(ctx context.Context, o UpOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	unlock, err := l.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := l.Stage(ctx, stageTools, l.installTools); err != nil {
		return err
	}
	if err := l.Stage(ctx, stageEngine, l.startEngine); err != nil {
		return err
	}
	if err := l.own(ctx); err != nil {
		return err
	}
	s, err := l.prepareState(ctx, o)
	if err != nil {
		return err
	}
	if err := l.raise(ctx, s, o.Hooks); err != nil {
		return err
	}
	return l.writeSite(s)
}

// prepareState writes everything that later stages read, and removes hosts that are
// no longer asked for.
func (l *Lab) prepareState(ctx context.Context, o UpOptions) (state, error) {
	s, err := l.load()
	if err != nil {
		return s, err
	}
	old := s.Hosts
	s.Bears, s.Cameras = o.Bears, o.Cameras
	s.set(l.standardHosts(o))
	if err := s.oneSuite(); err != nil {
		return s, err
	}
	if err := os.MkdirAll(l.options.Dir, 0o755); err != nil {
		return s, fmt.Errorf("making the state folder: %w", err)
	}
	for _, prepare := range []func() error{
		func() error { return l.save(s) },
		l.makeSecrets,
		l.writeWorld,
		func() error { return l.writeNames(s) },
		func() error { _, err := l.resolver(Host{}); return err },
		func() error { return l.writeKnownHosts(s) },
	} {
		if err := prepare(); err != nil {
			return s, err
		}
	}
	if err := l.removeUnlisted(ctx, old, s.Hosts); err != nil {
		return s, err
	}
	return s, l.engine.EnsureNetwork(ctx, l.sealedNetwork())
}

func (l *Lab) sealedNetwork() containers.Network {
	return containers.Network{Name: l.Network(), Lab: l.Name(), Home: l.Path(), Subnet: l.Subnet(), Bridge: bridgeName(l.Network())}
}

// raise builds and starts everything, each part as soon as what it needs is there.
//
//	host image ─┬─ package mirror ──────────────┐
//	            └─ hosts                        ├─ done
//	world image ── world, client ─┬─ publish ───┤
//	prepare ──────────────────────┴─ cameras ───┘
func (l *Lab) raise(ctx context.Context, s state, hooks Hooks) error {
	group, ctx := errgroup.WithContext(ctx)
	worldUp, prepared := make(chan struct{}), make(chan struct{})
	group.Go(func() error { return l.raiseHosts(ctx, s, worldUp) })
	group.Go(func() error {
		defer close(worldUp)
		return l.raiseWorld(ctx)
	})
	group.Go(func() error {
		defer close(prepared)
		return l.hook(ctx, "images", hooks.Prepare)
	})
	group.Go(func() error {
		if err := all(ctx, prepared, worldUp); err != nil {
			return err
		}
		return l.hook(ctx, "releases", hooks.Publish)
	})
	group.Go(func() error {
		if err := all(ctx, prepared); err != nil || hooks.Cameras == nil {
			return err
		}
		return l.Stage(ctx, "cameras", func(ctx context.Context) error { return hooks.Cameras(ctx, l, l.cameras(s)) })
	})
	return group.Wait()
}

func (l *Lab) hook(ctx context.Context, name string, run func(context.Context, *Lab) error) error {
	if run == nil {
		return nil
	}
	return l.Stage(ctx, name, func(ctx context.Context) error { return run(ctx, l) })
}

// all waits for the channels to be closed. A stage that fails closes its channel too,
// and ends the context.
func all(ctx context.Context, done ...<-chan struct{}) error {
	for _, d := range done {
		select {
		case <-d:
		case <-ctx.Done():
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("waiting for another stage: %w", err)
	}
	return nil
}

func (l *Lab) raiseHosts(ctx context.Context, s state, worldUp <-chan struct{}) error {
	outside := slices.DeleteFunc(slices.Clone(s.Hosts), func(h Host) bool { return h.Behind != "" })
	if err := l.raiseAll(ctx, outside); err != nil {
		return err
	}
	return l.raiseBehind(ctx, s, worldUp)
}

// raiseAll starts hosts, and makes what those of each Ubuntu need: its root file system and its packages.
func (l *Lab) raiseAll(ctx context.Context, hosts []Host) error {
	by := map[ubuntu.Release][]Host{}
	for _, h := range hosts {
		by[h.release()] = append(by[h.release()], h)
	}
	group, ctx := errgroup.WithContext(ctx)
	for release, some := range by {
		group.Go(func() error { return l.raiseAlike(ctx, release, some) })
	}
	return group.Wait()
}

// raiseAlike starts hosts of one Ubuntu.
func (l *Lab) raiseAlike(ctx context.Context, u ubuntu.Release, hosts []Host) error {
	var image string
	err := l.Stage(ctx, "host image of "+u.Version, func(ctx context.Context) (err error) {
		image, err = l.Image(ctx, hostRecipe(u))
		return built(u, err)
	})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return l.Stage(ctx, "package mirror of "+u.Version, func(ctx context.Context) error { return built(u, l.buildMirror(ctx, u, image)) })
	})
	for _, h := range hosts {
		group.Go(func() error { return l.raiseHost(ctx, h, image) })
	}
	return group.Wait()
}

// raiseBehind starts the hosts behind others last: their networks have the jump host
// and the world on them, which have to be there first.
func (l *Lab) raiseBehind(ctx context.Context, s state, worldUp <-chan struct{}) error {
	if err := all(ctx, worldUp); err != nil {
		return err
	}
	for _, h := range s.Hosts {
		if h.Behind == "" {
			continue
		}
		if err := l.raiseAll(ctx, []Host{h}); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lab) raiseHost(ctx context.Context, h Host, image string) error {
	return l.Stage(ctx, "host "+h.Name, func(ctx context.Context) error {
		m, err := l.hostMachine(ctx, h, image)
		if err != nil {
			return err
		}
		if err := l.ensureBehind(ctx, h); err != nil {
			return err
		}
		if _, err := l.ensure(ctx, m); err != nil {
			return err
		}
		return l.awaitHost(ctx, h)
	})
}

func (l *Lab) raiseWorld(ctx context.Context) error {
	var image string
	err := l.Stage(ctx, "world image", func(ctx context.Context) (err error) {
		image, err = l.Image(ctx, vendorsim.Recipe())
		return err
	})
	if err != nil {
		return err
	}
	return l.Stage(ctx, "world and client", func(ctx context.Context) error {
		m, err := l.worldMachine(image)
		if err != nil {
			return err
		}
		if _, err := l.ensure(ctx, m); err != nil {
			return err
		}
		if _, err := l.ensure(ctx, l.clientMachine(image)); err != nil {
			return err
		}
		return l.await(ctx, "the world", l.answers)
	})
}

// Cameras are the lab's, each with the media host that records it.
func (l *Lab) Cameras() ([]Camera, error) {
	s, err := l.load()
	return l.cameras(s), err
}

// cameras are assigned to the media hosts in turn.
func (l *Lab) cameras(s state) []Camera {
	var media []string
	for _, h := range s.Hosts {
		if h.HasRole(RoleMedia) && isStandard(h.Name) {
			media = append(media, h.Name)
		}
	}
	var cameras []Camera
	for n := 1; n <= s.Cameras; n++ {
		camera := Camera{Name: fmt.Sprintf("camera%d", n), Address: l.Camera(n)}
		if len(media) > 0 {
			camera.Media = media[(n-1)%len(media)]
		}
		cameras = append(cameras, camera)
	}
	return cameras
}
