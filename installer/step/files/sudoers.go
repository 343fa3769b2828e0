package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/problem"
)

// sudoersFolder is where sudo, and sudo-rs, read what is included (sudoers(5)). A file whose name has a dot,
// as temporary ones have, is passed over there.
const sudoersFolder = "/etc/sudoers.d"

// checkOf is what a file must pass before it counts; nil: nothing is asked of it.
func checkOf(ctx context.Context, h *step.Machine, file string) func(temporary string) error {
	if path.Dir(file) != sudoersFolder {
		return nil
	}
	return func(temporary string) error { return checkSudoers(ctx, h, file, temporary) }
}

// checkSudoers has visudo judge what is to be a file of sudo's: one mistake there, and sudo refuses everybody.
func checkSudoers(ctx context.Context, h *step.Machine, file, temporary string) error {
	out, err := h.Run.Run(ctx, step.Command{Argv: []string{"visudo", "-c", "-f", temporary}})
	if err == nil {
		return nil
	}
	refused := &problem.Error{Kind: problem.Check, Doing: "checking", Object: file}
	if errors.Is(err, fs.ErrNotExist) {
		refused.Err = errors.New("visudo is not on this host, so nobody can say whether sudo would take it")
		refused.Fix = "install sudo with its visudo (apt install sudo), then run the command again"
		return refused
	}
	said := strings.TrimSpace(string(out.Stdout) + string(out.Stderr))
	if out.Code <= 0 || said == "" { // it was ended, or does not say why
		return fmt.Errorf("checking %s: %w", file, err)
	}
	refused.Err = fmt.Errorf("visudo refuses it: %s", strings.ReplaceAll(said, temporary, file))
	refused.Fix = "nothing was changed; report what visudo says"
	return refused
}
