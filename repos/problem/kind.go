package problem

import (
	"encoding/json"
	"fmt"
	"slices"
)

// Kind groups problems by what the caller of the program should conclude. In memory it is
// a number, whose zero is Failed; wherever it is kept or sent it is its name, so that a
// kind which is added or moved changes nothing that was written before.
type Kind int

// The kinds. What each means to a caller stands in the table.
const (
	Failed      Kind = iota // the work itself failed
	Input                   // bad usage or input
	Check                   // a check or pre-check failed, or drift
	Halted                  // a rollout halted or a host was skipped
	Locked                  // another run holds the site or the host
	Trust                   // a signature, host key or digest is not what it must be
	Interrupted             // a person stopped the run

	kinds // how many there are
)

// row is one kind as others see it.
type row struct {
	name string // where it is kept or sent
	exit int    // the command line's exit code (contracts.md)
	rank int    // where several kinds apply the highest decides
}

// table is all there is to a kind. Ranks are 6, 2, 5, 4, 3, 1 by exit code (contracts.md);
// a person's interrupt outranks all, since it is why the rest ended.
var table = [kinds]row{
	Failed:      {"failed", 1, 1},
	Check:       {"check", 3, 2},
	Halted:      {"halted", 4, 3},
	Locked:      {"locked", 5, 4},
	Input:       {"input", 2, 5},
	Trust:       {"trust", 6, 6},
	Interrupted: {"interrupted", 130, 7},
}

// row is k's; a kind that this program does not know is a plain failure.
func (k Kind) row() row {
	if k < 0 || k >= kinds {
		k = Failed
	}
	return table[k]
}

// String is the kind's name.
func (k Kind) String() string { return k.row().name }

// ExitCode is the code the command line ends with for a problem of this kind.
func (k Kind) ExitCode() int { return k.row().exit }

// MarshalText is encoding.TextMarshaler's: the kind's name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.row().name), nil }

// numbered are the kinds in the order of the numbers that journals once held.
var numbered = []Kind{Failed, Input, Check, Halted, Locked, Trust, Interrupted}

// UnmarshalJSON reads a name, or the number that earlier journals hold. A
// name that only a newer valtctl knows is read as Failed, since what it asks of the caller
// is not known; anything else is an error.
func (k *Kind) UnmarshalJSON(text []byte) error {
	var number int
	if json.Unmarshal(text, &number) == nil {
		*k = Failed
		if number >= 0 && number < len(numbered) {
			*k = numbered[number]
		}
		return nil
	}
	var name string
	if err := json.Unmarshal(text, &name); err != nil {
		return fmt.Errorf("reading the kind of a problem: %w", err)
	}
	*k = Kind(max(0, slices.IndexFunc(table[:], func(r row) bool { return r.name == name })))
	return nil
}
