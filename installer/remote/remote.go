// Package remote connects to one host and starts the agent there: over SSH, through
// jump hosts and sudo, or as a child process on the machine itself. It hands out the
// agent's standard input and output as one io.ReadWriteCloser and knows nothing of
// what is said over it (installer/agent). It never forwards ports and never has two
// sessions open at once, because hardened servers allow neither. It decides nothing
// about trust: an unknown or changed host key is refused and named.
package remote

import (
	"context"
	"io"
	"time"
)

// AgentRoot is the root-owned folder on a host that holds the agents, each in a
// folder named by the SHA-256 of its binary.
const AgentRoot = "/var/lib/valtctl/agent"

// AgentPath is where the agent whose binary has the hex SHA-256 hash is on a host.
func AgentPath(hash string) string { return AgentRoot + "/" + hash + "/valtctl" }

// Ready is the line with which an agent started with nonce says that everything
// after it is protocol. The argument list never contains it, so that a shell that
// echoes its commands is not mistaken for the agent.
func Ready(nonce string) string { return "valtctl/agent/1 " + nonce + " ready" }

// RestrictedCommand is what a login whose key can do nothing but start the restricted agent
// asks for, and RestrictedNonce what that agent announces itself with: its command line is
// the host's, and holds nothing of the caller's.
const (
	RestrictedCommand = "valtctl-restricted-agent"
	RestrictedNonce   = "restricted"
)

// Agent says which agent to start and where its binary comes from.
type Agent struct {
	Hash string // hex SHA-256 of the binary
	Size int64  // bytes
	Path string // where the binary is on this machine; "": only Open knows
	// Open opens the binary. It is called only if the host lacks it.
	Open func() (io.ReadSeekCloser, error)
	// LeavesNothing is for a run that changes nothing: an agent that has to be uploaded
	// removes itself as it starts (RemoveOnce), and one cut off before that is removed by
	// the host. An agent that is there already is used and stays.
	LeavesNothing bool
	// Progress, if set, is told of an upload as it goes, in bytes.
	Progress func(done, total int64)
}

// Prompt asks the person a question and returns the answer. echo says whether the
// answer may be shown while it is typed.
type Prompt func(ctx context.Context, question string, echo bool) (string, error)

// Environment is what the person's surroundings say where the site says nothing.
type Environment struct {
	Home        string // the person's home folder
	User        string // the person's login name
	AgentSocket string // SSH_AUTH_SOCK; empty: no ssh-agent
	Config      string // ~/.ssh/config; empty: none
}

// EnvironmentFrom reads the surroundings from environment variables.
func EnvironmentFrom(getenv func(string) string) Environment {
	e := Environment{Home: getenv("HOME"), User: getenv("USER"), AgentSocket: getenv("SSH_AUTH_SOCK")}
	if e.Home == "" {
		e.Home = getenv("USERPROFILE")
	}
	if e.User == "" {
		e.User = getenv("USERNAME")
	}
	if e.Home != "" {
		e.Config = e.Home + "/.ssh/config"
	}
	return e
}

// Options say how to reach one host. Only Address is needed.
type Options struct {
	Name       string   // what people call the host; the address if empty
	Address    string   // a name or an address, without a port
	Port       int      // 0: what ssh_config says, else 22
	User       string   // "": what ssh_config says, else the person's own name
	Identity   string   // private key file; "": ssh_config, else ssh-agent and the usual files
	Jump       []string // [user@]host[:port], first hop first
	KnownHosts []string // files; those that do not exist count as empty
	Env        Environment

	// Password is the login's own password: sudo asks for it, and a server that
	// wants one to let the user in. It is called only when it is asked for.
	Password func(ctx context.Context) ([]byte, error)
	// Prompt asks the person. Nil: there is nobody to ask.
	Prompt Prompt
	// Restricted says that the login's key starts the restricted agent, whatever is asked for.
	Restricted bool
	// Waiting is told why nothing happens for a while, in words for a person; nil: nobody is.
	Waiting func(text string)
	// Dial opens the TCP connection to the first hop; nil: net.Dialer.
	Dial DialFunc

	ConnectTimeout time.Duration // per hop, for TCP; 0: 10 s
	LoginTimeout   time.Duration // per hop, for the SSH handshake without the person's typing; 0: 30 s
	StartTimeout   time.Duration // for a program to answer on the host; 0: 60 s
	KeepAlive      time.Duration // between questions to an idle server; 0: 15 s, given up after six
}

func (o Options) withDefaults() Options {
	if o.Name == "" {
		o.Name = o.Address
	}
	orElse := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	orElse(&o.ConnectTimeout, 10*time.Second)
	orElse(&o.LoginTimeout, 30*time.Second)
	orElse(&o.StartTimeout, 60*time.Second)
	orElse(&o.KeepAlive, 15*time.Second)
	if o.Dial == nil {
		o.Dial = dialTCP
	}
	return o
}

// runner starts programs on the host.
type runner interface {
	start(ctx context.Context, argv []string) (*command, error)
	// send puts the agent's binary where root can read it and returns the path,
	// or "-" if it must go over standard input.
	send(ctx context.Context, a Agent) (path string, err error)
	Close() error
}

// command is one program that runs on the host.
type command struct {
	stdin  io.WriteCloser
	stdout io.Reader
	stderr io.Reader
	wait   func() (code int, err error) // after stdout and stderr ended
	stop   func()                       // ends it now
}

// Conn is a connection to one host. Its methods are not for concurrent use; connections
// to several hosts are independent of each other.
type Conn struct {
	run  runner
	opts Options
	sudo *sudo // nil: already root
}

// Close ends the connection and with it whatever runs over it.
func (c *Conn) Close() error { return c.run.Close() }
