package cases

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/remote"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/txn"
)

// everyNight are the windows of a site that may be updated in any night.
const everyNight = `updates:
  timezone: America/Chicago
  windows: ["Sun 02:00-05:00", "Wed 02:00-05:00"]
`

// thief has the key, and stands where the key's host does.
type thief struct {
	*Env
	host   lab.Host
	config *ssh.ClientConfig
}

func (e *Env) steal(ctx context.Context, host lab.Host) (*thief, error) {
	text, err := e.Lab.Output(ctx, scheduleHome, "cat", "/var/lib/valtctl/schedule/id_ed25519")
	if err != nil {
		return nil, err
	}
	mode, err := e.Lab.Output(ctx, scheduleHome, "stat", "-c", "%U %a", "/var/lib/valtctl/schedule/id_ed25519")
	if err != nil || mode != "root 600" {
		return nil, fmt.Errorf("the key is %q, and should be root's alone (%w)", mode, err)
	}
	key, err := ssh.ParsePrivateKey([]byte(text + "\n"))
	if err != nil {
		return nil, fmt.Errorf("reading the schedule's key: %w", err)
	}
	return &thief{e, host, &ssh.ClientConfig{User: "valt", Auth: []ssh.AuthMethod{ssh.PublicKeys(key)}, Timeout: 2 * time.Minute,
		HostKeyCallback: ssh.InsecureIgnoreHostKey()}}, nil // a thief does not mind
}

// login is an SSH connection with the key, from its host's address.
func (t *thief) login(ctx context.Context) (*ssh.Client, error) {
	at := netip.AddrPortFrom(t.host.Address, 22).String()
	conn, err := t.Lab.Dial(ctx, scheduleHome, at)
	if err != nil {
		return nil, err
	}
	c, chans, reqs, err := ssh.NewClientConn(conn, at, t.config)
	if err != nil {
		return nil, fmt.Errorf("logging in with the schedule's key: %w", err)
	}
	return ssh.NewClient(c, chans, reqs), nil
}

// theft has a site of the first release keep itself current, takes the key of that to one of its media
// servers, and ends it whatever came of do.
func (e *Env) theft(ctx context.Context, do func(*thief) error) (err error) {
	media, err := e.mediaHosts()
	if err != nil {
		return err
	}
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	if err := e.Timed("enabled", func() error { return e.scheduled(ctx, "canary", everyNight) }); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.unscheduled(context.WithoutCancel(ctx))) }()
	thief, err := e.steal(ctx, media[e.Random.IntN(len(media))])
	if err != nil {
		return err
	}
	return do(thief)
}

// agent starts the restricted agent as valtctl does.
func (t *thief) agent(ctx context.Context) (*agent.Client, error) {
	client, err := t.login(ctx)
	if err != nil {
		return nil, err
	}
	session, err := client.NewSession()
	if err != nil {
		return nil, errors.Join(err, client.Close())
	}
	in, err1 := session.StdinPipe()
	out, err2 := session.StdoutPipe()
	var said bytes.Buffer
	session.Stderr = &said
	if err := errors.Join(err1, err2, session.Start(remote.RestrictedCommand)); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	ready := "\n" + remote.Ready(remote.RestrictedNonce) + "\n"
	if got, err := io.ReadAll(io.LimitReader(out, int64(len(ready)))); err != nil || string(got) != ready {
		return nil, errors.Join(fmt.Errorf("the restricted agent says %q (%w): %s", got, err, said.String()), client.Close())
	}
	return agent.NewClient(ctx, agentStream{out, in, client}, t.host.Name, nil)
}

// agentStream is the agent's streams and what carries them.
type agentStream struct {
	io.Reader
	io.WriteCloser
	client *ssh.Client
}

func (s agentStream) Close() error { return errors.Join(s.WriteCloser.Close(), s.client.Close()) }

// thiefsRun looks like a run of the schedule's.
const thiefsRun = "20261129T090500Z-0badca"

// start asks for a transaction of these steps.
func (t *thief) start(ctx context.Context, c *agent.Client, release string, steps ...step.Spec) error {
	return t.request(ctx, c, txn.Request{Schema: txn.Schema, Site: "practice", Host: t.host.Name, Roles: t.host.Roles, Release: release,
		RunID: thiefsRun, Who: "thief", Policy: txn.Allow, Confirm: "10m0s", Steps: steps})
}

func (t *thief) request(ctx context.Context, c *agent.Client, r txn.Request) error {
	_, err := c.TxnStart(ctx, agent.TxnStartRequest{Request: r})
	return err
}
