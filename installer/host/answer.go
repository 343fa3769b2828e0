package host

import (
	"context"

	"ipivs.com/valtctl/installer/step"
)

// answer hands a controller's answer to the step that asked for it.
func (s *Side) answer(_ context.Context, a step.Answer) (struct{}, error) {
	return struct{}{}, step.HandAnswer(s.machine(nil), a)
}
