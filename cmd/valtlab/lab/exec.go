package lab

import (
	"context"
	"fmt"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/containers"
)

// Exec runs a command in a host, the world, the client or a camera and returns its
// exit code.
func (l *Lab) Exec(ctx context.Context, name string, x containers.Exec) (int, error) {
	found, err := l.engine.Find(ctx, l.Container(name))
	if err != nil {
		return -1, err
	}
	if found.Name == "" {
		return -1, fmt.Errorf("there is no %s in this lab: valtlab status lists what is", name)
	}
	if found.State != "running" {
		return -1, fmt.Errorf("%s is %s: valtlab up starts it", name, found.State)
	}
	return l.engine.Exec(ctx, l.Container(name), x)
}

// Output runs a command as Exec does and returns what it wrote, without the last
// newline. Another exit code than 0 is an error.
func (l *Lab) Output(ctx context.Context, name string, argv ...string) (string, error) {
	out, err := l.engine.Output(ctx, l.Container(name), argv...)
	return strings.TrimSuffix(out, "\n"), err
}
