package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/database"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater"
)

func (a *app) backupCommand() *cobra.Command {
	return group("backup", "Back up the application's database, prove backups, and restore one",
		a.backupCreateCommand(), a.backupListCommand(), a.backupVerifyCommand(), a.backupRestoreCommand())
}

func (a *app) backupCreateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "create", Short: "Back up the database while it serves, and prove the backup", Args: cobra.NoArgs,
		Long: `Back up the application server's database while it serves, and prove the backup: it is restored into a
throwaway container of the same image, without network and with events switched off, and compared with
what was dumped. Tables that are written to meanwhile are compared by their form alone, and the backup
says which. Where the site file names a recipient the backup is encrypted to it, and to the server itself.

Recordings are not in it, nor are the site file and its keys.`,
		Example: "  valtctl backup create\n  valtctl backup create -o json",
		RunE: a.action([]string{"text", "json"}, func(ctx context.Context, _ []string) (report, error) {
			return a.backedUp(ctx, "", updater.CreateBackup)
		}),
	}
	return cmd
}

func (a *app) backupListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the backups of the database, and when each was proved last", Args: cobra.NoArgs,
		RunE: a.action([]string{"text", "json"}, func(ctx context.Context, _ []string) (report, error) {
			return a.backedUp(ctx, "", updater.ListBackups)
		}),
	}
}

func (a *app) backupVerifyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "verify [BACKUP]", Short: "Prove a backup once more by restoring it into a throwaway container", Args: cobra.MaximumNArgs(1),
		Long: `Prove a backup, without a name the newest: its file's checksum, then its restoring into a throwaway
container of the image that serves, and a comparison with what it says that it holds. Nothing that
serves is changed. Exit code 6 if its file is spoiled, 1 if what it restores is something else.`,
		Example: "  valtctl backup verify\n  valtctl backup verify 20261130T235012Z",
		RunE: a.action([]string{"text", "json"}, func(ctx context.Context, args []string) (report, error) {
			id, err := a.chosenBackup(ctx, args)
			if err != nil {
				return report{}, err
			}
			return a.backedUp(ctx, id, func(ctx context.Context, o updater.Options) (*updater.Backups, error) {
				return updater.VerifyBackup(ctx, o, id)
			})
		}),
	}
}

func (a *app) backupRestoreCommand() *cobra.Command {
	var name string
	cmd := a.changing(&cobra.Command{
		Use: "restore BACKUP", Short: "Make the database what a backup holds", Args: cobra.ExactArgs(1),
		Long: `Make the database what a backup holds. What was written since is gone, so the site's name has to be
given. No new sessions are let in, and everything that writes is stopped; what is there is backed up and
that backup proved; the other one is restored into a throwaway container, compared, and takes the place of
the data. A database with which the application is not healthy is taken back.

Recordings are not in a backup: they stay as they are, those made since without their entries.
A backup of another site, or of another release than the one that serves, is refused.`,
		Example: "  valtctl backup restore 20261130T235012Z\n  valtctl backup restore 20261130T235012Z --site-name st-marys --yes",
		RunE: a.action([]string{"text", "json"}, func(ctx context.Context, args []string) (report, error) {
			if err := a.agreeRestore(ctx, args[0], name); err != nil {
				return report{}, err
			}
			return a.backedUp(ctx, args[0], func(ctx context.Context, o updater.Options) (*updater.Backups, error) {
				return updater.RestoreBackup(ctx, o, args[0])
			})
		}),
	})
	cmd.Flags().StringVar(&name, "site-name", "", "the site's name, instead of typing it")
	return cmd
}

// agreeRestore has a person type the site's name, or takes it from the flags.
func (a *app) agreeRestore(ctx context.Context, id, name string) error {
	s, err := a.loadSite()
	if err != nil || a.flags.dryRun {
		return err
	}
	tty := a.terminal()
	if name == "" && tty != nil && !a.flags.yes {
		name, err = a.askAt(ctx, tty, fmt.Sprintf("All that was written to the database of %s since %s will be gone; recordings stay. Type the site's name: ", s.ID, id), true)
		if err != nil {
			return fmt.Errorf("asking for the site's name: %w", err)
		}
		if name != s.ID {
			return &problem.Error{Kind: problem.Interrupted, Doing: "restoring backup", Object: id, Err: errDeclined}
		}
		return nil
	}
	switch {
	case name != s.ID:
		return usage(fmt.Errorf("restoring loses what was written since, and %q is not the site's name, %q", name, s.ID), "give it: --site-name "+s.ID+" --yes")
	case !a.flags.yes && tty == nil:
		return usage(errors.New("there is no terminal to ask at"), "look with --dry-run, then give --yes")
	}
	return nil
}

