package cases

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/lab"
)

// fingerprint is what a host is, in lines that two hosts with the same history of wishes
// have in common: files with mode, owner and hash, packages, containers, images, networks.
// It holds no time, nothing that is made at random (of a password, that it is there), and
// nothing of the agent, the journals and the caches.
type fingerprint []string

// fingerprints are those of several hosts by name.
func (e *Env) fingerprints(ctx context.Context, hosts ...string) (map[string]fingerprint, error) {
	found := make([]fingerprint, len(hosts))
	group, ctx := errgroup.WithContext(ctx)
	for i, host := range hosts {
		group.Go(func() (err error) {
			if found[i], err = fingerprintOf(ctx, e.Lab, host); err != nil {
				err = fmt.Errorf("describing %s: %w", host, err)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	all := map[string]fingerprint{}
	for i, host := range hosts {
		all[host] = found[i]
	}
	return all, nil
}

// looks are the programs that describe a host, each line of whose output is one of the
// fingerprint's. What is not installed yet has nothing to say.
var looks = [][]string{
	{"find", "/etc", "/srv", "/usr/local", "-printf", `%M %u:%g %p %l\n`},
	{"find", "/etc", "/srv", "/usr/local", "-type", "f", "-exec", "sha256sum", "{}", "+"},
	{"dpkg-query", "--show", "--showformat", `package ${db:Status-Abbrev} ${Package}:${Architecture}=${Version}\n`},
	{"docker", "ps", "--all", "--no-trunc", "--format", `container {{.Names}} {{.Image}} {{.State}} {{.Label "com.ipivs.valtctl.spec"}}`},
	{"docker", "image", "ls", "--no-trunc", "--format", "image {{.Repository}}:{{.Tag}} {{.ID}}"},
	{"docker", "network", "ls", "--format", "network {{.Name}} {{.Driver}}"},
	{"docker", "volume", "ls", "--format", "volume {{.Name}}"},
}

func fingerprintOf(ctx context.Context, l *lab.Lab, host string) (fingerprint, error) {
	var lines fingerprint
	for _, argv := range looks {
		out, err := outputIfThere(ctx, l, host, argv...)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(out) {
			if line = strings.TrimSpace(line); !passing(line) {
				lines = append(lines, line)
			}
		}
	}
	installed, err := outputIfThere(ctx, l, host, "find", "/var/lib/valtctl", "-name", "host.json", "-exec", "cat", "{}", "+")
	if err != nil {
		return nil, err
	}
	line, err := installedLine(installed)
	lines = append(lines, line)
	slices.Sort(lines)
	return lines, err
}

// passing tells what differs between two equal hosts: what is made at random or by the
// order of events, and what the lab itself writes.
func passing(line string) bool {
	path := line[strings.LastIndexByte(line, '/')+1:]
	if strings.HasSuffix(path, "-") || strings.HasPrefix(path, ".#") { // passwd- and the like: the state before the last change
		return true
	}
	for _, ending := range []string{" /etc/ld.so.cache", " /etc/resolv.conf", " /etc/hosts", " /etc/hostname", " /etc/machine-id", " /etc/mtab"} {
		if strings.Contains(line+" ", ending+" ") {
			return true
		}
	}
	if strings.Contains(line, " /srv/valt/recordings/") {
		return true
	}
	hashed := len(line) > 64 && !strings.Contains(line[:64], " ")
	for _, random := range []string{"/etc/shadow", "/etc/valt/secrets/", "/etc/docker/key.json", "/etc/valtlab-"} {
		if hashed && strings.Contains(line, " "+random) {
			return true
		}
	}
	return false
}

// installedLine is host.json without its time and without the plan, which is another one
// where only some hosts were installed.
func installedLine(text string) (string, error) {
	if text == "" {
		return "installed: nothing", nil
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(text), &fields); err != nil {
		return "", fmt.Errorf("reading what is installed: %w", err)
	}
	delete(fields, "time")
	delete(fields, "plan_digest")
	kept, err := json.Marshal(fields)
	if err != nil {
		return "", fmt.Errorf("writing what is installed: %w", err)
	}
	return "installed: " + string(kept), nil
}

// outputIfThere is a program's output; empty where the host has no such program, or
// find has no such folder.
func outputIfThere(ctx context.Context, l *lab.Lab, host string, argv ...string) (string, error) {
	var stdout, stderr bytes.Buffer
	code, err := l.Exec(ctx, host, containers.Exec{Argv: argv, Stdout: &stdout, Stderr: &stderr})
	switch {
	case err != nil:
		return "", err
	case code == 126 || code == 127 || code == 1 && strings.Contains(stderr.String(), "No such file or directory"):
		return "", nil
	case code != 0:
		return "", fmt.Errorf("running %s: exit %d: %s", argv[0], code, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// same wants two descriptions of the hosts to be one, and names what differs.
func same(want, got map[string]fingerprint) error {
	for host, lines := range got {
		if differing := difference(want[host], lines); len(differing) > 0 {
			const shown = 12
			more := ""
			if n := len(differing); n > shown {
				differing, more = differing[:shown], fmt.Sprintf(" and %d more", n-shown)
			}
			return fmt.Errorf("%s is not as it should be: %s%s", host, strings.Join(differing, " | "), more)
		}
	}
	return nil
}

// difference lists lines of want that are missing as "- …" and others as "+ …".
func difference(want, got fingerprint) []string {
	var lines []string
	for _, line := range want {
		if _, found := slices.BinarySearch(got, line); !found {
			lines = append(lines, "- "+line)
		}
	}
	for _, line := range got {
		if _, found := slices.BinarySearch(want, line); !found {
			lines = append(lines, "+ "+line)
		}
	}
	return lines
}
