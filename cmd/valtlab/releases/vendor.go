package releases

import (
	"context"
	"errors"
	"fmt"
	"os"

	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/images"
	"ipivs.com/valtctl/cmd/valtlab/lab"
)

// Vendor does for one lab what the vendor does for the world.
type Vendor struct {
	set *images.Set // nil until built
}

// Hooks are what bringing a lab up needs of its vendor.
func Hooks() lab.Hooks {
	v := &Vendor{}
	return lab.Hooks{
		Prepare: v.build,
		Publish: func(ctx context.Context, l *lab.Lab) error { return v.Publish(ctx, l, Options{}) },
		Cameras: v.cameras,
	}
}

// build makes the images, or finds what an earlier run made of them.
func (v *Vendor) build(ctx context.Context, l *lab.Lab) error {
	if v.set != nil {
		return nil
	}
	cache, err := l.CacheDir("images")
	if err != nil {
		return err
	}
	v.set, err = images.Build(ctx, cache, l.RootTar, Versions()...)
	return err
}

// Options say what else to publish, and how to spoil it.
type Options struct {
	Agent *Agent  // nil: none
	Spoil Spoiled // empty: nothing is spoiled
	// CanaryIs is the release that the channel canary points to; empty: Canary.
	CanaryIs string
	// CanaryFor is the share of the sites that are to have it unattended, in percent; nil: all.
	CanaryFor *int
}

// Publish pushes the images, publishes the releases and lets the world serve them. What
// was spoiled before is whole again, unless it is asked for.
func (v *Vendor) Publish(ctx context.Context, l *lab.Lab, o Options) (err error) {
	if err := v.build(ctx, l); err != nil {
		return err
	}
	if err := v.push(ctx, l); err != nil {
		return err
	}
	keys, err := packageKeys(l)
	if err != nil {
		return err
	}
	r := RepositoryOf(l)
	if err := r.Publish(v.set.Releases(), keys, o); err != nil {
		return err
	}
	if o.Spoil == "" {
		return l.ReplaceRelease(ctx, r.Dir)
	}
	spoilt, err := os.MkdirTemp("", "valtlab-spoilt-")
	if err != nil {
		return fmt.Errorf("making room for a spoilt repository: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(spoilt)) }()
	if err := r.Spoil(ctx, spoilt, o.Spoil); err != nil {
		return err
	}
	return l.ReplaceRelease(ctx, spoilt)
}

func (v *Vendor) push(ctx context.Context, l *lab.Lab) error {
	transport, err := l.Transport()
	if err != nil {
		return err
	}
	defer transport.CloseIdleConnections()
	user, password, err := l.RegistryLogin()
	if err != nil {
		return err
	}
	return v.set.Push(ctx, images.Registry{Transport: transport, User: user, Password: password})
}

func packageKeys(l *lab.Lab) (Keys, error) {
	ipivs, err := l.VendorKey(lab.VendorIPIVS)
	if err != nil {
		return Keys{}, err
	}
	docker, err := l.VendorKey(lab.VendorDocker)
	if err != nil {
		return Keys{}, err
	}
	return Keys{IPIVS: string(ipivs), Docker: string(docker)}, nil
}

// cameras starts the cameras that are listed and removes those that are not. One that
// runs as it should is left alone, since its stream may be recorded.
func (v *Vendor) cameras(ctx context.Context, l *lab.Lab, wanted []lab.Camera) error {
	image, err := v.set.Camera(ctx, l.Engine())
	if err != nil {
		return err
	}
	there, err := l.Engine().List(ctx, l.Name())
	if err != nil {
		return err
	}
	running := map[string]containers.Container{}
	for _, c := range there {
		if c.Kind == lab.KindCamera {
			running[c.Name] = c
		}
	}
	for _, camera := range wanted {
		name := l.Container(camera.Name)
		was := running[name]
		delete(running, name)
		if was.State == "running" && was.Image == image && was.Address == camera.Address {
			continue
		}
		if err := l.Engine().Run(ctx, cameraSpec(l, camera, image)); err != nil {
			return err
		}
	}
	for name := range running {
		if err := l.Engine().Remove(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func cameraSpec(l *lab.Lab, camera lab.Camera, image string) containers.Spec {
	return containers.Spec{
		Name: l.Container(camera.Name), Hostname: camera.Name, Lab: l.Name(), Kind: lab.KindCamera, Image: image,
		Command: []string{"-name", camera.Name}, Network: l.Network(), Address: camera.Address,
	}
}
