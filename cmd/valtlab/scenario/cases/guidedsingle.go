package cases

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/smoke"
)

// guidedSingle has one bare server come to a site file and a serving site by itself: by flags
// alone, and without SSH, which is stopped.
func guidedSingle(ctx context.Context, e *Env) error {
	return e.onOneServer(ctx, func(host lab.Host) error { return guidesItself(ctx, e, host) })
}

func guidesItself(ctx context.Context, e *Env, host lab.Host) error {
	unasked := fmt.Sprintf("release: { channel: stable, root: root.json }\nnetwork: { ntp: [%s], trust: [ca.crt] }\n", e.Lab.World())
	if err := e.Lab.Put(ctx, singleName, singleFolder+"/site.yaml", []byte(unasked)); err != nil {
		return err
	}
	if _, err := e.Lab.Output(ctx, singleName, "systemctl", "stop", "ssh.service"); err != nil {
		return fmt.Errorf("doing without SSH: %w", err)
	}
	if err := initOnSingle(ctx, e, host); err != nil {
		return err
	}
	if err := installSelf(ctx, e, "changed "); err != nil {
		return err
	}
	return smoke.Err(smoke.All(ctx, e.Lab, smoke.Site{Name: lab.SiteName, App: host.Address,
		Media: []smoke.Media{{Host: singleName, Address: host.Address, Cameras: []netip.Addr{e.Lab.Camera(1)}}}}))
}

// initOnSingle makes the site file on the server, which looks at itself. A disk that it has
// not is refused first.
func initOnSingle(ctx context.Context, e *Env, host lab.Host) error {
	for _, try := range []struct {
		disk string
		code int
		say  string
	}{{"/srv/elsewhere", 2, "no file system is mounted at /srv/elsewhere"}, {lab.RecordingsPath, 0, "Ubuntu " + host.Ubuntu}} {
		argv := []string{"sudo", "/usr/local/bin/valtctl", "init", "--yes", "--site", singleFolder + "/site.yaml", "--id", "single", "--name", lab.SiteName,
			"--certificate", "site.pem", "--certificate-key", "site.key", "--registry-user", lab.RegistryUser, "--registry-password-file", "registry_password", "--clients", "10.0.0.0/8",
			"--server", fmt.Sprintf("%s address=%s recordings=%s key-file=licences/%s cameras=%s", host.Name, host.Address, try.disk, host.Name, e.Lab.Camera(1))}
		var stdout, stderr bytes.Buffer
		code, err := e.Lab.Exec(ctx, singleName, containers.Exec{Argv: argv, User: lab.DefaultUser, Stdout: &stdout, Stderr: &stderr})
		if err != nil {
			return err
		}
		if code != try.code || !strings.Contains(stderr.String(), try.say) {
			return fmt.Errorf("init with recordings on %s: exit %d instead of %d, and it says %s%s", try.disk, code, try.code, stderr.String(), stdout.String())
		}
	}
	return nil
}
