package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/repos/publish"
)

func (a *app) releaseCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "release", Short: "Publish releases"}
	cmd.AddCommand(a.releaseAddCommand(), a.agentAddCommand())
	return cmd
}

func (a *app) releaseAddCommand() *cobra.Command {
	return &cobra.Command{
		Use: "add DIR", Short: "Publish the release in a folder: manifest.json and the Compose files it names",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			rel, err := publish.ReadRelease(args[0])
			if err != nil {
				return err
			}
			if err := plan.Judge(cmd.Context(), rel.Manifest, rel.Files); err != nil {
				return err
			}
			return a.change(func(r *publish.Repository) (string, error) {
				version, err := r.AddRelease(rel)
				return "published release " + version, err
			})
		},
	}
}

func (a *app) agentAddCommand() *cobra.Command {
	return &cobra.Command{
		Use: "agent VERSION FILE", Short: "Publish valtctl's own linux/amd64 build of a version",
		Args: cobra.ExactArgs(2),
		RunE: func(_ *cobra.Command, args []string) error {
			binary, err := os.ReadFile(args[1])
			if err != nil {
				return fmt.Errorf("reading the build: %w", err)
			}
			return a.change(func(r *publish.Repository) (string, error) {
				return "published valtctl " + args[0], r.AddAgent(args[0], binary)
			})
		},
	}
}
