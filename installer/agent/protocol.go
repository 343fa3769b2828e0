package agent

import (
	"context"
	"encoding/json"
	"io"
	"net"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/keyuse"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/database"
	"ipivs.com/valtctl/installer/support"
	"ipivs.com/valtctl/installer/survey"
	"ipivs.com/valtctl/installer/txn"
	"ipivs.com/valtctl/installer/wowza"
	"ipivs.com/valtctl/repos/apt"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// The methods, by their names on the wire. A method is a name here, one line in
// Handlers.methods and one in Client.
const (
	methodFacts      = "facts"
	methodInspect    = "inspect"
	methodTxnStart   = "txn.start"
	methodTxnRestart = "txn.restart"
	methodTxnList    = "txn.list"
	methodTxnFollow  = "txn.follow"
	methodLogs       = "logs"
	methodProbe      = "probe"
	methodListen     = "listen"
	methodSurvey     = "survey"
	methodAnswer     = "answer"
	methodTxnConfirm = "txn.confirm"
	methodLease      = "lease"
	methodEngine     = "engine"
	methodCarry      = "carry"
	methodSolve      = "apt.solve"
	methodProve      = "apt.prove"
	methodSupport    = "support"
	methodRevoke     = "schedule.revoke"
	methodBackups    = "backups"
)

// Handlers is what the host does for each method. A nil one is answered with an error.
// Those with an out stream what they have while the call lasts; their error ends it.
type Handlers struct {
	Facts      func(ctx context.Context, r FactsRequest) (FactsReply, error)
	Inspect    func(ctx context.Context, r InspectRequest) (InspectReply, error)
	TxnStart   func(ctx context.Context, r TxnStartRequest) (TxnReply, error)
	TxnRestart func(ctx context.Context, r TxnRestartRequest) (TxnReply, error)
	TxnList    func(ctx context.Context, r TxnListRequest) (TxnListReply, error)
	TxnFollow  func(ctx context.Context, r TxnFollowRequest, event func(txn.Event) error) (TxnFollowReply, error)
	Logs       func(ctx context.Context, r LogsRequest, out io.Writer) error
	Probe      func(ctx context.Context, r probe.Request, outcome func(probe.Outcome) error) error
	Listen     func(ctx context.Context, r probe.ListenRequest, event func(probe.ListenEvent) error) error
	Survey     func(ctx context.Context, r survey.Request) (survey.Reply, error)
	Answer     func(ctx context.Context, r step.Answer) (struct{}, error)
	TxnConfirm func(ctx context.Context, r TxnConfirmRequest) (struct{}, error)
	Lease      func(ctx context.Context, r LeaseRequest) (LeaseReply, error)
	Engine     func(ctx context.Context, a wowza.Access) (wowza.State, error)
	Solve      func(ctx context.Context, q apt.Question) (SolveReply, error)
	Prove      func(ctx context.Context, r ProveRequest) (ProveReply, error)
	Support    func(ctx context.Context, r support.Request, part func(support.Part) error) error
	Revoke     func(ctx context.Context, r RevokeRequest) (RevokeReply, error)
	Backups    func(ctx context.Context, r BackupsRequest) (BackupsReply, error)

	// Still, if set, is asked before every call, and now and then while one lasts: an error answers
	// it, and ends the connection.
	Still func() error
	// Limits are what is taken of the controller; nil: OfAController.
	Limits *Limits
	// NoCarry refuses to pass a bundle's bytes on to the host's programs.
	NoCarry bool
	// Loopback listens for the host's programs on 127.0.0.1, at a port or, for 0, at any; nil: by TCP.
	Loopback func(port int) (net.Listener, error)

	// Streams get what the controller opens by name, beside the calls.
	Streams map[string]StreamHandler
	// Controller, if set, is told once how to open streams to the controller.
	Controller func(Opener)
}

// FactsRequest asks what the host has. Full adds what costs more than milliseconds.
type FactsRequest struct {
	Full bool `json:"full,omitempty"`
}

// SolveReply has the files that the host's apt would fetch, as apt.Asker's.
type SolveReply struct {
	Files []string `json:"files"`
}

// ProveRequest asks what a plan's steps of packages would take from the run's bundle. Steps
// has the plan's sources too.
type ProveRequest struct {
	Steps   []step.Spec       `json:"steps"`
	Secrets map[string][]byte `json:"secrets,omitempty"`
}

// ProveReply has the packages' files that the host would take.
type ProveReply struct {
	Files []PackageFile `json:"files,omitempty"`
}

// PackageFile is one version of a package, and its file as the signed lists give it.
type PackageFile struct {
	Package string `json:"package"` // name:arch=version
	SHA256  string `json:"sha256"`  // 64 hex digits
	Size    int64  `json:"size"`    // bytes
}

// FactsReply is what the host has, and what it remembers.
type FactsReply struct {
	Facts        facts.Facts   `json:"facts"`
	Transactions []txn.Summary `json:"transactions,omitempty"` // newest first
	// TrustedState is what the host has seen of the release repository; nil: nothing.
	TrustedState *release.State `json:"trusted_state,omitempty"`
	Fence        int64          `json:"fence,omitempty"` // highest fencing token seen
	Schedule     *Schedule      `json:"schedule,omitempty"`
	// KeyUse is what was done and tried with the key of unattended runs; nil: it was never used here.
	KeyUse *keyuse.Record `json:"key_use,omitempty"`
}

// Schedule is what a host that looks after its site unattended has written down, as package
// updater/schedule reads it.
type Schedule struct {
	Enabled json.RawMessage `json:"enabled,omitempty"`
	State   json.RawMessage `json:"state,omitempty"`
	Pause   json.RawMessage `json:"pause,omitempty"`
}

// InspectRequest asks how the host differs from what the steps want. Secrets are kept
// in memory while the steps look.
type InspectRequest struct {
	// Release is the one that the steps are of: a restricted agent looks for them there.
	Release string            `json:"release,omitempty"`
	Steps   []step.Spec       `json:"steps"`
	Secrets map[string][]byte `json:"secrets,omitempty"`
}

// InspectReply has one finding a step, in their order.
type InspectReply struct {
	Findings []StepFinding `json:"findings"`
}

// StepFinding is what one step found, or why it could not look.
type StepFinding struct {
	ID       string           `json:"id"`
	Kind     step.KindName    `json:"kind"`
	Finding  step.Finding     `json:"finding"`
	Problems []problem.Record `json:"problems,omitempty"`
}

// TxnStartRequest hands the host its transaction.
type TxnStartRequest struct {
	Request txn.Request       `json:"request"`
	Secrets map[string][]byte `json:"secrets,omitempty"`
	// TrustedState is what the controller has seen of the release repository; the host
	// keeps the newest.
	TrustedState *release.State `json:"trusted_state,omitempty"`
}

// TxnRestartRequest gives a waiting transaction its secrets again.
type TxnRestartRequest struct {
	ID      string            `json:"id"`
	Secrets map[string][]byte `json:"secrets,omitempty"`
	Fence   int64             `json:"fence,omitempty"` // as txn.Request's
}

// TxnConfirmRequest answers a transaction that has switched its host and waits: it is
// kept, or, with Undo, taken back for the reason given.
type TxnConfirmRequest struct {
	ID    string `json:"id"`
	Undo  string `json:"undo,omitempty"`
	Fence int64  `json:"fence,omitempty"`
}

// LeaseAction is what a LeaseRequest asks.
type LeaseAction string

// The actions.
const (
	LeaseShow    LeaseAction = "show"
	LeaseTake    LeaseAction = "take"    // free or expired, or held by the same run
	LeaseRenew   LeaseAction = "renew"   // refused once it has expired or been taken
	LeaseRelease LeaseAction = "release" // of the token given; no error where it is gone
	LeaseBreak   LeaseAction = "break"   // know no run any more, and Token as the only one seen, for Reason
	LeaseFence   LeaseAction = "fence"   // remember Token as the highest seen: of hosts that do not keep the lease
)

// LeaseRequest is about the site's one lease, on the host that keeps it. Who and Run say
// for whom; Seconds is how long it holds, judged by this host's boot clock. A taken token
// is the highest of Token and every one that this host has seen, plus one. With fence, Seconds
// is for how long a person's run keeps out the key of unattended runs on this host.
type LeaseRequest struct {
	Action  LeaseAction `json:"action"`
	Who     string      `json:"who,omitempty"`
	Run     string      `json:"run,omitempty"`
	Token   int64       `json:"token,omitempty"`
	Seconds int64       `json:"seconds,omitempty"`
	Reason  string      `json:"reason,omitempty"`
	// Rollout, if set with take or renew, is kept beside the lease and outlives it: what
	// the run is about, for whoever resumes it. "null" removes it.
	Rollout json.RawMessage `json:"rollout,omitempty"`
}

// LeaseReply is the lease as it is now. Left is the seconds until it expires; 0: free.
type LeaseReply struct {
	Who     string          `json:"who,omitempty"`
	Run     string          `json:"run,omitempty"`
	Token   int64           `json:"token"`
	Left    int64           `json:"left"`
	Broken  string          `json:"broken,omitempty"` // who broke the last one, and why
	Rollout json.RawMessage `json:"rollout,omitempty"`
}

// RevokeRequest has the host take no key of unattended runs any more, at once and also from those
// that are connected with it: the one that it takes, and those named (facts.KeyID).
type RevokeRequest struct {
	Keys []string `json:"keys,omitempty"`
}

// RevokeReply says which key it took until now; empty: none.
type RevokeReply struct {
	Was string `json:"was,omitempty"`
}

// BackupsRequest asks which backups of the database a folder of the host has.
type BackupsRequest struct {
	Dir string `json:"dir"`
}

// BackupsReply has them, oldest first and without what each holds.
type BackupsReply struct {
	Backups []database.Record `json:"backups,omitempty"`
	// Unread is why some of them could not be read.
	Unread string `json:"unread,omitempty"`
}

// TxnReply names a transaction that runs.
type TxnReply struct {
	ID string `json:"id"`
}

// TxnListRequest asks for the host's transactions.
type TxnListRequest struct{}

// TxnListReply has them, newest first.
type TxnListReply struct {
	Transactions []txn.Summary `json:"transactions"`
}

// TxnFollowRequest asks for a transaction's events from a sequence number on.
type TxnFollowRequest struct {
	ID   string `json:"id"`
	From int64  `json:"from"`
}

// TxnFollowReply is how it ended.
type TxnFollowReply struct {
	Result txn.Result `json:"result"`
}

// LogsRequest asks for the log of a unit or a container.
type LogsRequest struct {
	Name   string `json:"name"`
	Lines  int    `json:"lines,omitempty"`
	Follow bool   `json:"follow,omitempty"`
}
