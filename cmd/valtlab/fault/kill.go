package fault

import (
	"context"
	"fmt"

	"ipivs.com/valtctl/cmd/valtlab/lab"
)

// Kill ends processes of a host by SIGKILL, those whose command line matches Pattern
// (pgrep's -f). It ends itself: there is nothing to put right but what the host does.
func Kill(ctx context.Context, l *lab.Lab, host, pattern string) (int, error) {
	// The pattern is an argument, and pkill never counts itself; its shell would be
	// counted, so there is none.
	out, err := l.Output(ctx, host, "pkill", "--signal", "KILL", "--count", "--full", "--", pattern)
	if err != nil {
		return 0, fmt.Errorf("killing %q on %s: no such process, or: %w", pattern, host, err)
	}
	var killed int
	if _, err := fmt.Sscan(out, &killed); err != nil {
		return 0, fmt.Errorf("killing %q on %s: reading how many: %w", pattern, host, err)
	}
	return killed, nil
}
