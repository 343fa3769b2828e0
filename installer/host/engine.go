package host

import (
	"context"

	"ipivs.com/valtctl/installer/wowza"
)

// engine says what this host's media engine does now.
func (s *Side) engine(ctx context.Context, a wowza.Access) (wowza.State, error) {
	return wowza.Look(ctx, a, s.Launcher.Root)
}
