package main

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/publish"
)

// app is what the commands share.
type app struct {
	out, err io.Writer
	now      func() time.Time

	dir  string
	keys []string
	days days

	started bool // a command was found and its arguments were understood
}

// days are how long new signatures hold.
type days struct{ root, offline, timestamp int }

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use: "valtrelease", Short: "Publish signed VALT releases",
		SilenceErrors: true, SilenceUsage: true,
		PersistentPreRun: func(*cobra.Command, []string) { a.started = true },
	}
	root.SetOut(a.out)
	root.SetErr(a.err)
	f := root.PersistentFlags()
	f.StringVar(&a.dir, "repository", "valt", "the repository's `folder`")
	f.StringSliceVar(&a.keys, "keys", []string{"keys"}, "a `folder` of private keys; repeat it where keys live apart")
	f.IntVar(&a.days.root, "root-days", 730, "how long a new root holds")
	f.IntVar(&a.days.offline, "days", 365, "how long targets, releases, channels and snapshot hold")
	f.IntVar(&a.days.timestamp, "timestamp-days", 14, "how long a timestamp holds")
	root.AddCommand(a.keyCommand(), a.rootCommand(), a.releaseCommand(), a.channelCommand(), a.timestampCommand(), a.showCommand())
	return root
}

// main runs the command line and returns its exit code.
func (a *app) main(args []string) int {
	root := a.root()
	root.SetArgs(args)
	err := root.Execute()
	if err == nil {
		return 0
	}
	if !a.started {
		err = &problem.Error{Kind: problem.Input, Doing: "reading the command line", Err: err, Fix: "valtrelease --help shows how it is used"}
	}
	for _, p := range problem.All(err) {
		fmt.Fprintf(a.err, "error: %v\n", p)
		if p.Fix != "" {
			fmt.Fprintf(a.err, "  fix: %s\n", p.Fix)
		}
	}
	return problem.KindOf(err).ExitCode()
}

func (a *app) keyring() publish.Keyring { return publish.Keyring{Dirs: a.keys} }

func (a *app) options() publish.Options {
	const day = 24 * time.Hour
	return publish.Options{
		Dir: a.dir, Keys: a.keyring(), Now: a.now,
		Lifetimes: publish.Lifetimes{
			Root:      time.Duration(a.days.root) * day,
			Offline:   time.Duration(a.days.offline) * day,
			Timestamp: time.Duration(a.days.timestamp) * day,
		},
	}
}

// change opens the repository, changes it, and says what was done.
func (a *app) change(change func(*publish.Repository) (done string, err error)) error {
	repo, err := publish.Open(a.options())
	if err != nil {
		return err
	}
	done, err := change(repo)
	if err != nil {
		return err
	}
	return a.say("%s", done)
}

func (a *app) say(format string, args ...any) error {
	_, err := fmt.Fprintf(a.out, format+"\n", args...)
	return err
}
