package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"ipivs.com/valtctl/cmd/valtlab/containers"
)

// wanted is what an installed host of a role has that the playbook compares with.
type wanted struct {
	files    []string
	services []string // whose containers' images it names
}

// wantedOf lists it. The files of steps that every host has come first.
func wantedOf(role string) wanted {
	files := []string{
		"/etc/valt/tls/certificate.pem", "/etc/valt/tls/key.pem",
		"/etc/needrestart/conf.d/valtctl.conf", "/etc/apt/apt.conf.d/zz-valtctl-reboot",
		"/usr/local/share/ca-certificates/valtctl-ca.crt",
		"/etc/apt/sources.list.d/ubuntu.sources", "/etc/apt/sources.list.d/ubuntu-security.sources",
		"/etc/apt/sources.list.d/valt.sources", "/etc/apt/keyrings/valt.gpg",
		"/etc/apt/sources.list.d/docker.sources", "/etc/apt/keyrings/docker.gpg",
		"/etc/systemd/timesyncd.conf.d/valtctl.conf",
		"/etc/docker/daemon.json", "/etc/docker/certs.d/docker.ipivs.com/ca.crt", "/root/.docker/config.json",
		"/etc/valt/compose/" + role + ".yaml",
	}
	if role == "app" {
		return wanted{append(files, "/etc/valt/banner.txt"), []string{"db", "messaging", "web"}}
	}
	return wanted{append(files, "/etc/valt/licence/wowza.key", "/etc/systemd/system/docker.service.d/valt-recordings.conf"), []string{"engine"}}
}

// hostVars collects a host's state and returns its entry of the inventory.
func (b *bench) hostVars(ctx context.Context, h host, site string) (map[string]any, error) {
	if len(h.Roles) != 1 {
		return nil, fmt.Errorf("host %s: the playbook knows hosts of one role", h.Name)
	}
	want := wantedOf(h.Roles[0])
	state := filepath.Join(b.work, "state", h.Name)
	for _, path := range want.files {
		if err := b.fetch(ctx, h.Name, path, filepath.Join(state, path)); err != nil {
			return nil, err
		}
	}
	images := map[string]string{}
	for _, service := range want.services {
		id, err := b.Lab.Output(ctx, h.Name, "docker", "container", "inspect", "--format", "{{.Image}}", "valt-"+service)
		if err != nil {
			return nil, fmt.Errorf("asking %s for its image of %s: %w", h.Name, service, err)
		}
		images[service] = id
	}
	vars := map[string]any{"ansible_host": h.Address, "role": h.Roles[0], "site_name": site, "state": state, "images": images}
	for name, variable := range pinned {
		version, err := b.Lab.Output(ctx, h.Name, "dpkg-query", "-W", "-f", "${Version}", name)
		if err != nil {
			return nil, fmt.Errorf("asking %s for its packages: %w", h.Name, err)
		}
		vars[variable] = version
	}
	return vars, nil
}

// pinned are the packages that a release wants in one version, with the playbook's
// variables for those.
var pinned = map[string]string{"valt-host": "valt_host", "valt-tools": "valt_tools"}

// fetch copies a file of a host. Keys are among them, so the copy is for us alone.
func (b *bench) fetch(ctx context.Context, name, from, to string) error {
	var content, said bytes.Buffer
	code, err := b.Lab.Exec(ctx, name, containers.Exec{Argv: []string{"cat", from}, Stdout: &content, Stderr: &said})
	if err == nil && code != 0 {
		err = errors.New(said.String())
	}
	if err != nil {
		return fmt.Errorf("reading %s of %s: %w", from, name, err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fmt.Errorf("keeping %s of %s: %w", from, name, err)
	}
	if err := os.WriteFile(to, content.Bytes(), 0o600); err != nil {
		return fmt.Errorf("keeping %s of %s: %w", from, name, err)
	}
	return nil
}
