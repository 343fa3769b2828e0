// Package lab is the practice site as a library: hosts that are real systemd
// machines in containers, on a sealed network whose only other inhabitants are the
// world (stand-ins for every server on the vendor's network page), a client and
// cameras. Commands and scenarios use it; it says what it does through events and
// never prints. What is in the application's images, what a release holds and what
// the product does with the hosts is not its business: Hooks bring the former.
//
// The hosts are Debian with Ubuntu's identity, because no Ubuntu packages are to be
// had where the practice site must work. apt, dpkg, gpgv, systemd, sshd and Docker in
// them are real.
package lab

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/rootfs"
)

// Options say which lab is meant. Every field is required.
type Options struct {
	Dir    string           // state folder, made when absent
	Name   string           // label of everything in the engine, prefix of its names
	Subnet netip.Prefix     // of the sealed network, a /24
	Cache  string           // folder that outlives the lab
	Mirror string           // Debian mirror to build from
	Now    func() time.Time // the clock
	Events func(Event)      // told what goes on; called from several goroutines
}

// Lab is one practice site.
type Lab struct {
	options Options
	engine  *containers.Engine
	builder *rootfs.Builder
}

// Open returns the lab without asking whether it is up.
func Open(o Options) (*Lab, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("finding the state folder: %w", err)
	}
	o.Dir = dir
	engine, err := containers.Open()
	if err != nil {
		return nil, err
	}
	return &Lab{options: o, engine: engine, builder: rootfs.NewBuilder(engine, o.Mirror, filepath.Join(o.Cache, "locks"))}, nil
}

func (o Options) validate() error {
	switch {
	case o.Dir == "" || o.Name == "" || o.Cache == "":
		return fmt.Errorf("opening the lab: its folder, name or cache is empty")
	case !o.Subnet.IsValid() || !o.Subnet.Addr().Is4() || o.Subnet.Bits() != 24 || o.Subnet.Masked() != o.Subnet:
		return fmt.Errorf("opening the lab: subnet %s is not an IPv4 network of 24 bits such as 10.123.0.0/24", o.Subnet)
	case o.Now == nil || o.Events == nil:
		return fmt.Errorf("opening the lab: it needs a clock and a listener")
	}
	return nil
}

// Name is the lab's name.
func (l *Lab) Name() string { return l.options.Name }

// Engine is the engine the lab runs on.
func (l *Lab) Engine() *containers.Engine { return l.engine }

// Path is a path below the state folder.
func (l *Lab) Path(elements ...string) string {
	return filepath.Join(append([]string{l.options.Dir}, elements...)...)
}

// CacheDir is a folder below the cache, made when absent.
func (l *Lab) CacheDir(elements ...string) (string, error) {
	dir := filepath.Join(append([]string{l.options.Cache}, elements...)...)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("making the cache: %w", err)
	}
	return dir, nil
}

// Now is the time on the lab's clock.
func (l *Lab) Now() time.Time { return l.options.Now() }

// Container is the engine's name of a host, the world, the client or a camera.
func (l *Lab) Container(name string) string { return l.options.Name + "-" + name }

// Network is the engine's name of the sealed network.
func (l *Lab) Network() string { return l.options.Name }

// Subnet is the sealed network's.
func (l *Lab) Subnet() netip.Prefix { return l.options.Subnet }

// Image builds the recipe's image, or finds it.
func (l *Lab) Image(ctx context.Context, r rootfs.Recipe) (string, error) {
	return l.builder.Image(ctx, r)
}

// RootTar builds the recipe's root anew and writes it to out, for images that are not
// for the lab's own engine.
func (l *Lab) RootTar(ctx context.Context, r rootfs.Recipe, out io.Writer) error {
	return l.builder.Tar(ctx, r, out)
}

// Last numbers of the lab's fixed addresses.
const (
	numController = 1
	numWorld      = 2
	numApp        = 10
	numMedia      = 20 // media1 is 21
	numClient     = 50
	numCamera     = 100 // the first camera is 101
	numFurther    = 150 // hosts added later
)

// Address is the subnet's address with the given last number.
func (l *Lab) Address(last int) netip.Addr {
	bytes := l.options.Subnet.Addr().As4()
	bytes[3] = byte(last)
	return netip.AddrFrom4(bytes)
}

// Controller is the address under which containers see this machine.
func (l *Lab) Controller() netip.Addr { return l.Address(numController) }

// World is the address of the vendor's stand-ins, of DNS and of time.
func (l *Lab) World() netip.Addr { return l.Address(numWorld) }

// App is the address of the lab's own application host.
func (l *Lab) App() netip.Addr { return l.Address(numApp) }

// Client is the address of the client container.
func (l *Lab) Client() netip.Addr { return l.Address(numClient) }

// Camera is the address of the n-th camera, from 1.
func (l *Lab) Camera(n int) netip.Addr { return l.Address(numCamera + n) }

// Event is something that happened while the lab worked.
type Event struct {
	Stage string        // "the world", "host media1"
	Note  string        // a sentence; empty at the begin and end of a stage
	Done  bool          // the stage has ended
	Took  time.Duration // how long the stage took, once it is Done
	Err   error         // why it failed, once it is Done
}

// Stage runs a part of the work and tells when it begins and ends.
func (l *Lab) Stage(ctx context.Context, name string, run func(context.Context) error) error {
	start := l.Now()
	l.options.Events(Event{Stage: name})
	err := run(ctx)
	if err != nil && ctx.Err() != nil { // another stage's failure, or a person, ended this one
		err = fmt.Errorf("stopped: %w", err)
	}
	l.options.Events(Event{Stage: name, Done: true, Took: l.Now().Sub(start), Err: err})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// Note tells something about a stage.
func (l *Lab) Note(stage, format string, args ...any) {
	l.options.Events(Event{Stage: stage, Note: fmt.Sprintf(format, args...)})
}
