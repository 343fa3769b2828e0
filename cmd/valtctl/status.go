package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"ipivs.com/valtctl/installer/keyuse"
	"ipivs.com/valtctl/installer/status"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater"
)

func (a *app) statusCommand() *cobra.Command {
	var drift bool
	cmd := &cobra.Command{
		Use: "status", Short: "Say what a person must do next, and what serves", Args: cobra.NoArgs,
		Long: `Say what a person must do next, then who changes the site, and what each server is: its release and
the one before, what it is at, its containers, whether it takes new sessions, and a pending reboot.

With --drift each server also compares itself with what its own release and the site file want of
it. Nothing is changed.

Exit code 3 if there is something to do.`,
		Example: "  valtctl status\n  valtctl status --drift --host media1",
		RunE: a.action([]string{"text", "json"}, func(ctx context.Context, _ []string) (report, error) {
			return a.status(ctx, drift)
		}),
	}
	cmd.Flags().BoolVar(&drift, "drift", false, "count the steps of its own release that would change something on each server")
	return cmd
}

// siteStatus is the result of status.
type siteStatus struct {
	Site    string          `json:"site"`
	Next    []problemJSON   `json:"next"` // what a person must do, most pressing first
	Lease   *leaseStatus    `json:"lease,omitempty"`
	Rollout *updater.Intent `json:"rollout,omitempty"` // one that is not over
	Hosts   []hostStatus    `json:"hosts"`
	// Replaced are servers that keep recordings, and that others have taken the place of.
	Replaced []status.Replaced `json:"replaced,omitempty"`
}

type leaseStatus struct {
	Who    string `json:"who,omitempty"` // empty: nobody holds it
	Run    string `json:"run,omitempty"`
	Left   int64  `json:"left"` // seconds until it expires unless it is renewed
	Broken string `json:"broken,omitempty"`
}

// hostStatus is one host in the result of status.
type hostStatus struct {
	Host           string            `json:"host"`
	Reached        bool              `json:"reached"`
	Release        string            `json:"release,omitempty"`
	Previous       string            `json:"previous,omitempty"`
	Roles          []string          `json:"roles,omitempty"`
	OS             string            `json:"os,omitempty"`
	Engine         string            `json:"engine,omitempty"`
	Containers     []containerStatus `json:"containers,omitempty"`
	GateClosed     bool              `json:"gate_closed,omitempty"`
	Reboot         bool              `json:"reboot_required,omitempty"`
	RebootPackages []string          `json:"reboot_packages,omitempty"`
	State          string            `json:"state,omitempty"` // of the transaction that says what it is at
	At             string            `json:"at,omitempty"`    // the same in words
	Transaction    *txn.Summary      `json:"transaction,omitempty"`
	Drift          *driftStatus      `json:"drift,omitempty"`
	KeyUses        []keyuse.Use      `json:"key_uses,omitempty"` // of unattended runs, newest first
	Needs          []problemJSON     `json:"needs"`
}

type containerStatus struct {
	Name   string `json:"name"`
	State  string `json:"state"`
	Health string `json:"health,omitempty"`
}

type driftStatus struct {
	Steps  int      `json:"steps"`
	Differ []string `json:"differ"`
	Error  string   `json:"error,omitempty"`
}

func (a *app) status(ctx context.Context, drift bool) (report, error) {
	base, err := a.quietOptions()
	if err != nil {
		return report{}, err
	}
	found, err := updater.Status(ctx, updater.Options{Options: base, Kinds: step.NewRegistry(stepKinds())}, drift)
	if found == nil {
		return report{}, err
	}
	needs := []error{err}
	for _, p := range found.Needs() {
		needs = append(needs, p)
	}
	st := statusOf(found)
	if len(base.Hosts) == 0 {
		st.Replaced = status.AskReplaced(ctx, base)
	}
	for _, r := range st.Replaced {
		if r.Need != nil {
			st.Next, needs = append(st.Next, problemList([]*problem.Error{r.Need})...), append(needs, r.Need)
		}
	}
	return text(st, func(w io.Writer) error { return writeStatus(w, st) }), errors.Join(needs...)
}

func statusOf(found *updater.SiteStatus) siteStatus {
	st := siteStatus{Site: found.Site, Next: problemList(found.Needs()), Rollout: found.Intent}
	if l := found.Lease; l != nil {
		st.Lease = &leaseStatus{Who: l.Who, Run: l.Run, Left: l.Left, Broken: l.Broken}
	}
	for _, h := range found.Hosts {
		st.Hosts = append(st.Hosts, statusOfHost(h))
	}
	for _, d := range found.Drift {
		for i := range st.Hosts {
			if st.Hosts[i].Host == d.Host {
				st.Hosts[i].Drift = driftOf(d)
			}
		}
	}
	return st
}

func driftOf(d updater.HostDrift) *driftStatus {
	st := &driftStatus{Steps: d.Steps, Differ: append([]string{}, d.Differ...)}
	if d.Err != nil {
		st.Error = d.Err.Error()
	}
	return st
}

func statusOfHost(h status.Host) hostStatus {
	st := hostStatus{Host: h.Host, Reached: h.Err == nil, Needs: problemList(h.Needs())}
	if h.Err != nil {
		return st
	}
	f := h.Facts
	st.OS, st.Reboot, st.RebootPackages, st.GateClosed = f.OS.Pretty, f.RebootRequired, f.RebootPackages, f.GateClosed
	if f.Installed != nil {
		st.Release, st.Previous, st.Roles = f.Installed.Release, f.Installed.Previous, f.Installed.Roles
	}
	if h.KeyUse != nil {
		st.KeyUses = h.KeyUse.Uses
	}
	if st.Transaction = h.Current(); st.Transaction != nil {
		st.State, st.At = string(st.Transaction.State), st.Transaction.Words()
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
