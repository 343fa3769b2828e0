package main

import (
	"github.com/spf13/cobra"

	"ipivs.com/valtctl/cmd/valtlab/containers"
)

func newExec(g *globals) *cobra.Command {
	var user string
	var noInput bool
	cmd := &cobra.Command{
		Use:   "exec HOST -- CMD...",
		Short: "Run a command on a host, the world, the client or a camera, as root",
		Long:  "Run a command as root. Standard input is passed in and the command's exit code is this one's.",
		Args:  cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := g.open()
			if err != nil {
				return err
			}
			x := containers.Exec{
				Argv: args[1:], User: user,
				Stdin: g.std.in, Stdout: g.std.out, Stderr: g.std.err,
			}
			if noInput {
				x.Stdin = nil
			}
			code, err := l.Exec(cmd.Context(), args[0], x)
			if err != nil {
				return err
			}
			if code != 0 {
				return exitError(code)
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&user, "user", "u", "", "run as this `user` instead of root")
	cmd.Flags().BoolVarP(&noInput, "no-stdin", "n", false, "do not pass standard input in")
	return cmd
}
