package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/ubuntu"
)

func newHost(g *globals) *cobra.Command {
	cmd := &cobra.Command{Use: "host", Short: "Add or remove further hosts, odd ones included"}
	cmd.AddCommand(newHostAdd(g), newHostRemove(g))
	return cmd
}

func newHostAdd(g *globals) *cobra.Command {
	var h lab.Host
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a bare host and print its entry for a site file",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			l, err := g.open()
			if err != nil {
				return err
			}
			h.Name = args[0]
			added, err := l.AddHost(cmd.Context(), h)
			if err != nil {
				return err
			}
			fragment, err := l.Fragment(added)
			if err != nil {
				return err
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), fragment)
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&h.Roles, "role", nil, "`role` in the printed entry: app or media, or both")
	flags.StringVar(&h.SSHD, "sshd", lab.OpenSSH, "SSH `server`: openssh or dropbear (no sftp-server)")
	flags.IntVar(&h.Port, "port", 22, "`port` of the SSH server")
	flags.StringVar(&h.User, "user", lab.DefaultUser, "who logs in; root is one")
	flags.StringVar(&h.Sudo, "sudo", lab.SudoNopasswd, "what sudo `asks`: none (no sudo), password or nopasswd")
	flags.BoolVar(&h.Hardened, "hardened", false, "no TCP forwarding, one session a connection, sudo use_pty, keyboard-interactive logins")
	flags.BoolVar(&h.Noexec, "noexec", false, "nothing runs from /tmp, /home and /dev/shm")
	flags.BoolVar(&h.NoisyShell, "noisy-shell", false, "login shells print")
	flags.StringVar(&h.Ubuntu, "ubuntu", "", "the `release` that it bears: "+strings.Join(ubuntu.Versions(), ", ")+" (default: as the lab's hosts of its roles)")
	flags.StringVar(&h.Suite, "suite", "", "the Debian `suite` of its parts, where several stand for the release: trixie or forky for 26.04 (default: the lab's)")
	flags.StringVar(&h.ImageStore, "image-store", "", "where its Docker engine `keeps` images: graphdriver or containerd (default: as the lab's hosts of its Ubuntu)")
	flags.StringVar(&h.Behind, "behind", "", "the `host` that is the only way in")
	return cmd
}

func newHostRemove(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "rm NAME...",
		Short: "Remove hosts that were added",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, names []string) error {
			l, err := g.open()
			if err != nil {
				return err
			}
			return l.RemoveHosts(cmd.Context(), names...)
		},
	}
}
