package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
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
