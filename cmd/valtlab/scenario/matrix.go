package scenario

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/ubuntu"
)

// Cells are all that a whole site may bear: each Ubuntu, what it may be made of, and both image stores.
func Cells() []lab.Bears {
	var cells []lab.Bears
	for _, r := range ubuntu.Releases() {
		for _, store := range []string{lab.GraphDriver, lab.Containerd} {
			if r.Moves && store == lab.GraphDriver { // the same engine's other store is looked at with the stable suite
				continue
			}
			b := lab.Bears{Ubuntu: r.Version, ImageStore: store}
			if r.Version == ubuntu.Newest {
				b.Suite = r.Suite
			}
			cells = append(cells, b)
		}
	}
	return cells
}

// ChooseCells are the cells that any of the texts names by the words of its short name; without a text, all.
func ChooseCells(texts []string) ([]lab.Bears, error) {
	if len(texts) == 0 {
		return Cells(), nil
	}
	var chosen []lab.Bears
	for _, text := range texts {
		found := slices.DeleteFunc(Cells(), func(b lab.Bears) bool {
			words := strings.Fields(short(b))
			return slices.ContainsFunc(strings.Fields(text), func(w string) bool { return !slices.Contains(words, w) })
		})
		if len(found) == 0 {
			return nil, fmt.Errorf("no cell of the matrix is %q: there are %s", text, strings.Join(shorts(Cells()), ", "))
		}
		chosen = append(chosen, found...)
	}
	return slices.CompactFunc(chosen, func(a, b lab.Bears) bool { return a == b }), nil
}

func shorts(cells []lab.Bears) []string {
	var names []string
	for _, b := range cells {
		names = append(names, short(b))
	}
	return names
}

// EveryCell are the names of the scenarios that are run on every cell. A site is installed in the first of them.
func EveryCell() []string {
	return []string{"install-twice", "rolling", "update-kill-anywhere", "offline", "guided", "restricted-key"}
}

// Matrix runs the same scenarios on sites that bear one thing after another.
type Matrix struct {
	Cells []lab.Bears
	Names []string
	// Suite makes the scenarios anew for each cell: they keep what they found out about one.
	Suite func() Suite
	// Raise brings the lab up so that all of its hosts bear the cell.
	Raise func(context.Context, lab.Bears) error
	// Campaign is what to run a cell's scenarios as, by the cell's name in a file's.
	Campaign func(cell string) Campaign
}

// verdicts of a cell, by a scenario's name.
const (
	verdictPass = "PASS"
	verdictFail = "FAIL"
	verdictLeft = "left out"
)

// Run runs all cells, prints a table of the verdicts and tells whether all passed. A cell whose suite moves and
// cannot be built today is said and left out. Any other that cannot be brought up has failed, and the rest go on.
func (m Matrix) Run(ctx context.Context, l *lab.Lab, o Options) (bool, error) {
	passed, table := true, make([][]string, len(m.Cells))
	for i, cell := range m.Cells {
		fmt.Fprintf(o.Out, "== %s ==\n", cell)
		err := m.Raise(ctx, cell)
		var moved *lab.NotBuiltError
		switch {
		case ctx.Err() != nil:
			return false, interrupted(ctx)
		case errors.As(err, &moved):
			fmt.Fprintf(o.Out, "LEFT OUT %s: %v\n", cell, oneLine(err))
			table[i] = slices.Repeat([]string{verdictLeft}, len(m.Names))
			continue
		case err != nil:
			fmt.Fprintf(o.Out, "FAIL %s: the lab does not come up: %v\n", cell, oneLine(err))
			table[i], passed = slices.Repeat([]string{verdictFail}, len(m.Names)), false
			continue
		}
		verdicts, err := m.cell(ctx, cell, l, o)
		if err != nil {
			return false, err
		}
		table[i], passed = verdicts, passed && !slices.Contains(verdicts, verdictFail)
	}
	return passed, m.print(o.Out, table)
}

// cell runs the scenarios on what is up, and returns the verdicts in the order of Names.
func (m Matrix) cell(ctx context.Context, cell lab.Bears, l *lab.Lab, o Options) ([]string, error) {
	suite, verdicts := m.Suite(), slices.Repeat([]string{verdictPass}, len(m.Names))
	var chosen []Scenario
	for i, name := range m.Names {
		s, err := Find(suite.Scenarios, name)
		if err != nil {
			return nil, err
		}
		run := s.Run
		s.Run = func(ctx context.Context, e *Env) error {
			err := run(ctx, e)
			if err != nil {
				verdicts[i] = verdictFail
			}
			return err
		}
		chosen = append(chosen, s)
	}
	campaign := m.Campaign(strings.NewReplacer("/", "-", " ", "-").Replace(short(cell)))
	campaign.Leave = suite.Leave
	_, err := campaign.Run(ctx, chosen, l, o)
	return verdicts, err
}

// short names a cell in a table's head and in a file's name.
func short(b lab.Bears) string {
	words := []string{b.Ubuntu}
	if b.Suite != "" {
		words = append(words, b.Suite)
	}
	return strings.Join(append(words, b.ImageStore), " ")
}

func (m Matrix) print(out io.Writer, verdicts [][]string) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "\t%s\n", strings.Join(m.Names, "\t"))
	for i, cell := range m.Cells {
		fmt.Fprintf(table, "%s\t%s\n", short(cell), strings.Join(verdicts[i], "\t"))
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing the verdicts: %w", err)
	}
	return nil
}
