package containers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// Exec is one command inside a container, as argv.
type Exec struct {
	Argv   []string
	User   string // empty: root
	Env    []string
	Stdin  io.Reader // nil: empty
	Stdout io.Writer // nil: discarded
	Stderr io.Writer
}

// Exec runs the command to its end and returns its exit code. An error means that
// it could not be run or followed, not that it failed.
func (e *Engine) Exec(ctx context.Context, name string, x Exec) (int, error) {
	created, err := e.api.ContainerExecCreate(ctx, name, container.ExecOptions{
		Cmd: x.Argv, User: x.User, Env: x.Env,
		AttachStdin: x.Stdin != nil, AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		return -1, fmt.Errorf("entering container %s: %w", name, err)
	}
	stream, err := e.api.ContainerExecAttach(ctx, created.ID, container.ExecAttachOptions{})
	if err != nil {
		return -1, fmt.Errorf("running %s in container %s: %w", x.Argv[0], name, err)
	}
	defer stream.Close()
	stop := context.AfterFunc(ctx, stream.Close)
	defer stop()
	if x.Stdin != nil {
		go func() {
			_, _ = io.Copy(stream.Conn, x.Stdin) // the command may end without reading it all
			_ = stream.CloseWrite()
		}()
	}
	if _, err := stdcopy.StdCopy(orDiscard(x.Stdout), orDiscard(x.Stderr), stream.Reader); err != nil {
		return -1, errors.Join(ctx.Err(), fmt.Errorf("reading from container %s: %w", name, err))
	}
	result, err := e.api.ContainerExecInspect(ctx, created.ID)
	if err != nil {
		return -1, fmt.Errorf("asking how %s ended in container %s: %w", x.Argv[0], name, err)
	}
	return result.ExitCode, nil
}

// Output runs the command and returns its standard output. Another exit code than
// 0 is an error that carries what the command wrote to its standard error.
func (e *Engine) Output(ctx context.Context, name string, argv ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	code, err := e.Exec(ctx, name, Exec{Argv: argv, Stdout: &stdout, Stderr: &stderr})
	if err != nil {
		return "", err
	}
	if code != 0 {
		said := strings.TrimSpace(stderr.String() + " " + stdout.String())
		return stdout.String(), fmt.Errorf("running %s in container %s: exit %d: %s", strings.Join(argv, " "), name, code, said)
	}
	return stdout.String(), nil
}

func orDiscard(w io.Writer) io.Writer {
	if w == nil {
		return io.Discard
	}
	return w
}
