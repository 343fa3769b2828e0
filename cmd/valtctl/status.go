package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer"
)

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Say what serves, and what a person must do next", Args: cobra.NoArgs,
		Long: "Say what serves on each server, and first what a person must do next.\nExit code 3 if there is something to do.",
		RunE: a.action([]string{"text", "json"}, a.status),
	}
}

// hostStatus is one host in the result of status.
type hostStatus struct {
	Host       string            `json:"host"`
	Reached    bool              `json:"reached"`
	Release    string            `json:"release,omitempty"`
	Roles      []string          `json:"roles,omitempty"`
	OS         string            `json:"os,omitempty"`
	Engine     string            `json:"engine,omitempty"`
	Containers []containerStatus `json:"containers,omitempty"`
	Reboot     bool              `json:"reboot_required,omitempty"`
	Needs      []problemJSON     `json:"needs"`
}

type containerStatus struct {
	Name   string `json:"name"`
	State  string `json:"state"`
	Health string `json:"health,omitempty"`
}

func (a *app) status(ctx context.Context, _ []string) (report, error) {
	s, err := a.loadSite()
	if err != nil {
		return report{}, err
	}
	o, err := a.runOptions(s, installer.Silent{})
	if err != nil {
		return report{}, err
	}
	hosts, err := installer.Gather(ctx, o, false)
	if hosts == nil {
		return report{}, err
	}
	var all []hostStatus
	var needs []error
	for _, h := range hosts {
		all = append(all, statusOf(h))
		for _, p := range h.Needs() {
			needs = append(needs, p)
		}
	}
	return text(all, func(w io.Writer) error { return writeStatus(w, all) }), errors.Join(needs...)
}

func statusOf(h installer.HostFacts) hostStatus {
	st := hostStatus{Host: h.Host, Reached: h.Err == nil, Needs: problemList(h.Needs())}
	if h.Err != nil {
		return st
	}
	f := h.Facts
	st.OS, st.Reboot = f.OS.Pretty, f.RebootRequired
	if f.Installed != nil {
		st.Release, st.Roles = f.Installed.Release, f.Installed.Roles
	}
	if f.Engine == nil {
		return st
	}
	st.Engine = f.Engine.Version
	for _, c := range f.Engine.Containers {
		st.Containers = append(st.Containers, containerStatus{c.Name, c.State, c.Health})
	}
	return st
}

func writeStatus(w io.Writer, all []hostStatus) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	p := &printer{w: t}
	p.printf("HOST\tRELEASE\tROLES\tCONTAINERS\tENGINE\tSYSTEM\n")
	for _, h := range all {
		if !h.Reached {
			p.printf("%s\tnot reached\n", h.Host)
			continue
		}
		p.printf("%s\t%s\t%s\t%s\t%s\t%s\n", h.Host, orDash(h.Release), orDash(joinWords(h.Roles)), containersText(h.Containers), orDash(h.Engine), h.OS)
	}
	if p.err != nil {
		return p.err
	}
	if err := t.Flush(); err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

func containersText(all []containerStatus) string {
	running := 0
	for _, c := range all {
		if c.State == "running" && c.Health != "unhealthy" {
			running++
		}
	}
	return fmt.Sprintf("%d of %d serve", running, len(all))
}
