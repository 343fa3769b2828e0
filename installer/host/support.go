package host

import (
	"context"

	"ipivs.com/valtctl/installer/support"
)

// support gathers what support asks for, without secrets.
func (s *Side) support(ctx context.Context, r support.Request, part func(support.Part) error) error {
	return support.Gather(ctx, support.Env{Machine: s.machine(nil)}, r, part)
}
