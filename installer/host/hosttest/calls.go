package hosttest

import (
	"context"
	"io"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/installer/wowza"
)

// handlers are the real ones, counted. Facts are those given, beside what the real
// handlers know of transactions and releases.
func (h *Host) handlers() agent.Handlers {
	own := h.own()
	if h.Before == nil {
		return own
	}
	before, err := h.Before(own)
	if err != nil {
		h.t.Error(err)
	}
	return before
}

// own are the host's calls without anything before them.
func (h *Host) own() agent.Handlers {
	real := h.side.Handlers()
	if h.Engine != nil {
		real.Engine = func(context.Context, wowza.Access) (wowza.State, error) { return h.Engine() }
	}
	return agent.Handlers{
		Loopback: h.Loopback,
		Probe:    h.probe(),
		Facts: counted(h, "facts", func(ctx context.Context, r agent.FactsRequest) (agent.FactsReply, error) {
			return h.facts(ctx, r, real)
		}),
		Inspect: counted(h, "inspect", real.Inspect),
		TxnStart: counted(h, "start", func(ctx context.Context, r agent.TxnStartRequest) (agent.TxnReply, error) {
			h.remember(r.Secrets)
			reply, err := real.TxnStart(ctx, r)
			if err == nil && h.Started != nil {
				err = h.Started(r.Request)
			}
			return reply, err
		}),
		TxnRestart: counted(h, "restart", func(ctx context.Context, r agent.TxnRestartRequest) (agent.TxnReply, error) {
			h.remember(r.Secrets)
			return real.TxnRestart(ctx, r)
		}),
		Lease:      linked(h, "lease", real.Lease),
		Solve:      real.Solve,
		Prove:      counted(h, "prove", h.prove),
		TxnConfirm: linked(h, "keep", real.TxnConfirm),
		Engine:     linked(h, "engine", real.Engine),
		Support:    real.Support,
		Revoke:     counted(h, "revoke", real.Revoke),
		TxnList:    counted(h, "list", real.TxnList),
		TxnFollow: func(ctx context.Context, r agent.TxnFollowRequest, event func(txn.Event) error) (agent.TxnFollowReply, error) {
			h.mu.Lock()
			h.froms = append(h.froms, r.From)
			h.mu.Unlock()
			return counted(h, "follow", func(ctx context.Context, r agent.TxnFollowRequest) (agent.TxnFollowReply, error) {
				if h.Tells != nil {
					if err := h.Tells(event); err != nil {
						return agent.TxnFollowReply{}, err
					}
				}
				return real.TxnFollow(ctx, r, event)
			})(ctx, r)
		},
		Answer: counted(h, "confirm", real.Answer),
		Logs: func(_ context.Context, r agent.LogsRequest, out io.Writer) error {
			h.called("logs")
			_, err := io.WriteString(out, "log of "+r.Name+"\n")
			return err
		},
	}
}

// counted is a call that Calls lists.
func counted[Req, Reply any](h *Host, name string, do func(context.Context, Req) (Reply, error)) func(context.Context, Req) (Reply, error) {
	over := linked(h, name, do)
	return func(ctx context.Context, r Req) (Reply, error) {
		h.called(name)
		return over(ctx, r)
	}
}

// linked is a call as it comes over the link, which may lose it or its answer.
func linked[Req, Reply any](h *Host, name string, do func(context.Context, Req) (Reply, error)) func(context.Context, Req) (Reply, error) {
	return func(ctx context.Context, r Req) (reply Reply, err error) {
		if h.Link == nil {
			return do(ctx, r)
		}
		if err := h.Link(name, false); err != nil {
			return reply, err
		}
		reply, err = do(ctx, r)
		if lost := h.Link(name, true); lost != nil {
			return reply, lost
		}
		return reply, err
	}
}

func (h *Host) prove(_ context.Context, r agent.ProveRequest) (agent.ProveReply, error) {
	if h.Takes == nil {
		return agent.ProveReply{}, nil
	}
	files, err := h.Takes(r)
	return agent.ProveReply{Files: files}, err
}

func (h *Host) probe() func(context.Context, probe.Request, func(probe.Outcome) error) error {
	if h.Reaches == nil {
		return nil
	}
	return func(_ context.Context, r probe.Request, outcome func(probe.Outcome) error) error {
		for _, s := range r.Specs {
			if err := outcome(probe.Outcome{ID: s.ID, Verdict: h.Reaches(s), Cause: "as imitated"}); err != nil {
				return err
			}
		}
		return nil
	}
}

func (h *Host) remember(secrets map[string][]byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.given = secrets
}

// facts is the real answer with the given facts and the host's own memory of what it is.
func (h *Host) facts(ctx context.Context, r agent.FactsRequest, real agent.Handlers) (agent.FactsReply, error) {
	reply, err := real.Facts(ctx, r)
	if err != nil {
		return reply, err
	}
	installed, closed := reply.Facts.Installed, reply.Facts.GateClosed
	h.mu.Lock()
	defer h.mu.Unlock()
	reply.Facts = h.Facts
	if reply.Facts.Installed == nil {
		reply.Facts.Installed = installed
	}
	reply.Facts.GateClosed = reply.Facts.GateClosed || closed
	return reply, nil
}
