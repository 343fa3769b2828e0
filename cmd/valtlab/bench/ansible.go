package bench

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// playbook is the other tool, ready to run.
type playbook struct {
	bench *bench
	site  site
	env   []string
}

// preparePlaybook writes what Ansible reads: its configuration, the inventory and the
// files that the hosts must have.
func (b *bench) preparePlaybook(ctx context.Context) (*playbook, error) {
	s, err := readSite(b.Lab.Path(siteName))
	if err != nil {
		return nil, err
	}
	p := &playbook{bench: b, site: s, env: []string{
		"ANSIBLE_CONFIG=" + filepath.Join(b.work, "ansible.cfg"), "ANSIBLE_HOME=" + filepath.Join(b.work, "home"),
		"ANSIBLE_NOCOLOR=1", "LC_ALL=C.UTF-8",
	}}
	if err := p.write("ansible.cfg", []byte(p.config())); err != nil {
		return nil, err
	}
	hosts := map[string]any{}
	for _, h := range s.Hosts {
		if hosts[h.Name], err = b.hostVars(ctx, h, s.Name); err != nil {
			return nil, err
		}
	}
	inventory, err := yaml.Marshal(map[string]any{"all": map[string]any{"hosts": hosts}})
	if err != nil {
		return nil, fmt.Errorf("writing the inventory: %w", err)
	}
	return p, p.write("inventory.yaml", inventory)
}

func (p *playbook) write(name string, content []byte) error {
	if err := os.WriteFile(filepath.Join(p.bench.work, name), content, 0o600); err != nil {
		return fmt.Errorf("preparing the playbook: %w", err)
	}
	return nil
}

// config is Ansible as those who care for its speed set it up (ansible.cfg: pipelining,
// ControlPersist, every host at once, no search for Python).
func (p *playbook) config() string {
	known := p.bench.Lab.Path("known_hosts")
	return fmt.Sprintf(`[defaults]
inventory = %[1]s/inventory.yaml
remote_user = %[2]s
private_key_file = %[3]s
interpreter_python = /usr/bin/python3
gathering = explicit
forks = 10
local_tmp = %[1]s/tmp
retry_files_enabled = False

[ssh_connection]
pipelining = True
ssh_args = -o ControlMaster=auto -o ControlPersist=300s -o UserKnownHostsFile=%[4]s -o StrictHostKeyChecking=yes
control_path = %[1]s/%%%%h
`, p.bench.work, p.site.SSH.User, p.bench.Lab.Path(p.site.SSH.Identity), known)
}

// run plays it once. Every task must find the host as it should be.
func (p *playbook) run(ctx context.Context) (time.Duration, map[string]int, error) {
	out, took, err := p.bench.command(ctx, p.env, "ansible-playbook", filepath.Join(p.bench.Playbook, "site.yaml"))
	if err != nil {
		return took, nil, err
	}
	tasks, err := parseRecap(out)
	return took, tasks, err
}

// leave ends the connections that ControlPersist keeps.
func (p *playbook) leave(ctx context.Context) {
	for _, h := range p.site.Hosts {
		// One that is gone already, or was never opened, has been left too.
		_, _, _ = p.bench.command(ctx, nil, "ssh", "-o", "ControlPath="+filepath.Join(p.bench.work, h.Address), "-O", "exit", h.Address)
	}
}

// recap is a host's line at the end of a run of ansible-playbook.
var recap = regexp.MustCompile(`(?m)^(\S+)\s*: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)\s+skipped=(\d+)`)

// parseRecap counts each host's tasks. The inclusion of the role's tasks is counted as a
// task by Ansible and not here. A task that changed or skipped something is an error:
// then another state was asserted than valtctl's.
func parseRecap(out string) (map[string]int, error) {
	tasks := map[string]int{}
	for _, m := range recap.FindAllStringSubmatch(out, -1) {
		ok, err := strconv.Atoi(m[2])
		if err != nil {
			return nil, fmt.Errorf("reading Ansible's recap: %w", err)
		}
		if strings.Join(m[3:], "") != "0000" {
			return nil, fmt.Errorf("the playbook does not find %s as valtctl left it: %s\n%s", m[1], m[0], out)
		}
		tasks[m[1]] = ok - 1
	}
	if len(tasks) == 0 {
		return nil, fmt.Errorf("reading Ansible's recap: there is none in %q", out)
	}
	return tasks, nil
}
