package system

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

// The time services that a release may name.
const (
	Timesyncd = "systemd-timesyncd"
	Chrony    = "chrony"
)

// ClockParams is which service keeps the clock, and from which servers. Without
// servers the service asks those that the distribution set.
type ClockParams struct {
	Servers []string `json:"servers,omitempty"`
	Service string   `json:"service"` // systemd-timesyncd or chrony
}

// KindClock names what ClockKind makes.
const KindClock step.KindName = "clock"

// ClockKind sets a time service's servers and has it run. In a container, whose clock
// is its host's, the service is set and enabled but not expected to run.
func ClockKind() step.Kind {
	return step.KindOf(KindClock, step.Reversible, func(p ClockParams) (step.Step, error) { return newClock(p) })
}

type clock struct {
	unit    string
	path    string // of our file
	content []byte // nil: the distribution's servers
	wants   string // link that says that the unit is enabled
}

func newClock(p ClockParams) (*clock, error) {
	for _, server := range p.Servers {
		if server == "" || strings.ContainsFunc(server, func(r rune) bool { return r <= ' ' || strings.ContainsRune("#!;%[]=", r) }) {
			return nil, fmt.Errorf("reading the time servers: %q is neither an address nor a name", server)
		}
	}
	c := &clock{unit: p.Service + ".service"}
	switch p.Service {
	case Timesyncd:
		c.path = "/etc/systemd/timesyncd.conf.d/valtctl.conf"
		c.wants = path.Join(unitFolder, "sysinit.target.wants", c.unit)
	case Chrony:
		c.path = "/etc/chrony/sources.d/valtctl.sources"
		c.wants = path.Join(unitFolder, "multi-user.target.wants", c.unit)
	default:
		return nil, fmt.Errorf("reading the time service: %q is neither %s nor %s", p.Service, Timesyncd, Chrony)
	}
	if len(p.Servers) > 0 {
		c.content = clockConfig(p)
	}
	return c, nil
}

// clockConfig is the service's own file. timesyncd adds up NTP= lines unless an empty one
// comes before, and would ask the distribution's servers when the site's are silent
// (timesyncd.conf(5)); chrony reads one server a line (chrony.conf(5), sourcedir).
func clockConfig(p ClockParams) []byte {
	var out strings.Builder
	out.WriteString("# Written by valtctl from the site file.\n")
	if p.Service == Timesyncd {
		fmt.Fprintf(&out, "[Time]\nNTP=\nNTP=%s\nFallbackNTP=\n", strings.Join(p.Servers, " "))
		return []byte(out.String())
	}
	for _, server := range p.Servers {
		fmt.Fprintf(&out, "server %s iburst\n", server)
	}
	return []byte(out.String())
}

func (c *clock) Inspect(_ context.Context, h *step.Machine) (step.Finding, error) {
	was, err := step.ReadIfThere(h.Path(c.path))
	if err != nil {
		return step.Finding{}, err
	}
	var diff strings.Builder
	switch {
	case c.content == nil && was != nil:
		fmt.Fprintf(&diff, "- %s\n", c.path)
	case !bytes.Equal(was, c.content):
		diff.WriteString(step.TextDiff(c.path, was, c.content))
	}
	if _, err := os.Lstat(h.Path(c.wants)); errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintf(&diff, "+ %s enabled\n", c.unit)
	} else if err != nil {
		return step.Finding{}, fmt.Errorf("looking whether %s is enabled: %w", c.unit, err)
	}
	var notes []string
	switch current, err := c.current(h); {
	case err != nil:
		return step.Finding{}, err
	case inContainer(h):
		notes = []string{"this host is a container: its clock is the one of the machine below it, and " + c.unit + " does not run"}
	case !current:
		fmt.Fprintf(&diff, "+ %s started with its present settings\n", c.unit)
	}
	return step.Finding{Change: diff.Len() > 0, Diff: diff.String(), Disrupts: step.Nothing, Notes: notes}, nil
}

// current says whether the service runs and was started after its settings were
// written. systemd keeps a link for every unit that is active and removes it
// when it ends; the link is as old as the start.
func (c *clock) current(h *step.Machine) (bool, error) {
	started, err := os.Lstat(h.Path("/run/systemd/units/invocation:" + c.unit))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking whether %s runs: %w", c.unit, err)
	}
	set, err := os.Stat(h.Path(c.path))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking at %s: %w", c.path, err)
	}
	return !set.ModTime().After(started.ModTime()), nil
}

// inContainer goes by what systemd wrote when it started as process 1.
func inContainer(h *step.Machine) bool {
	_, err := os.Stat(h.Path("/run/systemd/container"))
	return err == nil
}

func (c *clock) Apply(ctx context.Context, h *step.Machine) error {
	if err := c.write(h); err != nil {
		return err
	}
	for _, args := range [][]string{{"enable", c.unit}, {"restart", c.unit}} {
		if err := step.Systemctl(ctx, h, args); err != nil {
			return &problem.Error{Doing: "setting", Object: "the clock", Err: err,
				Fix: "See whether the unit is masked or its package missing: systemctl status " + c.unit}
		}
	}
	return nil
}

// Undo puts back the time servers.
func (c *clock) Undo(ctx context.Context, h *step.Machine) error {
	any, err := step.PutBack(h)
	if err != nil || !any {
		return err
	}
	return step.Systemctl(ctx, h, []string{"restart", c.unit})
}

// write writes or removes our file; what is already right keeps its time.
func (c *clock) write(h *step.Machine) error {
	was, err := step.ReadIfThere(h.Path(c.path))
	if err != nil || bytes.Equal(was, c.content) && (was == nil) == (c.content == nil) {
		return err
	}
	if c.content == nil {
		return step.RemoveFile(h, c.path)
	}
	return step.WriteFile(h, c.path, c.content, step.Owner{Mode: 0o644})
}
