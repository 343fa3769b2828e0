package main

import (
	"github.com/spf13/cobra"

	"ipivs.com/valtctl/repos/publish"
)

func (a *app) timestampCommand() *cobra.Command {
	return &cobra.Command{
		Use: "timestamp [ROLE...]", Short: "Sign the timestamp again, and the snapshot or the roles named where they will end",
		Long: "Sign the timestamp again, and the snapshot where it will end soon. A machine runs this daily with the two online keys.\n" +
			"Name targets, releases or channels to sign those again too, with their offline keys.",
		RunE: func(_ *cobra.Command, roles []string) error {
			return a.change(func(r *publish.Repository) (string, error) {
				return "signed the timestamp again", r.SignTimestamp(roles...)
			})
		},
	}
}
