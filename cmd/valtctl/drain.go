package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/updater"
)

func (a *app) drainCommand() *cobra.Command {
	var within time.Duration
	cmd := a.changing(&cobra.Command{
		Use: "drain HOST", Short: "Keep new sessions out of a server and wait for its recordings", Args: cobra.ExactArgs(1),
		Long: `Keep new sessions out of a server, also over its restarts, until "valtctl undrain". Running sessions
go on. On a media server the command ends when nothing is recorded there any more; where
recordings go on for too long the server takes sessions again and the exit code is 4.`,
		Example: "  valtctl drain media1\n  valtctl drain media1 --drain 2h",
		RunE: a.action([]string{"text", "json"}, func(ctx context.Context, args []string) (report, error) {
			return a.gated(ctx, args[0], within, updater.Drain, "takes no new sessions; open it with: valtctl undrain "+args[0])
		}),
	})
	cmd.Flags().DurationVar(&within, "drain", updater.DefaultDrain, "how long recordings are waited for")
	return cmd
}

func (a *app) undrainCommand() *cobra.Command {
	return a.changing(&cobra.Command{
		Use: "undrain HOST", Short: "Let new sessions into a server again", Args: cobra.ExactArgs(1),
		Example: "  valtctl undrain media1",
		RunE: a.action([]string{"text", "json"}, func(ctx context.Context, args []string) (report, error) {
			return a.gated(ctx, args[0], 0, updater.Undrain, "takes sessions")
		}),
	})
}

// gated is what drain and undrain come to.
type gatedResult struct {
	Host  string `json:"host"`
	State string `json:"state"`
}

func (a *app) gated(ctx context.Context, host string, within time.Duration, do func(context.Context, updater.Options, string) error, state string) (report, error) {
	s, err := a.loadSite()
	if err != nil {
		return report{}, err
	}
	if _, ok := s.Host(host); !ok {
		return report{}, unknownHost(s, host)
	}
	obs := a.observe()
	base, err := a.runOptions(s, obs)
	if err != nil {
		return report{}, err
	}
	err = do(ctx, updater.Options{Options: base, Kinds: step.NewRegistry(stepKinds()), DrainWithin: within}, host)
	obs.end()
	if err != nil {
		return report{}, err
	}
	result := gatedResult{host, state}
	return text(result, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s %s\n", host, state)
		return err
	}), nil
}
