package cases

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/installer/site"
)

// addMediaServer installs a site by flags alone, and later adds a media server by questions:
// the servers that serve already are what they were, their containers started when they had.
// A sample leaves the application server out of both installations.
func addMediaServer(ctx context.Context, e *Env) error {
	if err := e.bareSite(ctx); err != nil {
		return err
	}
	own, folder, err := e.guidedFolder("add-media-server", "ssh: { known_hosts: ../known_hosts }\n")
	if err != nil {
		return err
	}
	last := own.Hosts[len(own.Hosts)-1]
	first := own.Hosts[:len(own.Hosts)-1]
	file := filepath.Join(folder, "site.yaml")
	if err := e.Timed("first installation", func() error { return e.installByFlags(ctx, own, first, file) }); err != nil {
		return err
	}
	names := e.toInstall(first)
	before, started, err := e.undisturbed(ctx, names)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading the site file: %w", err)
	}
	if err := e.Timed("another media server", func() error { return e.addByQuestions(ctx, last, folder) }); err != nil {
		return err
	}
	after, startedAfter, err := e.undisturbed(ctx, names)
	if err != nil {
		return err
	}
	if err := same(before, after); err != nil {
		return err
	}
	if !maps.Equal(started, startedAfter) {
		return fmt.Errorf("containers on the first hosts were started anew: %v before, %v after", started, startedAfter)
	}
	now, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading the site file: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if !strings.Contains(string(now), line) {
			return fmt.Errorf("the site file has lost the line %q", line)
		}
	}
	if e.Sample {
		return nil
	}
	return e.serves(ctx)
}

// toInstall are the names of those of the hosts that this run installs.
func (e *Env) toInstall(hosts []site.Host) []string {
	var names []string
	for _, h := range hosts {
		if !e.Sample || !h.Has(site.App) {
			names = append(names, h.Name)
		}
	}
	return names
}

// installByFlags makes a site file without a terminal, and installs it.
func (e *Env) installByFlags(ctx context.Context, own *site.Site, hosts []site.Host, file string) error {
	args := []string{"init", "--yes", "--site", file, "--layout", "several", "--id", own.ID, "--name", own.Name, "--certificate", "../site.pem", "--certificate-key", "../site.key",
		"--registry-user", lab.RegistryUser, "--registry-password-file", "../registry_password", "--ssh-user", own.Hosts[0].SSH.User, "--ssh-identity", "../id_ed25519",
		"--clients", site.NetworkText(own.Clients[0])}
	for _, h := range hosts {
		spec := fmt.Sprintf("%s address=%s", h.Name, h.Address)
		if h.Has(site.Media) {
			var cameras []string
			for _, c := range h.Cameras {
				cameras = append(cameras, string(c.Address))
			}
			spec += fmt.Sprintf(" recordings=%s key-file=../licences/%s cameras=%s", h.Recordings, h.Name, strings.Join(cameras, ","))
		}
		args = append(args, "--server", spec)
	}
	if _, err := e.Expect(ctx, 0, args...); err != nil {
		return err
	}
	_, err := e.Expect(ctx, 0, append([]string{"install", "--yes", "--site", file}, on(e.toInstall(hosts))...)...)
	return err
}

// undisturbed is what hosts are, and when each of their containers was started.
func (e *Env) undisturbed(ctx context.Context, hosts []string) (map[string]fingerprint, map[string]string, error) {
	found, err := e.fingerprints(ctx, hosts...)
	if err != nil {
		return nil, nil, err
	}
	started := map[string]string{}
	for _, host := range hosts {
		ids, err := e.Lab.Output(ctx, host, "docker", "ps", "--quiet")
		if err != nil {
			return nil, nil, err
		}
		argv := append([]string{"docker", "inspect", "--format", "{{.Name}} {{.State.StartedAt}} {{.RestartCount}}"}, strings.Fields(ids)...)
		if started[host], err = e.Lab.Output(ctx, host, argv...); err != nil {
			return nil, nil, err
		}
	}
	return found, started, nil
}

// addByQuestions adds a server at a terminal, and installs.
func (e *Env) addByQuestions(ctx context.Context, h site.Host, folder string) (err error) {
	t, err := e.atTerminal(ctx, folder, "init")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.close()) }()
	turns := []turn{{words: "add a media server"}}
	for _, q := range serverTurns(h, false) {
		if q.words != "yes, remember it" { // its key is one of the lab's
			turns = append(turns, q)
		}
	}
	turns = append(turns, turn{words: "no, that is all"}, turn{words: "write site.yaml"}, turn{words: "Check the site now", downs: 1})
	if e.Sample {
		if err := t.converse(append(turns, turn{words: "Install now", downs: 1})); err != nil {
			return err
		}
		_, err := e.Expect(ctx, 0, "install", "--yes", "--site", filepath.Join(folder, "site.yaml"), "--host", h.Name)
		return errors.Join(t.end(installWithin, 0), err)
	}
	if err := t.converse(append(turns, turn{words: "Install now"}, turn{words: "Go on? [y/N]", text: "y"})); err != nil {
		return err
	}
	return t.end(installWithin, 0)
}
