package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/cmd/valtlab/mutants"
)

func newMutants() *cobra.Command {
	o := mutants.Options{Now: time.Now}
	var only string
	var resume bool
	cmd := &cobra.Command{
		Use:   "mutants",
		Short: "Break the product's promises one at a time, and see which tests notice",
		Long: "Break the product's promises one at a time, and see which tests notice: the mistakes of testdata/mutants, each in a\n" +
			"copy that only the compiler sees. It needs no lab. The exit code is 1 if a mistake that is not among the known\n" +
			"survivors goes unnoticed, if a known survivor is noticed by now, or if an entry of the table has become stale.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			wanted, err := regexp.Compile(only)
			if err != nil {
				return fmt.Errorf("reading --only: %w", err)
			}
			if o.Root, err = filepath.Abs(o.Root); err != nil {
				return fmt.Errorf("finding %s: %w", o.Root, err)
			}
			o.Table, o.Out = filepath.Join(o.Root, "testdata", "mutants"), cmd.OutOrStdout()
			o.Choose = func(m mutants.Mutant) bool {
				return wanted.MatchString(m.Where + " " + m.Dir + " " + m.At + " " + m.Name)
			}
			if resume {
				folder, err := cacheFolder()
				if err != nil {
					return err
				}
				o.Memory = filepath.Join(folder, "mutants.json")
			}
			return mutants.Run(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.Root, "module", ".", "root `folder` of the module")
	cmd.Flags().StringVar(&only, "only", "", "`pattern` of the mutants to try: of table, package, function or name")
	cmd.Flags().BoolVar(&o.Keep, "keep", false, "write what survives to the list of known survivors")
	cmd.Flags().BoolVar(&resume, "resume", false, "go on where an earlier run with this flag stopped: what it found counts for the same mistake and tests")
	cmd.Flags().IntVar(&o.Jobs, "jobs", runtime.NumCPU(), "mutants at a time")
	return cmd
}
