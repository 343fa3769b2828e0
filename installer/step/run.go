package step

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	SearchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	maxStdout  = 16 << 20 // bytes kept; more is an error
	maxStderr  = 64 << 10 // bytes kept, the last ones
	errorLines = 5        // of standard error, in an error
	// ordinarily is what a program may take, see Command.Within.
	ordinarily = 10 * time.Minute
	// afterEnd is how long a finished program's pipes are still read. A service
	// that it started may hold them for good.
	afterEnd = 3 * time.Second
)

// Exec runs programs for real: an environment with nothing of ours in it, standard
// input empty unless given, the program in a process group of its own. When ctx ends or its
// time is over, the group gets SIGTERM and, afterEnd later, SIGKILL.
type Exec struct{}

// Run runs c. A program that cannot be found wraps fs.ErrNotExist; one that fails
// wraps *exec.ExitError and says its exit status and its last lines of standard error.
func (Exec) Run(asked context.Context, c Command) (Output, error) {
	if len(c.Argv) == 0 {
		return Output{}, errors.New("running a program: none is named")
	}
	path, err := find(c.Argv[0])
	if err != nil {
		return Output{Code: -1}, fmt.Errorf("running %s: %w", c.Argv[0], err)
	}
	if err := asked.Err(); err != nil {
		return Output{Code: -1}, fmt.Errorf("running %s: %w", c.Argv[0], err)
	}
	if c.Within == 0 {
		c.Within = ordinarily
	}
	ctx, cancel := context.WithTimeout(asked, c.Within)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, c.Argv[1:]...)
	cmd.Env = c.Env
	if cmd.Env == nil {
		cmd.Env = []string{"PATH=" + SearchPath, "LC_ALL=C.UTF-8", "HOME=/root"}
	}
	cmd.Dir = "/"
	cmd.Stdin = bytes.NewReader(c.Stdin)
	lines := newLines(c.Line)
	stdout := &capture{limit: maxStdout, lines: lines.stream()}
	stderr := &capture{limit: maxStderr, last: true, lines: lines.stream()}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = afterEnd
	ownGroup(cmd)
	closeStatus, err := OpenStatus(cmd, c.Status)
	if err != nil {
		return Output{Code: -1}, fmt.Errorf("running %s: %w", c.Argv[0], err)
	}
	err = cmd.Run()
	closeStatus()
	if ctx.Err() != nil {
		killGroup(cmd)
	}
	stdout.lines.flush()
	stderr.lines.flush()
	if err != nil && asked.Err() == nil && ctx.Err() != nil {
		err = fmt.Errorf("it was not over within %s, and was ended", c.Within)
	}
	return result(asked, c, cmd, stdout, stderr, err)
}

// OpenStatus gives cmd a descriptor 3 that is read line by line, where somebody listens.
// close is for when cmd has been waited for, or could not be started.
func OpenStatus(cmd *exec.Cmd, listen func(string)) (close func(), err error) {
	if listen == nil {
		return func() {}, nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("opening a pipe for the status: %w", err)
	}
	cmd.ExtraFiles = []*os.File{w}
	read := make(chan struct{})
	go func() {
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			listen(lines.Text())
		}
		_, _ = io.Copy(io.Discard, r) // after a line of no use, so that the program is not held up
		read <- struct{}{}
	}()
	return func() {
		w.Close()
		// Something it started may hold the pipe still, as with standard output.
		select {
		case <-read:
			r.Close()
		case <-time.After(afterEnd):
			r.Close()
			<-read
		}
	}, nil
}

// result puts together what Run returns.
func result(ctx context.Context, c Command, cmd *exec.Cmd, stdout, stderr *capture, err error) (Output, error) {
	out := Output{Stdout: stdout.bytes(), Stderr: stderr.bytes(), Code: -1}
	if cmd.ProcessState != nil {
		out.Code = cmd.ProcessState.ExitCode()
	}
	switch {
	case ctx.Err() != nil:
		return out, fmt.Errorf("running %s: stopped: %w", c.Argv[0], ctx.Err())
	case errors.Is(err, exec.ErrWaitDelay) && out.Code == 0: // a service it started has its pipes
	case err != nil:
		return out, fmt.Errorf("running %s: %w%s", c.Argv[0], err, lastLines(out.Stderr))
	}
	if stdout.dropped {
		return out, fmt.Errorf("running %s: it printed more than %d bytes", c.Argv[0], maxStdout)
	}
	return out, nil
}

// find is the path of a program: as given if it has a slash, else in searchPath,
// whatever the PATH of this process is.
func find(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, dir := range filepath.SplitList(SearchPath) {
		path, err := exec.LookPath(filepath.Join(dir, name))
		if err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no such program in %s: %w", SearchPath, fs.ErrNotExist)
}

// lastLines is the end of standard error as the tail of an error message.
func lastLines(stderr []byte) string {
	text := strings.TrimSpace(strings.ToValidUTF8(string(stderr), "?"))
	if text == "" {
		return ""
	}
	lines := strings.Split(text, "\n")
	return ": " + strings.Join(lines[max(0, len(lines)-errorLines):], "\n")
}

func Systemctl(ctx context.Context, h *Machine, args []string) error {
	if _, err := h.Run.Run(ctx, Command{Argv: append([]string{"systemctl"}, args...)}); err != nil {
		return fmt.Errorf("running systemctl %s: %w", strings.Join(args, " "), err)
	}
	return nil
}
