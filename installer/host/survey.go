package host

import (
	"context"
	"os"

	"ipivs.com/valtctl/installer/survey"
)

// survey asks the host what takes longer than facts.
func (s *Side) survey(ctx context.Context, r survey.Request) (survey.Reply, error) {
	return survey.Take(ctx, survey.Env{Machine: s.machine(nil), Ignore: os.Getpid()}, r)
}
