package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/txn"
)

// txnRunCommand is what a transaction's systemd unit runs. What it prints goes to the
// host's log: a line at the begin and one at the end, which say who had what done.
func (a *app) txnRunCommand() *cobra.Command {
	return &cobra.Command{
		Use: "txn-run ID", Short: "Run a transaction on this host", Args: cobra.ExactArgs(1), Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.stage = running
			return a.runTransaction(cmd.Context(), args[0])
		},
	}
}

// txnResumeCommand is what the boot unit runs after a restart of the host.
func (a *app) txnResumeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "txn-resume", Short: "Go on with what a restart of this host cut off", Args: cobra.NoArgs, Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a.stage = running
			return a.resumeTransactions(cmd.Context())
		},
	}
}

func (a *app) runTransaction(ctx context.Context, id string) error {
	l, m, err := a.launcher()
	if err != nil {
		return err
	}
	t, err := l.Store.Summary(id)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "transaction %s begins: release %q on %q of site %q, plan %q, run %q, by %q\n",
		id, t.Release, t.Host, t.Site, t.PlanDigest, t.RunID, t.Who)
	result, err := l.Execute(ctx, id, m, step.NewRegistry(stepKinds()))
	a.logEnd(id, result, err)
	return errors.Join(err, resultErr(result))
}

func (a *app) resumeTransactions(ctx context.Context) error {
	l, m, err := a.launcher()
	if err != nil {
		return err
	}
	resumed, err := l.Resume(ctx, m, step.NewRegistry(stepKinds()))
	for _, r := range resumed {
		a.logEnd(r.ID, r.Result, r.Err)
		err = errors.Join(err, r.Err, resultErr(r.Result))
	}
	return err
}

// launcher is how this host runs transactions: by this very program.
func (a *app) launcher() (txn.Launcher, *step.Machine, error) {
	m, err := a.machine()
	if err != nil {
		return txn.Launcher{}, nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return txn.Launcher{}, nil, fmt.Errorf("finding this program: %w", err)
	}
	return txn.Launcher{Store: txn.NewStore(a.hostRoot, a.now), Agent: program, Root: a.hostRoot, Run: m.Run}, m, nil
}

// logEnd prints a transaction's one line of its end. An execution that could not even
// say how it ended has its error printed instead.
func (a *app) logEnd(id string, r txn.Result, err error) {
	if r.Outcome == "" {
		fmt.Fprintf(a.out, "transaction %s stopped: %q\n", id, fmt.Sprint(err))
		return
	}
	fmt.Fprintf(a.out, "transaction %s %s: %d steps changed, %d unchanged, %d deferred, %d skipped\n",
		id, r.Outcome, r.Changed, r.Unchanged, len(r.Deferred), len(r.Skipped))
}

// resultErr is what a result has to say; one that was never reached says nothing.
func resultErr(r txn.Result) error {
	if r.Outcome == "" {
		return nil
	}
	return r.Err()
}
