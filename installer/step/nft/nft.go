// Package nft asks for and changes tables of ours in the kernel's packet filter with the
// program nft(8). What rules they have is whose tables they are: the managed firewall's
// (installer/step/firewall) and the drain's (updater/drain).
package nft

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/step"
)

// Program is where Ubuntu's package nftables has it, and where units name it.
const Program = "/usr/sbin/nft"

// Table is one table's family and name: "inet valtctl".
type Table string

// Listing is the table as the kernel has it, without its counters, options of nft(8) added;
// empty where it is not loaded. What cannot be asked is an error, and one that wraps
// fs.ErrNotExist where the host has no nft: whether a table is there is not told by whether
// listing it fails.
func (t Table) Listing(ctx context.Context, h *step.Machine, options ...string) ([]byte, error) {
	out, err := h.Run.Run(ctx, step.Command{Argv: []string{Program, "list", "tables"}})
	if err != nil {
		return nil, fmt.Errorf("asking which tables are loaded: %w", err)
	}
	if !slices.ContainsFunc(strings.Split(string(out.Stdout), "\n"), func(line string) bool { return strings.TrimSpace(line) == "table "+string(t) }) {
		return nil, nil
	}
	argv := append([]string{Program, "--stateless"}, options...)
	out, err = h.Run.Run(ctx, step.Command{Argv: append(append(argv, "list", "table"), strings.Fields(string(t))...)})
	if err != nil {
		return nil, fmt.Errorf("asking for the loaded table %s: %w", t, err)
	}
	return out.Stdout, nil
}

// Loaded says whether the kernel has the table.
func (t Table) Loaded(ctx context.Context, h *step.Machine) (bool, error) {
	listing, err := t.Listing(ctx, h)
	return len(listing) > 0, err
}

// Empty is a script that removes the table whether it is there or not: what is not there
// cannot be deleted, so it is made first (nft(8)).
func (t Table) Empty() string {
	return "table " + string(t) + "\ndelete table " + string(t) + "\n"
}

// Remove removes the table, whether it is there or not. A host without nft has none, and the
// error wraps fs.ErrNotExist.
func (t Table) Remove(ctx context.Context, h *step.Machine) error {
	return t.Change(ctx, h, t.Empty())
}

// Change runs a script that is no file.
func (t Table) Change(ctx context.Context, h *step.Machine, script string) error {
	if _, err := h.Run.Run(ctx, step.Command{Argv: []string{Program, "-f", "-"}, Stdin: []byte(script)}); err != nil {
		return fmt.Errorf("changing the table %s: %w", t, err)
	}
	return nil
}

// Load loads rules from a file of the host.
func Load(ctx context.Context, h *step.Machine, file string) error {
	if _, err := h.Run.Run(ctx, step.Command{Argv: []string{Program, "-f", h.Path(file)}}); err != nil {
		return fmt.Errorf("loading the rules of %s: %w", file, err)
	}
	return nil
}

// NoProgram says that an error only means that the host has no nft.
func NoProgram(err error) bool { return errors.Is(err, fs.ErrNotExist) }
