package reliability

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"ipivs.com/valtctl/repos/durable"
)

// Shown is what the last whole runs showed. It is kept in testdata/shown.json.
type Shown struct {
	Scenarios map[string]Passed `json:"scenarios"`
	Tests     map[string]Tried  `json:"tests"` // by "package Name"
	// Mistakes are of the last whole run of the table, by table; "" is all of them.
	Mistakes map[string]Noticed `json:"mistakes,omitempty"`
}

// Noticed is how many mistakes a table had, and how many of them tests noticed.
type Noticed struct {
	Noticed int    `json:"noticed"`
	Of      int    `json:"of"`
	On      string `json:"on"`
}

// Passed is a scenario that passed whole.
type Passed struct {
	Seed uint64 `json:"seed"`
	On   string `json:"on"` // a day, as 2006-01-02
}

// Tried is a test that passed, and how often it tried what it promises.
type Tried struct {
	Times int    `json:"times"`
	What  string `json:"what"`
	On    string `json:"on"`
}

func (in Inputs) shownFile() string { return filepath.Join(in.Root, "testdata", "shown.json") }

// shown reads what was kept; nothing yet is no error.
func (in Inputs) shown() (Shown, error) {
	s := Shown{Scenarios: map[string]Passed{}, Tests: map[string]Tried{}}
	text, err := os.ReadFile(in.shownFile())
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return s, fmt.Errorf("reading what whole runs showed: %w", err)
	}
	return s, nil
}

// Keep takes over what a campaign showed: its file of what passed, and the tests' file of what
// they counted (VALTCTL_TEST_COUNTS). Either may not be there. A campaign of samples shows nothing.
// With mistakes the whole table has just been run, and what survives is what is known to.
func (in Inputs) Keep(campaign, counts string, mistakes bool, now time.Time) error {
	s, err := in.shown()
	if err != nil {
		return err
	}
	today := now.UTC().Format(time.DateOnly)
	if err := errors.Join(s.takeScenarios(campaign, today), s.takeTests(counts, today)); err != nil {
		return err
	}
	if mistakes {
		if s.Mistakes, err = in.mistakes(today); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("keeping what whole runs showed: %w", err)
	}
	return durable.WriteFile(in.shownFile(), append(text, '\n'), 0o644)
}

func (s Shown) takeScenarios(file, today string) error {
	var c struct {
		Seed   uint64   `json:"seed"`
		Sample bool     `json:"sample"`
		Passed []string `json:"passed"`
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err != nil {
		return fmt.Errorf("reading what a campaign showed: %w", err)
	}
	for _, name := range c.Passed {
		if before := s.Scenarios[name]; !c.Sample && before.Seed != c.Seed {
			s.Scenarios[name] = Passed{c.Seed, today}
		}
	}
	return nil
}

func (s Shown) takeTests(file, today string) error {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading what tests counted: %w", err)
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		var c struct { // as testdraw.Tried writes it
			Dir, Test, What string
			Times           int
		}
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return fmt.Errorf("reading what tests counted: %w", err)
		}
		s.Tests[c.Dir+" "+c.Test] = Tried{c.Times, c.What, today}
	}
	return lines.Err()
}
