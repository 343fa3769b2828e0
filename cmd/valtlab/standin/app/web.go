package app

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// Where the image keeps what the entry needs.
const (
	nginxPlain = "/etc/valt-web/nginx-plain.conf"
	nginxTLS   = "/etc/valt-web/nginx-tls.conf"
	phpConfig  = "/etc/valt-web/php-fpm.conf"
)

// web runs nginx and PHP until one of them ends or ctx does. A container whose one half
// has died is no use, so the other is ended too and the restart policy takes over.
func web(ctx context.Context, env func(string) string) error {
	for _, name := range []string{"db-app", "messaging"} {
		if err := hand(secretsDir, runDir, name, uidWeb); err != nil {
			return err
		}
	}
	config, err := nginxConfig(env, runDir)
	if err != nil {
		return err
	}
	return supervise(ctx, []*exec.Cmd{
		exec.Command("/usr/sbin/php-fpm8.2", "--nodaemonize", "--fpm-config", phpConfig),
		exec.Command("/usr/sbin/nginx", "-e", "stderr", "-c", config),
	})
}

// nginxConfig chooses the configuration. The one for TLS names fixed paths, which it
// points to where the site's certificate and key are mounted.
func nginxConfig(env func(string) string, dir string) (string, error) {
	if env("VALT_SSL") != "true" {
		return nginxPlain, nil
	}
	for link, variable := range map[string]string{"certificate.pem": "VALT_CERTIFICATE", "key.pem": "VALT_KEY"} {
		target := env(variable)
		if _, err := os.Stat(target); err != nil {
			return "", fmt.Errorf("looking for %s: %w", variable, err)
		}
		path := filepath.Join(dir, link)
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return "", fmt.Errorf("pointing to %s: %w", variable, err)
		}
		if err := os.Symlink(target, path); err != nil {
			return "", fmt.Errorf("pointing to %s: %w", variable, err)
		}
	}
	return nginxTLS, nil
}

// stopWithin is how long a component may take to end by itself.
const stopWithin = 5 * time.Second

// supervise runs the programs until the first ends or ctx does; then it ends them all.
// It fails unless ctx was the reason.
func supervise(ctx context.Context, programs []*exec.Cmd) error {
	ended := make(chan error, len(programs))
	var all sync.WaitGroup
	var started []*exec.Cmd
	for _, p := range programs {
		p.Stdout, p.Stderr = os.Stdout, os.Stderr
		if err := p.Start(); err != nil {
			ended <- fmt.Errorf("starting %s: %w", p.Path, err)
			break
		}
		started = append(started, p)
		all.Go(func() {
			err := p.Wait()
			ended <- fmt.Errorf("running %s: it ended (%v): %w", p.Path, p.ProcessState, errOr(err, errEnded))
		})
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-ended:
	}
	for _, p := range started {
		p.Process.Signal(syscall.SIGQUIT) //nolint:errcheck // one of them has ended already
	}
	killer := time.AfterFunc(stopWithin, func() {
		for _, p := range started {
			p.Process.Kill() //nolint:errcheck // it may just have ended
		}
	})
	defer killer.Stop()
	all.Wait()
	return err
}
