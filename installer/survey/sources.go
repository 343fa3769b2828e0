package survey

import (
	"context"

	"ipivs.com/valtctl/installer/step/apt"
)

// sources is what apt makes of the host's sources.
func (h *host) sources(ctx context.Context) (answer, error) {
	found, err := apt.LookAtSources(ctx, h.Machine)
	return func(r *Reply) {
		r.Sources = Sources{Unreadable: found.Unreadable, Clash: found.Clash, Variants: found.Variants}
	}, err
}
