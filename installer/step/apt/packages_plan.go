package apt

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"ipivs.com/valtctl/repos/apt"
	"ipivs.com/valtctl/repos/problem"
)

// change is one line of a simulated apt run. New is empty for a removal, Old for what
// was not there.
type change struct {
	name string // with :arch where apt writes it
	old  string
	new  string
	arch string
}

// simulated is apt-get's line for one change (apt-pkg/algorithms.cc, pkgSimulate):
// "Inst name [old] (new origin [arch])", "Remv name [old]".
var simulated = regexp.MustCompile(`^(Inst|Remv|Purg) (\S+)(?: \[([^\] ]*)\])?(?: \((\S+) .*?\[([a-z0-9-]+)\]\))?`)

// parseSimulation reads what apt-get -s prints.
func parseSimulation(out []byte) ([]change, error) {
	var changes []change
	for line := range strings.Lines(string(out)) {
		m := simulated.FindStringSubmatch(line)
		switch {
		case m == nil && (strings.HasPrefix(line, "Inst ") || strings.HasPrefix(line, "Remv ") || strings.HasPrefix(line, "Purg ")),
			m != nil && m[1] == "Inst" && (m[4] == "" || m[5] == ""):
			return nil, fmt.Errorf("reading apt's simulation: %q is not understood", strings.TrimSpace(line))
		case m == nil:
			continue
		}
		changes = append(changes, change{name: bareName(m[2]), old: m[3], new: m[4], arch: m[5]})
	}
	return changes, nil
}

func bareName(name string) string {
	bare, _, _ := strings.Cut(name, ":")
	return bare
}

// simulate asks apt what it would do. It changes nothing and takes no lock.
func (t *transaction) simulate(ctx context.Context, args []string) ([]change, error) {
	out, err := t.ask(ctx, aptGet(append([]string{"-s"}, args...)...))
	if err != nil {
		return nil, aptError("planning", "apt-get "+strings.Join(args, " "), out, err)
	}
	return parseSimulation(out.Stdout)
}

// judge refuses a plan that does what nobody asked for, and tells all of it at once.
func (p *packages) judge(ctx context.Context, t *transaction, state *dpkgState, changes []change) error {
	essential, err := t.essential(ctx, removals(changes))
	if err != nil {
		return err
	}
	runs := engineRuns(t.h)
	var wrong []error
	for _, c := range changes {
		switch {
		case c.new == "" && slices.Contains(essential, c.name):
			wrong = append(wrong, fmt.Errorf("it would remove %s, which is essential", c.name))
		case state.held(c.name):
			wrong = append(wrong, fmt.Errorf("it would change %s, which is held (apt-mark unhold %s allows it)", c.name, c.name))
		case c.new == "" && !slices.Contains(p.AllowRemoval, c.name):
			wrong = append(wrong, fmt.Errorf("it would remove %s %s", c.name, c.old))
		case c.new != "" && older(c.new, c.old) && !p.mayGoBack(c):
			wrong = append(wrong, fmt.Errorf("it would take %s back from %s to %s", c.name, c.old, c.new))
		case runs && !p.Engine && slices.Contains(enginePackages(), c.name):
			wrong = append(wrong, fmt.Errorf("it would change %s, which the running Docker engine needs", c.name))
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return &problem.Error{Doing: "judging", Object: "apt's plan", Err: errors.Join(wrong...),
		Fix: "Nothing was changed. Settle what stands in the way on the host, then run valtctl resume."}
}

// mayGoBack says whether a package may become this older version: it is asked for by name.
func (p *packages) mayGoBack(c change) bool {
	return p.Downgrade && slices.Contains(p.Packages, PackageWanted{Name: c.name, Version: c.new})
}

// older says whether a replaces a newer b. What cannot be compared counts as older.
func older(a, b string) bool {
	if b == "" {
		return false
	}
	order, err := apt.CompareVersions(a, b)
	return err != nil || order < 0
}

func removals(changes []change) []string {
	var names []string
	for _, c := range changes {
		if c.new == "" {
			names = append(names, c.name)
		}
	}
	return names
}

// essential lists those of the names that dpkg says the system cannot do without.
func (t *transaction) essential(ctx context.Context, names []string) ([]string, error) {
	if len(names) == 0 {
		return nil, nil
	}
	argv := append([]string{"dpkg-query", "-W", "-f", "${Package} ${Essential} ${Protected}\n"}, names...)
	out, err := t.ask(ctx, argv)
	if err != nil {
		return nil, fmt.Errorf("asking which packages are essential: %w", err)
	}
	var essential []string
	for line := range strings.Lines(string(out.Stdout)) {
		if words := strings.Fields(line); len(words) > 1 && slices.Contains(words[1:], "yes") {
			essential = append(essential, words[0])
		}
	}
	return essential, nil
}

// frozen is a judged plan with every package pinned to one file.
type frozen struct {
	packages []apt.Package
	remove   []string
}

// args is the plan as apt-get's arguments: exact versions, exact removals.
func (f frozen) args() []string {
	var args []string
	for _, p := range f.packages {
		args = append(args, p.Key())
	}
	for _, name := range f.remove {
		args = append(args, name+"-")
	}
	return args
}

// freeze finds the file of every package of the plan with its SHA-256, as the signed
// lists give it.
func (t *transaction) freeze(ctx context.Context, changes []change) (frozen, error) {
	f := frozen{remove: removals(changes)}
	var keys []string
	for _, c := range changes {
		if c.new != "" {
			keys = append(keys, fmt.Sprintf("%s:%s=%s", c.name, c.arch, c.new))
		}
	}
	if len(keys) == 0 {
		return f, nil
	}
	out, err := t.ask(ctx, append([]string{"apt-cache", "show"}, keys...))
	if err != nil {
		return frozen{}, aptError("freezing", "apt's plan", out, err)
	}
	known, err := apt.ReadPackages(bytes.NewReader(out.Stdout))
	if err != nil {
		return frozen{}, fmt.Errorf("freezing apt's plan: %w", err)
	}
	for _, key := range keys {
		i := slices.IndexFunc(known, func(p apt.Package) bool { return p.Key() == key })
		if i < 0 {
			return frozen{}, fmt.Errorf("freezing apt's plan: no list tells the file of %s", key)
		}
		f.packages = append(f.packages, known[i])
	}
	return f, nil
}
