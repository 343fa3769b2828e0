package main

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/cmd/valtlab/fault"
	"ipivs.com/valtctl/cmd/valtlab/lab"
)

func newFault(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fault",
		Short: "Make a bad day on a host; each fault has an end",
		Long: "Make a bad day on a host. A fault lasts as long as --for says and has ended when the command returns,\n" +
			"also when it is interrupted. What a killed valtlab left behind, fault clear ends.",
	}
	cmd.AddCommand(
		newFaultPackets(g, fault.Drop, "Drop some of a host's packets: nothing comes back"),
		newFaultPackets(g, fault.Reject, "Refuse some of a host's packets"),
		newFaultCut(g), newFaultSlow(g), newFaultDisk(g), newFaultKill(g), newFaultLock(g), newFaultDpkg(g), newFaultClear(g),
	)
	return cmd
}

// holding adds --for to a command and runs the fault that make returns.
func (g *globals) holding(cmd *cobra.Command, make func(host string) (fault.Fault, error)) *cobra.Command {
	duration := cmd.Flags().Duration("for", time.Minute, "how long it lasts")
	cmd.Args = cobra.ExactArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		f, err := make(args[0])
		if err != nil {
			return err
		}
		return g.onHost(cmd.Context(), args[0], func(ctx context.Context, l *lab.Lab) error {
			return l.Stage(ctx, fmt.Sprintf("%s %s for %s", cmd.Name(), args[0], *duration), func(ctx context.Context) error {
				return fault.Hold(ctx, l, f, *duration)
			})
		})
	}
	return cmd
}

// onHost opens the lab and checks that the host is one of its hosts or the world.
func (g *globals) onHost(ctx context.Context, host string, run func(context.Context, *lab.Lab) error) error {
	l, err := g.open()
	if err != nil {
		return err
	}
	if host != "world" {
		if _, err := l.Host(host); err != nil {
			return err
		}
	}
	return run(ctx, l)
}

func newFaultPackets(g *globals, verdict, short string) *cobra.Command {
	var from, to, proto string
	var port int
	cmd := &cobra.Command{Use: verdict + " HOST", Short: short}
	flags := cmd.Flags()
	flags.StringVar(&from, "from", "", "only what comes from this `address` or network")
	flags.StringVar(&to, "to", "", "only what goes to this `address` or network")
	flags.IntVar(&port, "port", 0, "only what goes to this `port`")
	flags.StringVar(&proto, "proto", "", "only tcp or udp")
	return g.holding(cmd, func(host string) (fault.Fault, error) {
		f := fault.Packets{Host: host, Verdict: verdict, Port: port, Proto: proto}
		var err error
		if f.From, err = prefix(from); err != nil {
			return nil, fmt.Errorf("reading --from: %w", err)
		}
		if f.To, err = prefix(to); err != nil {
			return nil, fmt.Errorf("reading --to: %w", err)
		}
		return f, nil
	})
}

// prefix reads an address or a network; nothing is no prefix.
func prefix(text string) (netip.Prefix, error) {
	if text == "" {
		return netip.Prefix{}, nil
	}
	if address, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(address, address.BitLen()), nil
	}
	return netip.ParsePrefix(text)
}

func newFaultCut(g *globals) *cobra.Command {
	cmd := &cobra.Command{Use: "cut HOST", Short: "Cut a host's whole network, SSH included"}
	return g.holding(cmd, func(host string) (fault.Fault, error) {
		return fault.Packets{Host: host, Verdict: fault.Drop}, nil
	})
}

func newFaultSlow(g *globals) *cobra.Command {
	var rate string
	cmd := &cobra.Command{Use: "slow HOST", Short: "Limit what a host (or the world) sends; for delay see relay"}
	cmd.Flags().StringVar(&rate, "rate", "1mbit", "as tc(8) writes it")
	return g.holding(cmd, func(host string) (fault.Fault, error) {
		return fault.Slow{Host: host, Rate: rate}, nil
	})
}

func newFaultDisk(g *globals) *cobra.Command {
	var path string
	var free int64
	cmd := &cobra.Command{Use: "fill-disk HOST", Short: "Fill the disk under a folder of a host"}
	cmd.Flags().StringVar(&path, "path", lab.RecordingsPath, "the `folder`")
	cmd.Flags().Int64Var(&free, "free", 0, "`bytes` to leave")
	return g.holding(cmd, func(host string) (fault.Fault, error) {
		return fault.FullDisk{Host: host, Path: path, Free: free}, nil
	})
}

func newFaultLock(g *globals) *cobra.Command {
	var locks []string
	cmd := &cobra.Command{Use: "apt-lock HOST", Short: "Hold apt's and dpkg's locks on a host"}
	cmd.Flags().StringSliceVar(&locks, "lock", nil, "lock `files` (default dpkg's two and that of apt's lists)")
	return g.holding(cmd, func(host string) (fault.Fault, error) {
		return fault.AptLock{Host: host, Locks: locks}, nil
	})
}

func newFaultKill(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "kill HOST PATTERN",
		Short: "Kill processes of a host by their command line",
		Args:  cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.onHost(cmd.Context(), args[0], func(ctx context.Context, l *lab.Lab) error {
				killed, err := fault.Kill(ctx, l, args[0], args[1])
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "killed %d\n", killed)
				return err
			})
		},
	}
}

func newFaultDpkg(g *globals) *cobra.Command {
	var pkg string
	cmd := &cobra.Command{
		Use:   "half-configured HOST",
		Short: "Leave a real package half-configured on a host; its end is the repair, by the product or by fault clear",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.onHost(cmd.Context(), args[0], func(ctx context.Context, l *lab.Lab) error {
				return fault.BrokenDpkg{Host: args[0], Package: pkg}.Begin(ctx, l)
			})
		},
	}
	cmd.Flags().StringVar(&pkg, "package", "", "a `package` of the world's mirror (default cron)")
	return cmd
}

func newFaultClear(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "clear [HOST...]",
		Short: "End every fault on hosts, on all of them and the world if none is named",
		RunE: func(cmd *cobra.Command, names []string) error {
			l, err := g.open()
			if err != nil {
				return err
			}
			if len(names) == 0 {
				hosts, err := l.Hosts()
				if err != nil {
					return err
				}
				names = []string{"world"}
				for _, h := range hosts {
					names = append(names, h.Name)
				}
			}
			return fault.Clear(cmd.Context(), l, names...)
		},
	}
}
