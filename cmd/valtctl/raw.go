package main

import (
	"io"
	"os"

	"golang.org/x/term"

	"ipivs.com/valtctl/repos/plain"
)

// raw are standard output and standard error without the filter. Only what is ours to the byte
// goes there: the agent's protocol, a script with its byte order mark, and what moves the cursor.
// Words that these hold go through package plain before. TestNothingGoesAroundTheFilter has the
// list of functions that may.
type raw struct{ out, err io.Writer }

// filter puts the filter before everything that is printed from now on, whoever prints it and
// wherever it is read. What it returns takes leave of it.
func (a *app) filter() func() {
	a.raw = raw{a.out, a.err}
	out, err := plain.NewWriter(a.out), plain.NewWriter(a.err)
	a.out, a.err = out, err
	return func() {
		_ = out.Flush() // whoever reads is gone then
		_ = err.Flush()
		a.out, a.err = a.raw.out, a.raw.err
	}
}

// screen is the terminal that standard error is, or nil.
func (a *app) screen() *os.File {
	if f, ok := a.raw.err.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return f
	}
	return nil
}
