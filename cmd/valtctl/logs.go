package main

import (
	"bytes"
	"context"
	"io"
	"sync"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/status"
)

func (a *app) logsCommand() *cobra.Command {
	var r agent.LogsRequest
	cmd := &cobra.Command{
		Use: "logs [SERVICE]", Short: "Show the logs of the site's containers", Args: cobra.MaximumNArgs(1),
		Long:    "Show the logs of the site's containers, each line with its host and service.",
		Example: "  valtctl logs --host app1 web\n  valtctl logs -f",
		RunE: a.action([]string{"text"}, func(ctx context.Context, args []string) (report, error) {
			if len(args) == 1 {
				r.Name = args[0]
			}
			return report{}, a.logs(ctx, r)
		}),
	}
	cmd.Flags().BoolVarP(&r.Follow, "follow", "f", false, "go on as lines come")
	cmd.Flags().IntVarP(&r.Lines, "lines", "n", 100, "the last `N` lines of each container")
	return cmd
}

func (a *app) logs(ctx context.Context, r agent.LogsRequest) error {
	s, err := a.loadSite()
	if err != nil {
		return err
	}
	o, err := a.runOptions(s, event.Silent{})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	return status.Logs(ctx, o, r, func(host string) io.Writer {
		return &prefixed{mu: &mu, out: a.out, prefix: host + " "}
	})
}

// prefixed writes whole lines with the host's name before each, one host at a time.
type prefixed struct {
	mu     *sync.Mutex
	out    io.Writer
	prefix string
	rest   []byte
}

func (p *prefixed) Write(b []byte) (int, error) {
	p.rest = append(p.rest, b...)
	for {
		line, rest, ok := bytes.Cut(p.rest, []byte("\n"))
		if !ok {
			return len(b), nil
		}
		p.rest = rest
		if err := p.line(line); err != nil {
			return 0, err
		}
	}
}

func (p *prefixed) line(line []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := p.out.Write(append([]byte(p.prefix), append(line, '\n')...))
	return err
}
