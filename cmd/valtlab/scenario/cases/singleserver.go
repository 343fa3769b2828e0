package cases

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/smoke"
)

const (
	singleName   = "single"
	singleFolder = "/home/" + lab.DefaultUser + "/site"
)

// singleServer gives one bare server the binary and a site file and lets it install itself.
// A sample leaves it to the scenario that wants one which has done so.
func singleServer(ctx context.Context, e *Env) error {
	return e.onOneServer(ctx, func(host lab.Host) error {
		err := installsItself(ctx, e, host)
		if err == nil && e.Sample && e.GoesOn {
			e.shared.single = &host
		}
		return err
	})
}

// onOneServer adds a bare server with what a person would carry there, and takes it away
// again unless it is left to another scenario.
func (e *Env) onOneServer(ctx context.Context, do func(host lab.Host) error) (err error) {
	if err := e.removeSingle(ctx); err != nil { // left by a run that was killed, or to nobody
		return err
	}
	host, err := e.Lab.AddHost(ctx, lab.Host{Name: singleName, Roles: []string{lab.RoleApp, lab.RoleMedia}})
	if err != nil {
		return err
	}
	defer func() {
		if e.shared.single == nil {
			err = errors.Join(err, e.removeSingle(context.WithoutCancel(ctx)))
		}
	}()
	if err := carryToSingle(ctx, e, host); err != nil {
		return err
	}
	return do(host)
}

// removeSingle removes the one server, if it is there.
func (e *Env) removeSingle(ctx context.Context) error {
	e.shared.single = nil
	return e.removeAny(ctx, singleName)
}

func installsItself(ctx context.Context, e *Env, host lab.Host) error {
	if _, err := e.Lab.Output(ctx, singleName, "systemctl", "stop", "ssh.service"); err != nil {
		return fmt.Errorf("doing without SSH: %w", err)
	}
	if err := e.Timed("install", func() error { return installSelf(ctx, e, "changed ") }); err != nil {
		return err
	}
	if err := e.Timed("install again", func() error { return installSelf(ctx, e, "nothing to change") }); err != nil {
		return err
	}
	return visitSingle(ctx, e, host)
}

func visitSingle(ctx context.Context, e *Env, host lab.Host) error {
	return smoke.Err(smoke.All(ctx, e.Lab, smoke.Site{Name: lab.SiteName, App: host.Address,
		Media: []smoke.Media{{Host: singleName, Address: host.Address, Cameras: []netip.Addr{e.Lab.Camera(1)}}}}))
}

// carryToSingle puts what a person would carry there onto the server.
func carryToSingle(ctx context.Context, e *Env, host lab.Host) error {
	files := []containers.File{{Path: singleFolder + "/site.yaml", Content: []byte(singleSite(host, e.Lab.World(), e.Lab.Camera(1)))}}
	for _, name := range []string{"site.pem", "site.key", "ca.crt", "root.json", "registry_password", "licences/" + singleName} {
		content, err := readFile(e.Lab.Path(name))
		if err != nil {
			return err
		}
		files = append(files, containers.File{Path: path.Join(singleFolder, name), Mode: 0o600, Content: content})
	}
	binary, err := readFile(e.Valtctl)
	if err != nil {
		return err
	}
	files = append(files, containers.File{Path: "/usr/local/bin/valtctl", Mode: 0o755, Content: binary})
	return e.Lab.Engine().CopyTo(ctx, e.Lab.Container(singleName), files)
}

// singleSite is the site file of a single server, which uses the vendor's own name for the
// release repository.
func singleSite(host lab.Host, world, camera netip.Addr) string {
	return strings.NewReplacer("NAME", lab.SiteName, "HOST", host.Name, "ADDRESS", host.Address.String(), "WORLD", world.String(),
		"CAMERA", camera.String(), "RECORDINGS", lab.RecordingsPath, "USER", lab.RegistryUser).Replace(`site: single
name: NAME
ssl: true
tls: { certificate: site.pem, key_file: site.key }
release: { channel: stable, root: root.json }
registry: { username: USER, password_file: registry_password }
hosts:
  - name: HOST
    address: ADDRESS
    roles: [app, media]
    recordings: RECORDINGS
    wowza: { license: electronic, key_file: licences/HOST }
    cameras: [CAMERA]
clients: [10.0.0.0/8]
network: { ntp: [WORLD], trust: [ca.crt] }
`)
}

// installSelf runs the product on the server as its administrator would, and wants it to
// say so much.
func installSelf(ctx context.Context, e *Env, say string, more ...string) error {
	out, err := askSingle(ctx, e, append([]string{"install", "--yes"}, more...)...)
	if err == nil && !strings.Contains(out, say) {
		err = fmt.Errorf("it says %q", out)
	}
	return err
}

// askSingle runs the product on the server as its administrator would, for what it says.
func askSingle(ctx context.Context, e *Env, args ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	code, err := e.Lab.Exec(ctx, singleName, containers.Exec{
		Argv: append([]string{"sudo", "/usr/local/bin/valtctl"}, append(args, "--site", singleFolder+"/site.yaml")...),
		User: lab.DefaultUser, Stdout: &stdout, Stderr: &stderr,
	})
	if err == nil && code != 0 {
		err = fmt.Errorf("valtctl %v: exit %d: %s%s", args, code, stdout.String(), stderr.String())
	}
	return stdout.String(), err
}
