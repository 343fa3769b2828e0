package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// Result is how a run of the product ended.
type Result struct {
	Code           int // exit code; -1: ended by a signal
	Stdout, Stderr string
	Took           time.Duration
}

// Run runs the product with the arguments in the lab's folder, where site.yaml is, and
// without anything to read. Any exit code is a result; an error means it did not run.
func (e *Env) Run(ctx context.Context, args ...string) (Result, error) {
	command := e.Command(ctx, args...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	start := e.Now()
	err := command.Run()
	result := Result{Stdout: stdout.String(), Stderr: stderr.String(), Took: e.Now().Sub(start)}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		result.Code = exit.ExitCode()
		return result, nil
	}
	if err != nil {
		return result, fmt.Errorf("running %s: %w", e.Valtctl, err)
	}
	return result, nil
}

// Command is the product's command for a scenario that starts, stops or kills it
// itself.
func (e *Env) Command(ctx context.Context, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, e.Valtctl, args...)
	command.Dir = e.Lab.Path()
	command.Env = append(os.Environ(), "XDG_STATE_HOME="+e.State)
	return command
}

// Expect runs the product and wants that exit code; another is an error with what
// the product said.
func (e *Env) Expect(ctx context.Context, code int, args ...string) (Result, error) {
	result, err := e.Run(ctx, args...)
	if err != nil {
		return result, err
	}
	if result.Code != code {
		return result, fmt.Errorf("valtctl %v: exit %d instead of %d: %s%s", args, result.Code, code, result.Stderr, result.Stdout)
	}
	return result, nil
}
