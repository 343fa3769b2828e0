package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/repos/plain"
	"ipivs.com/valtctl/repos/problem"
)

// logs writes the log of one of our containers, or of all, each line with its service.
func (s *Side) logs(ctx context.Context, r agent.LogsRequest, out io.Writer) error {
	engine, err := s.machine(nil).Docker()
	if err != nil {
		return fmt.Errorf("reading logs: %w", err)
	}
	all, err := ours(ctx, engine)
	if err != nil {
		return err
	}
	if r.Name != "" {
		known := names(all)
		all = slices.DeleteFunc(all, func(c container.Summary) bool { return service(c) != r.Name })
		if len(all) == 0 {
			return &problem.Error{Kind: problem.Input, Doing: "reading the log of", Object: r.Name, Err: errors.New("no such service runs here"),
				Fix: "name one of: " + strings.Join(known, ", ")}
		}
	}
	return copyLogs(ctx, engine, all, r, out)
}

// ours lists our containers, running or not, by service.
func ours(ctx context.Context, engine *client.Client) ([]container.Summary, error) {
	all, err := engine.ContainerList(ctx, container.ListOptions{All: true, Filters: filters.NewArgs(filters.Arg("label", docker.LabelSite))})
	if err != nil {
		return nil, fmt.Errorf("listing the containers: %w", err)
	}
	slices.SortFunc(all, func(a, b container.Summary) int { return strings.Compare(service(a), service(b)) })
	return all, nil
}

func service(c container.Summary) string { return c.Labels["com.docker.compose.service"] }

func names(all []container.Summary) []string {
	var list []string
	for _, c := range all {
		list = append(list, service(c))
	}
	return list
}

// copyLogs copies several logs at once. Following ends with ctx, which is no error.
func copyLogs(ctx context.Context, engine *client.Client, all []container.Summary, r agent.LogsRequest, out io.Writer) error {
	tail := "all"
	if r.Lines > 0 {
		tail = strconv.Itoa(r.Lines)
	}
	shared := &lineWriter{out: out}
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() {
			log, err := engine.ContainerLogs(ctx, c.ID, container.LogsOptions{ShowStdout: true, ShowStderr: true, Timestamps: true, Follow: r.Follow, Tail: tail})
			if err != nil {
				errs[i] = fmt.Errorf("reading the log of %s: %w", service(c), err)
				return
			}
			defer log.Close()
			to := shared.of(service(c))
			if err := errors.Join(docker.CopyLog(to, log), to.Flush()); err != nil && ctx.Err() == nil {
				errs[i] = fmt.Errorf("reading the log of %s: %w", service(c), err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// lineWriter lets several logs share one output without mixing lines.
type lineWriter struct {
	mu  sync.Mutex
	out io.Writer
}

// maxLogLine is how much of a log's line is kept until its end comes, in bytes.
const maxLogLine = 64 << 10

// of puts the service's name before each whole line. A log's pieces may end inside one.
func (l *lineWriter) of(name string) *plain.Lines {
	return &plain.Lines{Most: maxLogLine, Each: func(line []byte) error { return l.line(name, line) }}
}

func (l *lineWriter) line(name string, line []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := fmt.Fprintf(l.out, "%-10s %s\n", name, line); err != nil {
		return fmt.Errorf("sending a log line: %w", err)
	}
	return nil
}
