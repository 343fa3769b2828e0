// Package program runs programs of this machine so that a failure says what the program
// said last: most tell their cause in their last lines, after hundreds that matter to
// nobody. It does not choose programs and understands nothing of what they say.
package program

import (
	"bytes"
	"fmt"
	"os/exec"
	"path/filepath"
)

// Lines of a program, and bytes of each, that an error holds at most.
const (
	maxLines = 15
	maxLine  = 500
)

// Run runs the command to its end. What it writes to standard error, and to standard output
// unless that goes somewhere, is kept back; an error names the program, says how it
// ended and what it said last.
func Run(cmd *exec.Cmd) error {
	var said tail
	if cmd.Stdout == nil {
		cmd.Stdout = &said
	}
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("running %s: %w; it said last:\n%s", filepath.Base(cmd.Args[0]), err, LastLines(said.bytes()))
	}
	return nil
}

// LastLines are the last lines of a text, indented.
func LastLines(text []byte) string {
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	var out bytes.Buffer
	for _, line := range lines[max(0, len(lines)-maxLines):] {
		if len(line) > maxLine {
			line = append(bytes.Clone(line[:maxLine]), "…"...)
		}
		fmt.Fprintf(&out, "  %s\n", bytes.TrimRight(line, "\r "))
	}
	if len(lines) == 1 && len(lines[0]) == 0 {
		return "  (nothing)"
	}
	return string(bytes.TrimRight(out.Bytes(), "\n"))
}

// tail keeps the end of what is written to it.
type tail struct{ kept []byte }

// tailLength holds maxLines of usual length many times over.
const tailLength = 64 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*tailLength {
		t.kept = bytes.Clone(t.kept[len(t.kept)-tailLength:])
	}
	return len(p), nil
}

func (t *tail) bytes() []byte { return t.kept[max(0, len(t.kept)-tailLength):] }
