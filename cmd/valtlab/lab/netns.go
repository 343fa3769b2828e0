package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// dropAddress takes this machine's addresses off a bridge.
func dropAddress(ctx context.Context, bridge string) error {
	return run(ctx, nil, "ip", "address", "flush", "dev", bridge)
}

// InNetwork runs one of this machine's programs, such as nft or tc, in the network of
// a container, which needs neither the program nor any trace of it. Input may be nil.
func (l *Lab) InNetwork(ctx context.Context, name string, input io.Reader, argv ...string) error {
	return l.enter(ctx, name, "--net", input, argv)
}

// OnMachine runs one of this machine's programs where the lab's bridges are.
func (l *Lab) OnMachine(ctx context.Context, input io.Reader, argv ...string) error {
	return run(ctx, input, argv[0], argv[1:]...)
}

// InMounts runs a program of the container's own, as root, without the limits the
// engine sets to what enters it, in the container's mounts.
func (l *Lab) InMounts(ctx context.Context, name string, input io.Reader, argv ...string) error {
	return l.enter(ctx, name, "--mount", input, argv)
}

func (l *Lab) enter(ctx context.Context, name, namespace string, input io.Reader, argv []string) error {
	pid, err := l.engine.PID(ctx, l.Container(name))
	if err != nil {
		return err
	}
	if pid == 0 {
		return fmt.Errorf("entering %s: it does not run", name)
	}
	return run(ctx, input, "nsenter", append([]string{"--target", strconv.Itoa(pid), namespace, "--"}, argv...)...)
}

func run(ctx context.Context, input io.Reader, program string, args ...string) error {
	command := exec.CommandContext(ctx, program, args...)
	command.Stdin = input
	if said, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("running %s %s: %w: %s", program, strings.Join(args, " "), err, bytes.TrimSpace(said))
	}
	return nil
}

// Dial connects to a TCP address as a container would, from its address and through its
// rules. The address must be numeric.
func (l *Lab) Dial(ctx context.Context, name, address string) (net.Conn, error) {
	inside, err := l.Inside(ctx, name)
	if err != nil {
		return nil, err
	}
	defer inside.Close()
	return inside.Dial(ctx, address)
}

// Inside is a container's network, for who connects from there often: the engine, which may
// be busy, is asked for it once. It is gone when the container has been started anew.
type Inside struct {
	name  string
	netns *os.File
}

// Inside enters the network of a container that runs. Close leaves it.
func (l *Lab) Inside(ctx context.Context, name string) (*Inside, error) {
	pid, err := l.engine.PID(ctx, l.Container(name))
	if err != nil {
		return nil, err
	}
	there, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return nil, fmt.Errorf("entering the network of %s: %w", name, err)
	}
	return &Inside{name, there}, nil
}

// Close leaves the network. Connections stay.
func (i *Inside) Close() error {
	if err := i.netns.Close(); err != nil {
		return fmt.Errorf("leaving the network of %s: %w", i.name, err)
	}
	return nil
}

// Dial connects to a numeric TCP address.
func (i *Inside) Dial(ctx context.Context, address string) (net.Conn, error) {
	type dialled struct {
		conn net.Conn
		err  error
	}
	done := make(chan dialled, 1)
	go func() {
		// The thread is never given back: it ends with this goroutine, in a network that no
		// other one must be in.
		runtime.LockOSThread()
		if err := unix.Setns(int(i.netns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- dialled{nil, fmt.Errorf("entering the network of %s: %w", i.name, err)}
			return
		}
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		done <- dialled{conn, err}
	}()
	d := <-done
	return d.conn, d.err
}
