package cases

import (
	"context"
	"fmt"
	"slices"

	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/updater/drain"
)

// asked is something that the thief asks for.
type asked struct {
	name string
	ask  func(ctx context.Context, c *agent.Client) error
}

// update is the schedule's own request once more, as another.
func (s *stolen) update(change func(*txn.Request)) func(context.Context, *agent.Client) error {
	return func(ctx context.Context, c *agent.Client) error {
		r := s.sent
		r.Steps = slices.Clone(s.sent.Steps)
		r.Key, r.RunID, r.Who, r.PlanDigest, r.Fence = "", thiefsRun, "the director", "forged", 1<<40
		facts, err := c.Facts(ctx, agent.FactsRequest{})
		if err != nil {
			return err
		}
		r.Fence = facts.Fence
		change(&r)
		return s.request(ctx, c, r)
	}
}

// all is what the thief asks for, but for what is done in the window.
func (s *stolen) all() []asked {
	newest := func(do func(ctx context.Context, c *agent.Client, id string) error) func(context.Context, *agent.Client) error {
		return func(ctx context.Context, c *agent.Client) error {
			facts, err := c.Facts(ctx, agent.FactsRequest{})
			if err != nil || len(facts.Transactions) == 0 {
				return fmt.Errorf("there is no transaction to try it on (%w)", err)
			}
			return do(ctx, c, facts.Transactions[0].ID)
		}
	}
	return []asked{
		{"a release that no channel offers", s.update(func(r *txn.Request) { r.Release = releases.Unwell })},
		{"an apply half of a hundred hours", s.update(func(r *txn.Request) { r.ApplyWithin = "100h0m0s" })},
		{"an update without a drain", s.update(func(r *txn.Request) {
			r.Steps = slices.DeleteFunc(r.Steps, func(s step.Spec) bool { return s.Kind == drain.KindDrain })
		})},
		{"an update of a run that is none", s.update(func(r *txn.Request) { r.RunID = "maintenance by pat" })},
		{"a person's transaction, confirmed", newest(func(ctx context.Context, c *agent.Client, id string) error {
			return c.TxnConfirm(ctx, agent.TxnConfirmRequest{ID: id})
		})},
		{"a person's transaction, taken back", newest(func(ctx context.Context, c *agent.Client, id string) error {
			return c.TxnConfirm(ctx, agent.TxnConfirmRequest{ID: id, Undo: "theft"})
		})},
		{"a person's transaction, gone on with", newest(func(ctx context.Context, c *agent.Client, id string) error {
			_, err := c.TxnRestart(ctx, agent.TxnRestartRequest{ID: id})
			return err
		})},
		{"an answer to a person's step", func(ctx context.Context, c *agent.Client) error { return c.Answer(ctx, step.Answer{Nonce: "x"}) }},
		{"the site's lease", func(ctx context.Context, c *agent.Client) error {
			_, err := c.Lease(ctx, agent.LeaseRequest{Action: agent.LeaseTake, Who: "thief", Run: "thief", Seconds: 60})
			return err
		}},
	}
}

// drained is the one thing that the key is for, and fetched what goes before it.
func (s *stolen) drained() asked {
	return asked{"the update, as the schedule asks for it", s.update(func(*txn.Request) {})}
}

func (s *stolen) fetched() asked {
	return asked{"fetching it ahead", s.update(func(r *txn.Request) {
		r.Stage, r.Confirm, r.ApplyWithin = true, "", ""
		r.Steps = slices.DeleteFunc(r.Steps, func(s step.Spec) bool { return s.Half != step.Fetch })
	})}
}
