package main

import (
	"github.com/spf13/cobra"

	"ipivs.com/valtctl/repos/publish"
)

func (a *app) keyCommand() *cobra.Command {
	key := &cobra.Command{Use: "key", Short: "Make private keys"}
	roots := 3
	create := &cobra.Command{
		Use: "new [NAME...]", Short: "Make the keys that are missing, or the ones named",
		Long: "Make the keys that are missing, or the ones named: root-1, root-2, ..., targets, releases, channels, snapshot, timestamp.\n" +
			"Keep root, targets, releases and channels offline; snapshot and timestamp are for the machine that signs the timestamp again.",
		RunE: func(_ *cobra.Command, names []string) error {
			if len(names) == 0 {
				if err := publish.NewKeys(a.keyring(), roots); err != nil {
					return err
				}
				return a.say("made the missing keys in %s", a.keys[0])
			}
			for _, name := range names {
				if err := a.keyring().New(name); err != nil {
					return err
				}
			}
			return a.say("made %v in %s", names, a.keys[0])
		},
	}
	create.Flags().IntVar(&roots, "roots", roots, "how many root keys")
	key.AddCommand(create, a.keyListCommand())
	return key
}

func (a *app) keyListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the keys at hand with their ids", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			for _, name := range a.keyring().Names() {
				id, err := a.keyring().ID(name)
				if err != nil {
					return err
				}
				if err := a.say("%.8s  %s", id, name); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
