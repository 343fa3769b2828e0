package installer

import (
	"context"
	"fmt"

	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/apt"
)

// Asking connects to a host whose apt is asked in place of this machine's, for a bundle that
// is made where there is none. The second result ends the connection.
func (connect Connect) Asking(ctx context.Context, h site.Host, obs event.Observer) (apt.Asker, func() error, error) {
	s, err := connect.open(ctx, h, obs)
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, q apt.Question) ([]string, error) {
		files, err := s.client.Solve(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("host %s: %w", h.Name, err)
		}
		return files, nil
	}, func() error { return ignoreClosed(s.close()) }, nil
}
