package mutants

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"ipivs.com/valtctl/repos/durable"
)

// memory is what became of mutants in earlier runs. A verdict counts for the same mistake
// in the same files: those of the module that its tests are compiled of or that lie in
// testdata, and go.mod.
type memory struct {
	file string
	keys map[Tests]string // what tests are made of

	mu       sync.Mutex
	verdicts map[string]Verdict // by key
}

// remember reads what is known; a file that is not there is nothing. No file keeps nothing.
func remember(file string) (*memory, error) {
	m := &memory{file: file, keys: map[Tests]string{}, verdicts: map[string]Verdict{}}
	if file == "" {
		return m, nil
	}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &m.verdicts)
	}
	if err != nil {
		return nil, fmt.Errorf("reading what became of mutants before: %w", err)
	}
	return m, nil
}

// look finds out what the tests are made of.
func (m *memory) look(root string, wanted []Tests) error {
	if m.file == "" {
		return nil
	}
	sums := map[string][]byte{}
	for _, t := range wanted {
		files, err := madeOf(root, t.Dir)
		if err != nil {
			return err
		}
		all := sha256.New()
		for _, file := range files {
			if sums[file] == nil {
				text, err := os.ReadFile(file)
				if err != nil {
					return fmt.Errorf("reading what tests are made of: %w", err)
				}
				sum := sha256.Sum256(text)
				sums[file] = sum[:]
			}
			fmt.Fprintf(all, "%s %x\n", file, sums[file])
		}
		m.keys[t] = hex.EncodeToString(all.Sum(nil))
	}
	return nil
}

// madeOf lists the files that the tests of a package are compiled of, and what lies beside
// them for them to read.
func madeOf(root, dir string) ([]string, error) {
	list := exec.Command("go", "list", "-test", "-deps", "-f",
		`{{if .Module}}{{if .Module.Main}}{{$d := .Dir}}{{range .GoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{range .EmbedFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{end}}{{end}}`, "./"+dir)
	list.Dir = root
	var said bytes.Buffer
	list.Stderr = &said
	out, err := list.Output()
	if err != nil {
		return nil, fmt.Errorf("listing what the tests of %s are made of: %w: %s", dir, err, tail(said.Bytes()))
	}
	files := []string{filepath.Join(root, "go.mod")}
	for name := range strings.FieldsSeq(string(out)) {
		if !strings.Contains(name, "//") { // not the test's main, which is made anew each time and has a path of its own
			files = append(files, name)
		}
	}
	for _, beside := range []string{filepath.Join(root, "testdata"), filepath.Join(root, dir, "testdata")} {
		err := filepath.WalkDir(beside, func(name string, e fs.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() && !strings.Contains(name, "/testdata/mutants/") {
				files = append(files, name)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("listing what the tests of %s read: %w", dir, err)
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// key is what a verdict about a mutant goes by.
func (m *memory) key(o outcome) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%q %q %q %q %q", o.mutant.Name, o.mutant.Dir, o.mutant.At, o.mutant.Old, o.mutant.New)
	for _, t := range o.mutant.Tests {
		fmt.Fprintf(sum, " %q %q %s", t.Dir, t.Run, m.keys[t])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// before is what became of a mutant in an earlier run; empty: nothing that still counts.
func (m *memory) before(o outcome) Verdict {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.verdicts[m.key(o)]
}

// keep notes what became of a mutant, so that a run that is stopped can go on.
func (m *memory) keep(o outcome) error {
	if m.file == "" || o.verdict == Invalid {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.verdicts[m.key(o)] = o.verdict
	text, err := json.Marshal(m.verdicts)
	if err != nil {
		return fmt.Errorf("writing what became of mutants: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(m.file), 0o755); err != nil {
		return fmt.Errorf("writing what became of mutants: %w", err)
	}
	return durable.WriteFile(m.file, text, 0o644)
}