// chosenBackup is the backup that is named, or the newest.
func (a *app) chosenBackup(ctx context.Context, args []string) (string, error) {
	if len(args) == 1 {
		return args[0], nil
	}
	o, end, err := a.backupOptions()
	if err != nil {
		return "", err
	}
	all, err := updater.ListBackups(ctx, o)
	end()
	if err != nil {
		return "", err
	}
	newest, ok := all.Newest()
	if !ok {
		return "", &problem.Error{Kind: problem.Input, Doing: "looking for a backup on", Object: all.Host, Err: fmt.Errorf("there is none in %s", all.Dir), Fix: "make one: valtctl backup create"}
	}
	return newest.ID, nil
}

func (a *app) backupOptions() (updater.Options, func(), error) {
	s, err := a.loadSite()
	if err != nil {
		return updater.Options{}, nil, err
	}
	obs := a.observe()
	base, err := a.runOptions(s, obs)
	return updater.Options{Options: base, Kinds: step.NewRegistry(stepKinds())}, obs.end, err
}

// backedUp does something with backups and shows those that there are then. With an id it is about that one.
func (a *app) backedUp(ctx context.Context, id string, do func(context.Context, updater.Options) (*updater.Backups, error)) (report, error) {
	o, end, err := a.backupOptions()
	if err != nil {
		return report{}, err
	}
	all, err := do(ctx, o)
	end()
	if err != nil {
		return report{}, err
	}
	return text(all, func(w io.Writer) error { return writeBackups(w, all, id, a.now()) }), nil
}

// writeBackups lists backups, the newest first; with an id that one alone, with all that its last proof compared.
func writeBackups(w io.Writer, all *updater.Backups, id string, now time.Time) error {
	p := &printer{w: w}
	if one, ok := all.Named(id); ok {
		writeBackup(p, one, now)
		return p.err
	}
	if len(all.Backups) == 0 {
		p.printf("%s has no backup in %s\n", all.Host, all.Dir)
	}
	for i := len(all.Backups) - 1; i >= 0; i-- {
		b := all.Backups[i]
		p.printf("%s  %s ago  release %s  %s  %s  %s\n", b.ID, age(now, b.Made), b.Release, units.HumanSize(float64(b.Dump.Size)), proved(b, now), b.Why)
	}
	if all.Unread != "" {
		p.printf("not read: %s\n", all.Unread)
	}
	return p.err
}

func writeBackup(p *printer, b database.Record, now time.Time) {
	p.printf("%s of release %s, %s ago, %s: %s\n", b.ID, b.Release, age(now, b.Made), b.Why, proved(b, now))
	p.printf("  made by %s of %s, %s packed, sha256 %s\n", b.Client, b.Server, units.HumanSize(float64(b.Dump.Size)), b.Dump.SHA256)
	for _, r := range b.Dump.Recipients {
		p.printf("  encrypted to %s and to the server itself\n", r)
	}
	for _, name := range b.Moved {
		p.printf("  written to meanwhile, compared by its form alone: %s\n", name)
	}
	if n := len(b.Proofs); n > 0 {
		last := b.Proofs[n-1]
		p.printf("  compared: %s\n", counts(last.Compared))
		for _, ph := range append(b.Phases, last.Phases...) {
			p.printf("  %-40s %s\n", ph.Name, ph.Took)
		}
	}
	p.printf("  recordings are not in it\n")
}

func proved(b database.Record, now time.Time) string {
	if b.Proved().IsZero() {
		return "never proved"
	}
	return "proved " + age(now, b.Proved()) + " ago"
}

func age(now, then time.Time) string { return units.HumanDuration(now.Sub(then)) }

// counts lists how many things of each kind were compared.
func counts(compared map[string]int) string {
	var parts []string
	for _, kind := range slices.Sorted(maps.Keys(compared)) {
		parts = append(parts, fmt.Sprintf("%d %s", compared[kind], kind))
	}
	return strings.Join(parts, ", ")
}
