package scenario

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/releases"
)

// singleServerUpdate has the one server, application and media, update itself and roll
// back, without SSH.
func singleServerUpdate(ctx context.Context, e *Env) (err error) {
	if _, err := e.Lab.Host(singleName); err == nil { // left by a run that was killed
		if err := e.Lab.RemoveHosts(ctx, singleName); err != nil {
			return err
		}
	}
	host, err := e.Lab.AddHost(ctx, lab.Host{Name: singleName, Roles: []string{lab.RoleApp, lab.RoleMedia}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Lab.RemoveHosts(context.WithoutCancel(ctx), singleName)) }()
	if err := carryToSingle(ctx, e, host); err != nil {
		return err
	}
	if _, err := e.Lab.Output(ctx, singleName, "systemctl", "stop", "ssh.service"); err != nil {
		return fmt.Errorf("doing without SSH: %w", err)
	}
	for _, step := range []struct {
		args    []string
		release string
	}{
		{[]string{"install", "--yes"}, releases.Stable},
		{quick("update", "--to", releases.Canary), releases.Canary},
		{quick("rollback"), releases.Stable},
	} {
		if err := e.Timed(step.args[0], func() error { return onSingle(ctx, e, step.args...) }); err != nil {
			return err
		}
		if err := e.haveReleases(ctx, map[string]string{singleName: step.release}); err != nil {
			return err
		}
		if err := e.gateOpen(ctx, singleName); err != nil {
			return err
		}
	}
	return e.noneLost(ctx, []lab.Host{host})
}

// onSingle runs the product on the server as its administrator would.
func onSingle(ctx context.Context, e *Env, args ...string) error {
	var said strings.Builder
	code, err := e.Lab.Exec(ctx, singleName, containers.Exec{Argv: append([]string{"/usr/local/bin/valtctl"}, append(args, "--site", singleFolder+"/site.yaml")...),
		Stdout: &said, Stderr: &said})
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("valtctl %v on the server: exit %d: %s", args, code, said.String())
	}
	return nil
}
