package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"time"

	"github.com/docker/docker/client"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/durable"
)

// EngineConfigParams is how the Docker engine is set up.
type EngineConfigParams struct {
	Proxy       string `json:"proxy,omitempty"`    // URL, without a password
	NoProxy     string `json:"no_proxy,omitempty"` // names and networks, comma separated
	AddressPool string `json:"address_pool,omitempty"`
	LiveRestore bool   `json:"live_restore"`
	// RegistryCAs are PEM certificates by registry, "docker.ipivs.com" or "mirror:5000".
	RegistryCAs map[string]string `json:"registry_cas,omitempty"`
	LogMaxSize  string            `json:"log_max_size,omitempty"` // Docker's size; empty: "50m"
	LogMaxFile  int               `json:"log_max_file,omitempty"` // 0: 5
	// LastLook is at the recorders, right before the engine is restarted on the way back.
	LastLook *LastLook `json:"last_look,omitempty"`
}

// KindEngineConfig names what EngineConfigKind makes.
const KindEngineConfig step.KindName = "engine-config"

// EngineConfigKind writes the engine's configuration, before its first start where it can,
// and makes a running engine take it.
func EngineConfigKind() step.Kind {
	return step.KindOf(KindEngineConfig, step.Reversible, func(p EngineConfigParams) (step.Step, error) { return newEngineConfig(p) })
}

// The files of the engine, and the mark that a running one has not read them yet. The
// mark is on /run: a reboot starts the engine anew and takes the mark away.
const (
	daemonFile  = "/etc/docker/daemon.json"
	certsDir    = "/etc/docker/certs.d"
	proxyDropIn = "/etc/systemd/system/docker.service.d/valtctl-proxy.conf"
	restartMark = "/run/valtctl/engine-restart"
)

type engineConfig struct {
	EngineConfigParams
	quiet time.Duration // of LastLook
}

