package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"

	"ipivs.com/valtctl/repos/problem"
)

// Local is the connection of a machine to itself: the same agent as a child process,
// without SSH. uid is the caller's; only root may change the machine.
func Local(uid int, o Options) (*Conn, error) {
	o.Address = "this machine"
	o = o.withDefaults()
	if uid != 0 {
		return nil, &problem.Error{Kind: problem.Input, Doing: "working on", Object: o.Name,
			Err: errors.New("it needs root"), Fix: "run the same command with sudo"}
	}
	return &Conn{run: localRunner{}, opts: o}, nil
}

// localRunner runs programs as children.
type localRunner struct{}

func (localRunner) Close() error { return nil }

// send leaves the binary to standard input.
func (localRunner) send(context.Context, Agent) (string, error) { return "-", nil }

func (localRunner) start(_ context.Context, argv []string) (*command, error) {
	cmd := exec.Command(argv[0], argv[1:]...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("opening standard input: %w", err)
	}
	outR, outW := io.Pipe()
	errR, errW := io.Pipe()
	cmd.Stdout, cmd.Stderr = outW, errW
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", argv[0], err)
	}
	end := watchEnd(cmd.Wait, outW, errW)
	return &command{
		stdin: stdin, stdout: outR, stderr: errR,
		wait: func() (int, error) { return exitCode(end()) },
		stop: func() {
			// An agent ends by itself when its input does; what it wrote last is not waited for.
			outW.CloseWithError(errStopped)
			errW.CloseWithError(errStopped)
			stdin.Close()
		},
	}, nil
}
