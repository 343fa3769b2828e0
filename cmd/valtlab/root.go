package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/rootfs"
)

// streams are the process's own.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// exitError ends the program with a code and without a word: what there was to say
// has been said.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// run is the program. It returns the exit code.
func run(ctx context.Context, args []string, std streams) int {
	root := newRoot(std)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	var code exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case ctx.Err() != nil:
		fmt.Fprintln(std.err, "interrupted: valtlab up goes on from here")
		return 130
	}
	fmt.Fprintln(std.err, "valtlab:", err)
	return 1
}

// globals are the flags of every command.
type globals struct {
	dir, name, subnet, mirror string
	std                       streams
}

func newRoot(std streams) *cobra.Command {
	g := &globals{std: std}
	root := &cobra.Command{
		Use:           "valtlab",
		Short:         "The practice site: a VALT site's servers, network and cameras on one machine",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	flags := root.PersistentFlags()
	flags.StringVar(&g.dir, "dir", ".lab", "state `folder` of the lab")
	flags.StringVar(&g.name, "name", "valtlab", "`name` of the lab, for several side by side")
	flags.StringVar(&g.subnet, "subnet", "10.123.0.0/24", "the lab's sealed `network`")
	flags.StringVar(&g.mirror, "mirror", "", "Debian mirror `URL` to build from (default this machine's own)")
	root.AddCommand(
		newUp(g), newPrepare(g), newPublish(g), newDown(g), newStatus(g), newReset(g), newExec(g), newHost(g),
		newFault(g), newRelay(g), newVisit(g), newScenario(g), newBench(g), newMutants(), newReliability(g),
	)
	return root
}

// open returns the lab that the flags name.
func (g *globals) open() (*lab.Lab, error) {
	subnet, err := netip.ParsePrefix(g.subnet)
	if err != nil {
		return nil, fmt.Errorf("reading --subnet: %w", err)
	}
	cache, err := cacheFolder()
	if err != nil {
		return nil, err
	}
	debian := g.mirror
	if debian == "" {
		if debian, err = rootfs.MachineMirror("/etc/apt"); err != nil {
			return nil, err
		}
	}
	return lab.Open(lab.Options{
		Dir: g.dir, Name: g.name, Subnet: subnet, Cache: cache, Mirror: debian,
		Now: time.Now, Events: newProgress(g.std.err, time.Now).event,
	})
}

// cacheFolder is $XDG_CACHE_HOME/valtlab, or /var/cache/valtlab for root.
func cacheFolder() (string, error) {
	if base := os.Getenv("XDG_CACHE_HOME"); base != "" {
		return filepath.Join(base, "valtlab"), nil
	}
	if os.Geteuid() == 0 {
		return "/var/cache/valtlab", nil
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache: %w", err)
	}
	return filepath.Join(base, "valtlab"), nil
}