func newEngineConfig(p EngineConfigParams) (*engineConfig, error) {
	if p.LogMaxSize == "" {
		p.LogMaxSize = "50m"
	}
	if p.LogMaxFile == 0 {
		p.LogMaxFile = 5
	}
	if _, err := p.daemonKeys(); err != nil {
		return nil, fmt.Errorf("checking the engine's configuration: %w", err)
	}
	if p.Proxy != "" {
		u, err := url.Parse(p.Proxy)
		if err != nil || u.Host == "" || u.User != nil {
			return nil, errors.New("checking the engine's proxy: it must be an address like http://proxy:3128, without a password")
		}
	}
	for host := range p.RegistryCAs {
		if !regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?$`).MatchString(host) {
			return nil, fmt.Errorf("checking the engine's configuration: %q is not a registry's host[:port]", host)
		}
	}
	quiet, err := p.LastLook.Between()
	return &engineConfig{p, quiet}, err
}

// engineFile is one file of the engine as it is and shall be; a nil want means none.
type engineFile struct {
	path      string
	was, want []byte
	restart   bool // a running engine reads it only when it starts
}

func (f engineFile) diff() string {
	switch {
	case f.want == nil && f.was == nil:
		return ""
	case f.want == nil:
		return fmt.Sprintf("- %s\n", f.path)
	}
	return step.TextDiff(f.path, f.was, f.want)
}

// files lists them in a fixed order. Certificates of registries are read at each
// connection and need neither reload nor restart.
func (e *engineConfig) files(h *step.Machine) ([]engineFile, error) {
	daemon, err := step.ReadIfThere(h.Path(daemonFile))
	if err != nil {
		return nil, err
	}
	edited, err := e.daemonEdit()(daemon)
	if err != nil {
		return nil, fmt.Errorf("editing %s: %w", daemonFile, err)
	}
	files := []engineFile{{path: daemonFile, was: daemon, want: edited, restart: e.needsRestart(daemon)}}
	unit, err := step.ReadIfThere(h.Path(proxyDropIn))
	if err != nil {
		return nil, err
	}
	var wantUnit []byte
	if text := e.proxyUnit(); text != "" {
		wantUnit = []byte(text)
	}
	files = append(files, engineFile{path: proxyDropIn, was: unit, want: wantUnit, restart: true})
	for _, host := range slices.Sorted(maps.Keys(e.RegistryCAs)) {
		path := certsDir + "/" + host + "/ca.crt"
		was, err := step.ReadIfThere(h.Path(path))
		if err != nil {
			return nil, err
		}
		files = append(files, engineFile{path: path, was: was, want: []byte(e.RegistryCAs[host])})
	}
	return slices.DeleteFunc(files, func(f engineFile) bool { return f.diff() == "" }), nil
}

// needsRestart reports whether an edit of daemon.json changes more than what SIGHUP makes
// the engine read again (dockerd's "Configuration reload behavior": live-restore, of ours).
func (e *engineConfig) needsRestart(daemon []byte) bool {
	config, err := jsonObject(daemon)
	if err != nil {
		return true
	}
	wanted, err := e.daemonKeys()
	if err != nil {
		return true
	}
	delete(wanted, "live-restore")
	for key, value := range wanted {
		if same, err := setKey(config, key, value); err != nil || !same {
			return true
		}
	}
	return false
}

func (e *engineConfig) Inspect(ctx context.Context, h *step.Machine) (step.Finding, error) {
	files, err := e.files(h)
	if err != nil {
		return step.Finding{}, err
	}
	marked, err := isThere(h.Path(restartMark))
	if err != nil {
		return step.Finding{}, err
	}
	finding := step.Finding{Change: len(files) > 0, Disrupts: step.Nothing}
	restart := marked
	for _, f := range files {
		finding.Diff += f.diff()
		restart = restart || f.restart
	}
	if !restart {
		return finding, nil
	}
	running, up, err := e.engineState(ctx, h)
	if err != nil || !up {
		return finding, err
	}
	finding.Change = true
	finding.Diff += "- Docker engine with its former configuration\n+ Docker engine restarted\n"
	if running > 0 {
		finding.Disrupts = step.Engine
	}
	return finding, nil
}

// engineState is how many containers run, and whether there is an engine at all.
func (e *engineConfig) engineState(ctx context.Context, h *step.Machine) (running int, up bool, err error) {
	engine, err := h.Docker()
	if err != nil {
		return 0, false, fmt.Errorf("asking the engine for its state: %w", err)
	}
	info, err := engine.Info(ctx)
	if client.IsErrConnectionFailed(err) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("asking the engine for its state: %w", err)
	}
	return info.ContainersRunning, true, nil
}

// Apply writes the mark before the files: killed between them, the next Inspect still knows
// that the running engine lags behind.
func (e *engineConfig) Apply(ctx context.Context, h *step.Machine) error {
	files, err := e.files(h)
	if err != nil {
		return err
	}
	_, up, err := e.engineState(ctx, h)
	if err != nil {
		return err
	}
	restart, err := isThere(h.Path(restartMark))
	if err != nil {
		return err
	}
	restart = restart || slices.ContainsFunc(files, func(f engineFile) bool { return f.restart })
	if up && restart {
		if err := step.WriteFile(h, restartMark, nil, step.Owner{Mode: 0o600}); err != nil {
			return err
		}
	}
	for _, f := range files {
		if err := f.write(h); err != nil {
			return err
		}
	}
	onlyCAs := !slices.ContainsFunc(files, func(f engineFile) bool { return f.path == daemonFile })
	if !up || (onlyCAs && !restart) {
		return dropMark(h)
	}
	return KeepingContainers(ctx, h, ComeBackWithin, func() error { return e.take(ctx, h, restart) })
}

// Undo puts back the engine's configuration and has it read that. The containers have been
// brought back before it: they must be so still when the engine has restarted.
func (e *engineConfig) Undo(ctx context.Context, h *step.Machine) error {
	any, err := step.PutBack(h)
	if err != nil || !any {
		return err
	}
	_, up, err := e.engineState(ctx, h)
	if err != nil || !up {
		return err
	}
	if err := e.LastLook.Await(ctx, h, e.quiet, "the Docker engine", nil); err != nil {
		return err
	}
	return KeepingContainers(ctx, h, ComeBackWithin, func() error { return e.take(ctx, h, true) })
}

func (f engineFile) write(h *step.Machine) error {
	if f.want != nil {
		return step.WriteFile(h, f.path, f.want, step.Owner{Mode: 0o644})
	}
	return step.RemoveFile(h, f.path)
}

// take makes a running engine read its configuration. The reload comes first: it switches
// live-restore on, and only then does a restart leave the containers running.
func (e *engineConfig) take(ctx context.Context, h *step.Machine, restart bool) error {
	commands := [][]string{{"systemctl", "daemon-reload"}, {"systemctl", "reload", "docker.service"}}
	if restart {
		commands = append(commands, []string{"systemctl", "restart", "docker.service"})
	}
	for _, argv := range commands {
		if _, err := h.Run.Run(ctx, step.Command{Argv: argv}); err != nil {
			return fmt.Errorf("making the Docker engine read its configuration (%s): %w", argv[1], err)
		}
	}
	return dropMark(h)
}

func dropMark(h *step.Machine) error {
	if err := durable.Remove(h.Path(restartMark)); err != nil {
		return fmt.Errorf("removing %s: %w", restartMark, err)
	}
	return nil
}

func isThere(full string) (bool, error) {
	_, err := os.Lstat(full)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for %s: %w", full, err)
	}
	return true, nil
}
