package host

import (
	"context"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/database"
)

// backups lists the backups of this host's database. One that cannot be read hides no other.
func (s *Side) backups(_ context.Context, r agent.BackupsRequest) (agent.BackupsReply, error) {
	if err := step.CleanPath(r.Dir); err != nil {
		return agent.BackupsReply{}, err
	}
	all, err := database.List(s.machine(nil), r.Dir)
	reply := agent.BackupsReply{Backups: all}
	if err != nil {
		reply.Unread = err.Error()
	}
	for i := range reply.Backups {
		reply.Backups[i].Inventory = nil // as many lines as the database has tables
	}
	return reply, nil
}
