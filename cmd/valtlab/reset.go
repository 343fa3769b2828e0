package main

import (
	"errors"

	"github.com/spf13/cobra"
)

func newReset(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "reset [HOST...]",
		Short: "Make hosts bare again, all of them if none is named",
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
				if len(hosts) == 0 {
					return errors.New("there are no hosts: the lab is not up (valtlab up)")
				}
				for _, h := range hosts {
					names = append(names, h.Name)
				}
			}
			return l.Reset(cmd.Context(), names...)
		},
	}
}
