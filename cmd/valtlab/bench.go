package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/cmd/valtlab/bench"
	"ipivs.com/valtctl/cmd/valtlab/scenario"
)

func newBench(g *globals) *cobra.Command {
	var o bench.Options
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure an install that changes nothing, beside Ansible and at a distance",
		Long: "Measure an install that changes nothing: beside an Ansible playbook that asserts the same state on the same\n" +
			"hosts (installed with apt when missing), and through relays with 80 ms a round trip. The lab must be up; the site is\n" +
			"installed first if it is not. The exit code is 1 if valtctl is not fast enough or takes too many round trips.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := g.open()
			if err != nil {
				return err
			}
			for _, path := range []*string{&o.Valtctl, &o.Playbook} {
				if *path, err = filepath.Abs(*path); err != nil {
					return fmt.Errorf("finding %s: %w", *path, err)
				}
			}
			if o.Rounds < 1 || o.Installs < o.Rounds {
				return fmt.Errorf("at least one round, and an install in each, are needed to compare")
			}
			o.Lab, o.Now, o.Out = l, time.Now, cmd.OutOrStdout()
			return bench.Run(cmd.Context(), o)
		},
	}
	cmd.AddCommand(newBenchBundle(g))
	cmd.Flags().StringVar(&o.Valtctl, "valtctl", "bin/valtctl", "`path` of the product")
	cmd.Flags().StringVar(&o.Playbook, "playbook", "testdata/bench", "`folder` of the playbook")
	cmd.Flags().IntVar(&o.Rounds, "rounds", 3, "runs of the playbook")
	cmd.Flags().IntVar(&o.Installs, "installs", 10, "runs of valtctl, spread over the rounds")
	return cmd
}

func newBenchBundle(g *globals) *cobra.Command {
	var o bench.Options
	cmd := &cobra.Command{
		Use:   "bundle",
		Short: "Measure bundles, beside openssl, copying, and docker save with gzip, ssh and docker load",
		Long: "Measure making and verifying a bundle of a gigabyte on this machine, beside openssl and plain copying; and the disk,\n" +
			"the time and the bytes that it takes to bring a release to a host of the lab, beside docker save | gzip | ssh |\n" +
			"docker load of the same images. The lab must be up. The exit code is 1 if a ratio does not hold.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := g.open()
			if err != nil {
				return err
			}
			if o.Valtctl, err = filepath.Abs(o.Valtctl); err != nil {
				return fmt.Errorf("finding %s: %w", o.Valtctl, err)
			}
			o.Lab, o.Now, o.Out = l, time.Now, cmd.OutOrStdout()
			return bench.RunCarry(cmd.Context(), o, scenario.NewEnv(l, scenario.Options{Valtctl: o.Valtctl, Now: time.Now, Out: o.Out}))
		},
	}
	cmd.Flags().StringVar(&o.Valtctl, "valtctl", "bin/valtctl", "`path` of the product")
	return cmd
}
