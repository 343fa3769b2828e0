package main

import (
	"github.com/spf13/cobra"

	"ipivs.com/valtctl/repos/publish"
)

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{Use: "root", Short: "Make the repository and change its keys"}
	root.AddCommand(a.rootInitCommand(), a.rootRotateCommand())
	return root
}

func (a *app) rootInitCommand() *cobra.Command {
	threshold := 2
	cmd := &cobra.Command{
		Use: "init", Short: "Make an empty repository", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if _, err := publish.Create(a.options(), threshold); err != nil {
				return err
			}
			return a.say("made %s; its root of trust is metadata/1.root.json", a.dir)
		},
	}
	cmd.Flags().IntVar(&threshold, "threshold", threshold, "how many root keys must sign")
	return cmd
}

func (a *app) rootRotateCommand() *cobra.Command {
	lost := ""
	cmd := &cobra.Command{
		Use: "rotate [NAME]", Short: "Replace a key and revoke the old one; without a name, sign the root again",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, names []string) error {
			return a.change(func(r *publish.Repository) (string, error) {
				if len(names) == 0 {
					return "signed the root again", r.Renew()
				}
				return "replaced key " + names[0] + " and revoked the old one", r.Rotate(names[0], lost)
			})
		},
	}
	cmd.Flags().StringVar(&lost, "lost", "", "the `id` (or its start) of a root key whose file is lost")
	return cmd
}
