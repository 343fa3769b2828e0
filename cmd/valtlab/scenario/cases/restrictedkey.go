package cases

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/remote"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/files"
	"ipivs.com/valtctl/repos/problem"
)

// restrictedKey takes the schedule's key from the host that has it, and tries on a media
// server everything that it is not for.
func restrictedKey(ctx context.Context, e *Env) error {
	return e.theft(ctx, func(thief *thief) error {
		if err := thief.asAPerson(ctx); err != nil {
			return fmt.Errorf("as a person would: %w", err)
		}
		if err := e.judgesAt(ctx, "2026-11-29T03:05:00-06:00"); err != nil { // in a window: it is not the hour that is wrong
			return err
		}
		before, err := e.fingerprints(ctx, thief.host.Name)
		if err != nil {
			return err
		}
		if err := thief.withSteps(ctx); err != nil {
			return err
		}
		if err := e.unsigned(ctx, thief); err != nil {
			return err
		}
		after, err := e.fingerprints(ctx, thief.host.Name)
		if err != nil {
			return err
		}
		if err := same(before, after); err != nil {
			return fmt.Errorf("something was changed with the key: %w", err)
		}
		if e.Sample {
			return nil
		}
		return e.whatItIsFor(ctx, thief)
	})
}

// asAPerson tries a command, a shell, a terminal, files, and forwarding in both directions.
func (t *thief) asAPerson(ctx context.Context) error {
	client, err := t.login(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	for _, command := range []string{"id", "sudo -n id", remote.RestrictedCommand + "; id", "sh -c id", ""} {
		said, err := t.command(client, command)
		if err == nil || strings.Contains(said, "uid=") || !strings.Contains(said, "restricted agent and nothing else") {
			return fmt.Errorf("asked for %q it ends with %v: %s", command, err, said)
		}
	}
	t.Measure("commands and shells", "refused")
	session, err := client.NewSession()
	if err != nil {
		return err
	}
	if err := session.RequestPty("xterm", 24, 80, nil); err == nil {
		return errors.New("it is given a terminal")
	}
	session.Close()
	if session, err = client.NewSession(); err != nil {
		return err
	}
	if err := session.RequestSubsystem("sftp"); err == nil {
		if said, _ := io.ReadAll(io.LimitReader(must(session.StdoutPipe()), 64)); len(said) > 0 {
			return fmt.Errorf("it is given files: %q", said)
		}
	}
	session.Close()
	for _, to := range []string{"127.0.0.1:8087", "127.0.0.1:22", "10.0.0.1:443"} {
		if conn, err := client.Dial("tcp", to); err == nil {
			conn.Close()
			return fmt.Errorf("it is forwarded to %s", to)
		}
	}
	if l, err := client.Listen("tcp", "127.0.0.1:0"); err == nil {
		l.Close()
		return errors.New("it may listen on the host")
	}
	if conn, err := client.Dial("unix", "/var/run/docker.sock"); err == nil {
		conn.Close()
		return errors.New("it is forwarded to the engine")
	}
	t.Measure("terminal, files, forwarding in, out and to sockets", "refused")
	return nil
}

func must(r io.Reader, _ error) io.Reader { return r }

// command asks for a command, or without one for a shell that is given a line.
func (t *thief) command(client *ssh.Client, command string) (string, error) {
	session, err := client.NewSession()
	if err != nil {
		return "", err
	}
	defer session.Close()
	var out, said bytes.Buffer
	session.Stdout, session.Stderr = &out, &said
	session.Stdin = strings.NewReader("id\n")
	if command == "" {
		err = session.Shell()
	} else {
		err = session.Start(command)
	}
	if err == nil {
		err = session.Wait()
	}
	return out.String() + said.String(), err
}

// withSteps speaks the agent's own protocol: files, files of others, ports, the lease, and
// releases that are older or that nobody has signed.
func (t *thief) withSteps(ctx context.Context) error {
	c, err := t.agent(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	file := step.Spec{ID: "file/root/.ssh/authorized_keys", Kind: files.KindFile, Title: "a way in", Half: step.Fetch, Disrupts: step.Nothing,
		Params: json.RawMessage(`{"path":"/root/.ssh/authorized_keys","mode":"0600","content":"ssh-ed25519 AAAA thief"}`)}
	shadow := file
	shadow.Params = json.RawMessage(`{"path":"/etc/shadow","mode":"0600","content":"x"}`)
	tries := map[string]func() error{
		"a file step": func() error { return t.start(ctx, c, releases.Canary, file) },
		"a file step of the release that is there": func() error { return t.start(ctx, c, releases.Stable, file) },
		"an older release":                         func() error { return t.start(ctx, c, "6.4.0", file) },
		"a release that nobody has signed":         func() error { return t.start(ctx, c, "6.9.9", file) },
		"reading a file by its difference": func() error {
			_, err := c.Inspect(ctx, agent.InspectRequest{Release: releases.Canary, Steps: []step.Spec{shadow}})
			return err
		},
		"a transaction of a person's": func() error {
			list, err := c.TxnList(ctx)
			if err != nil || len(list.Transactions) == 0 {
				return fmt.Errorf("there is no transaction to try it on (%w)", err)
			}
			return c.TxnConfirm(ctx, agent.TxnConfirmRequest{ID: list.Transactions[0].ID, Undo: "theft"})
		},
		"the lease": func() error {
			_, err := c.Lease(ctx, agent.LeaseRequest{Action: agent.LeaseTake, Who: "thief", Run: "thief", Seconds: 60})
			return err
		},
		"a token without successors": func() error {
			_, err := c.Lease(ctx, agent.LeaseRequest{Action: agent.LeaseFence, Token: 1<<63 - 2})
			return err
		},
		"a look into the network": func() error {
			return c.Probe(ctx, probe.Request{Specs: []probe.Spec{{ID: "x", Ask: probe.AskConnect, Protocol: "tcp", Host: "10.0.0.1", Port: 22}}}, func(probe.Outcome) error { return nil })
		},
	}
	for name, try := range tries {
		if err := try(); err == nil || problem.KindOf(err) != problem.Trust {
			return fmt.Errorf("%s is not refused: %v", name, err)
		}
	}
	unserved := map[string]func() error{
		"a tunnel for bytes": func() error { _, err := c.Carry(ctx, agent.CarryRequest{}); return err },
		"logs":               func() error { return c.Logs(ctx, agent.LogsRequest{Name: "valt-engine"}, io.Discard) },
		"a listener": func() error {
			return c.Listen(ctx, probe.ListenRequest{}, func(probe.ListenEvent) error { return nil })
		},
	}
	for name, try := range unserved {
		if err := try(); err == nil {
			return fmt.Errorf("%s is served", name)
		}
	}
	t.Measure("the agent's own calls", "%d ways refused, %d not served", len(tries), len(unserved))
	return nil
}

// unsigned has the vendor's server serve what must not be trusted: the host finds that by
// itself, whatever it is told.
func (e *Env) unsigned(ctx context.Context, t *thief) (err error) {
	vendor := &releases.Vendor{}
	defer func() { err = errors.Join(err, vendor.Publish(context.WithoutCancel(ctx), e.Lab, releases.Options{})) }()
	for _, way := range []releases.Spoiled{releases.WrongSignature, releases.ForeignRoot} {
		if err := vendor.Publish(ctx, e.Lab, releases.Options{Spoil: way}); err != nil {
			return err
		}
		c, err := t.agent(ctx)
		if err != nil {
			return err
		}
		_, err = c.Inspect(ctx, agent.InspectRequest{Release: releases.Unwell})
		_ = c.Close()
		if problem.KindOf(err) != problem.Trust {
			return fmt.Errorf("a release of a repository with %s is not refused: %v", way, err)
		}
		e.Measure(string(way), "refused by the host itself")
	}
	return nil
}
