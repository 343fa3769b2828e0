package cases

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/lab"
)

// oddHost is one server as sites have them, and what is odd about it.
type oddHost struct {
	oddity string
	host   lab.Host
}

func allOddHosts() []oddHost {
	return []oddHost{
		{"dropbear, which has no sftp-server", lab.Host{Name: "odd-dropbear", SSHD: lab.Dropbear}},
		{"no TCP forwarding, one session, use_pty, keyboard-interactive", lab.Host{Name: "odd-hardened", Hardened: true, Sudo: lab.SudoPassword}},
		{"/tmp and home noexec", lab.Host{Name: "odd-noexec", Noexec: true}},
		{"a login shell that prints", lab.Host{Name: "odd-noisy", NoisyShell: true}},
		{"sudo with a password, another port", lab.Host{Name: "odd-sudo", Sudo: lab.SudoPassword, Port: 2222}},
		{"a root login without sudo", lab.Host{Name: "odd-root", User: "root", Sudo: lab.SudoNone}},
		{"all of it at once", lab.Host{Name: "odd-all", Hardened: true, Noexec: true, NoisyShell: true, Sudo: lab.SudoPassword, Port: 2022}},
		{"behind a jump host", lab.Host{Name: "odd-behind", Behind: "app1"}},
	}
}

const oddSite = "odd-hosts.yaml"

// oddHosts reaches servers that are each odd in their own way. Few of them run at once:
// every systemd takes several of the machine's inotify instances, of which the kernel
// gives root 128 by default.
func oddHosts(ctx context.Context, e *Env) error {
	const atOnce = 4
	for some := range slices.Chunk(allOddHosts(), atOnce) {
		if err := reachOddHosts(ctx, e, some); err != nil {
			return err
		}
	}
	return nil
}

// reachOddHosts reaches hosts first bare and then with the agent already there, one by
// one and all at once, and removes them.
func reachOddHosts(ctx context.Context, e *Env, hosts []oddHost) (err error) {
	defer func() { err = errors.Join(err, removeOddHosts(context.WithoutCancel(ctx), e, hosts)) }()
	entries, err := addOddHosts(ctx, e, hosts)
	if err != nil {
		return err
	}
	if err := writeOddSite(e, oddSite, entries); err != nil {
		return err
	}
	for _, h := range hosts {
		if err := reachOddHost(ctx, e, h); err != nil {
			return fmt.Errorf("%s (%s): %w", h.host.Name, h.oddity, err)
		}
	}
	return e.Timed("all at once", func() error {
		_, err := e.Expect(ctx, 0, "facts", "--site", oddSite, "-o", "json")
		return err
	})
}

// addOddHosts adds hosts side by side, and returns their entries of a site file.
func addOddHosts(ctx context.Context, e *Env, hosts []oddHost) (entries []string, err error) {
	wanted := make([]lab.Host, len(hosts))
	for i, h := range hosts {
		wanted[i] = h.host
		wanted[i].Roles = []string{lab.RoleMedia}
	}
	wanted[0].Roles = []string{lab.RoleApp} // a site file needs one
	added, err := e.Lab.AddHosts(ctx, wanted...)
	if err != nil {
		return nil, err
	}
	for _, h := range added {
		entry, err := e.Lab.Fragment(h)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry)
	}
	return entries, nil
}

// reachOddHost wants an agent on a host that has none, owned by root and for root to
// change alone, and the same agent used the second time.
func reachOddHost(ctx context.Context, e *Env, h oddHost) error {
	facts := func() error {
		result, err := e.Expect(ctx, 0, "facts", "--site", oddSite, "--host", h.host.Name, "-o", "json")
		if err == nil && !strings.Contains(result.Stdout, h.host.Name) {
			err = fmt.Errorf("the facts are not this host's: %s", result.Stdout)
		}
		return err
	}
	if err := e.Timed(h.host.Name+", bare", facts); err != nil {
		return err
	}
	before, err := agentsOn(ctx, e, h.host.Name)
	if err != nil {
		return err
	}
	if err := e.Timed(h.host.Name+", again", facts); err != nil {
		return err
	}
	after, err := agentsOn(ctx, e, h.host.Name)
	if err == nil && before != after {
		err = fmt.Errorf("the agent was uploaded again: %q, then %q", before, after)
	}
	return err
}

// agentsOn tells the agents of a host apart by inode and time, and wants root to own
// them.
func agentsOn(ctx context.Context, e *Env, host string) (string, error) {
	out, err := e.Lab.Output(ctx, host, "find", "/var/lib/valtctl/agent", "-name", "valtctl", "-printf", "%u:%g %m %i %T@ %p\n")
	if err != nil {
		return "", err
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 1 || !strings.HasPrefix(lines[0], "root:root 755 ") {
		return "", fmt.Errorf("its agents are %q, not one of root's with mode 755", out)
	}
	return out, nil
}

// writeOddSite writes a site file of the hosts' entries beside the lab's own.
func writeOddSite(e *Env, file string, entries []string) error {
	text := "site: odd-hosts\nname: valt.practice.example\nssl: false\nclients: [10.0.0.0/8]\n" +
		"ssh: { user: " + lab.DefaultUser + ", identity: id_ed25519, known_hosts: known_hosts }\nhosts:\n" + strings.Join(entries, "")
	if err := os.WriteFile(e.Lab.Path(file), []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing a site file of odd hosts: %w", err)
	}
	return nil
}

func removeOddHosts(ctx context.Context, e *Env, hosts []oddHost) error {
	var names []string
	for _, h := range hosts {
		names = append(names, h.host.Name)
	}
	return e.removeAny(ctx, names...)
}
