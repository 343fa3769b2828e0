package main

import (
	"context"
	"io"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/status"
	"ipivs.com/valtctl/repos/plain"
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
	var all prefixes
	defer all.flush()
	return status.Logs(ctx, o, r, func(host string) io.Writer { return all.of(a.out, host) })
}

// maxLogLine is how much of a line is kept until its end comes, in bytes, the service's name
// before it included.
const maxLogLine = 80 << 10

// prefixes write whole lines with the host's name before each, one host at a time.
type prefixes struct {
	mu  sync.Mutex
	all []*plain.Lines
}

func (p *prefixes) of(out io.Writer, host string) io.Writer {
	p.mu.Lock()
	defer p.mu.Unlock()
	lines := &plain.Lines{Most: maxLogLine, Each: func(line []byte) error {
		p.mu.Lock()
		defer p.mu.Unlock()
		_, err := out.Write(slices.Concat([]byte(host+" "), line, []byte("\n")))
		return err
	}}
	p.all = append(p.all, lines)
	return lines
}

// flush writes last lines that have no end.
func (p *prefixes) flush() {
	for _, lines := range p.all {
		_ = lines.Flush() // its writer has told of what it cannot write
	}
}
