package mutants

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// tell prints one mutant once it is over.
func (r *run) tell(o outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done++
	fmt.Fprintf(r.Out, "[%d/%d] %-8s  %5.1fs  %s  %s\n", r.done, r.total, o.verdict, o.took.Seconds(), r.position(o), o.mutant.Name)
}

// position is the file and line of a mutant, or of its entry where it stands nowhere.
func (r *run) position(o outcome) string {
	if o.place.File == "" {
		return o.mutant.Where
	}
	file, err := filepath.Rel(r.Root, o.place.File)
	if err != nil {
		file = o.place.File
	}
	return fmt.Sprintf("%s:%d", filepath.ToSlash(file), o.place.Line)
}

// count is how many mutants of a package came to what.
type count struct{ killed, timeout, survived, invalid int }

func (c *count) add(v Verdict) {
	switch v {
	case Killed:
		c.killed++
	case TimedOut:
		c.timeout++
	case Survived:
		c.survived++
	default:
		c.invalid++
	}
}

// report prints the table and the survivors.
func (r *run) report(all []outcome, took time.Duration) {
	by := map[string]*count{}
	var dirs []string
	var sum count
	for _, o := range all {
		if by[o.mutant.Dir] == nil {
			by[o.mutant.Dir] = &count{}
			dirs = append(dirs, o.mutant.Dir)
		}
		by[o.mutant.Dir].add(o.verdict)
		sum.add(o.verdict)
	}
	slices.Sort(dirs)
	fmt.Fprintf(r.Out, "\n%-24s %7s %7s %7s %9s %8s\n", "package", "mutants", "killed", "timeout", "survived", "invalid")
	line := func(name string, c count) {
		fmt.Fprintf(r.Out, "%-24s %7d %7d %7d %9d %8d\n", name, c.killed+c.timeout+c.survived+c.invalid, c.killed, c.timeout, c.survived, c.invalid)
	}
	for _, dir := range dirs {
		line(dir, *by[dir])
	}
	line("all", sum)
	r.survivors(all)
	fmt.Fprintf(r.Out, "\n%d mutants in %s\n", len(all), took.Round(time.Second))
}

// survivors prints where no test notices.
func (r *run) survivors(all []outcome) {
	left := slices.DeleteFunc(slices.Clone(all), func(o outcome) bool { return o.verdict != Survived })
	if len(left) == 0 {
		return
	}
	slices.SortFunc(left, func(a, b outcome) int {
		return cmp.Or(cmp.Compare(a.place.File, b.place.File), cmp.Compare(a.place.Line, b.place.Line))
	})
	fmt.Fprintf(r.Out, "\nNo test notices:\n")
	for _, o := range left {
		fmt.Fprintf(r.Out, "  %s  %s\n", r.position(o), o.mutant.Name)
	}
}

// verdict is the error of a run: a promise that tests kept and keep no more, a known
// survivor that is none any more, and entries that are none.
func (r *run) verdict(all []outcome, known []string) error {
	var errs []error
	for _, o := range all {
		listed := slices.Contains(known, o.mutant.Name)
		switch {
		case o.verdict == Invalid:
			errs = append(errs, fmt.Errorf("%s: %q is no mutant: %s", o.mutant.Where, o.mutant.Name, o.said))
		case o.verdict == Survived && !listed:
			errs = append(errs, fmt.Errorf("%s: no test notices any more that this is broken: %q", r.position(o), o.mutant.Name))
		case o.verdict.noticed() && listed:
			errs = append(errs, fmt.Errorf("%s: tests notice %q now: take it out of survivors.txt", r.position(o), o.mutant.Name))
		}
	}
	return errors.Join(errs...)
}

// keep writes down what survived, beside what was not tried, and returns all of it. Comments
// stay in front.
func keep(file string, all []outcome) ([]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the known survivors: %w", err)
	}
	var comments, names []string
	for line := range strings.Lines(string(text)) {
		switch line = strings.TrimSpace(line); {
		case strings.HasPrefix(line, "#"):
			comments = append(comments, line)
		case line != "" && !slices.ContainsFunc(all, func(o outcome) bool { return o.mutant.Name == line }):
			names = append(names, line)
		}
	}
	for _, o := range all {
		if o.verdict == Survived {
			names = append(names, o.mutant.Name)
		}
	}
	whole := strings.Join(slices.Concat(comments, names), "\n") + "\n"
	if err := os.WriteFile(file, []byte(whole), 0o644); err != nil {
		return nil, fmt.Errorf("writing the known survivors: %w", err)
	}
	return names, nil
}
