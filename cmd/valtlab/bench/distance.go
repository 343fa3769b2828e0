package bench

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/relay"
)

// oneWay is the delay of each direction: a site on another continent.
const oneWay = 40 * time.Millisecond

// far is what an install costs at a distance.
type far struct {
	took  time.Duration
	trips map[string]int // by host
}

// distance runs one install with a relay before each host's sshd. The site file keeps
// the hosts' addresses, since the plan holds them; ssh_config says where they really are.
func (b *bench) distance(ctx context.Context) (far, error) {
	ctx, cancel := context.WithCancel(ctx)
	var relays sync.WaitGroup
	defer relays.Wait()
	defer cancel()
	counts := &tally{most: map[string]int{}}
	ports := map[string]int{}
	for _, h := range b.hosts {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return far{}, fmt.Errorf("listening before %s: %w", h.Name, err)
		}
		ports[h.Name] = listener.Addr().(*net.TCPAddr).Port
		r := relay.Relay{Target: net.JoinHostPort(h.Address, "22"), Delay: oneWay, Ended: func(n int) { counts.add(h.Name, n) }}
		relays.Go(func() { _ = r.Serve(ctx, listener) }) // what fails shows in the install
	}
	home, err := b.farHome(ports)
	if err != nil {
		return far{}, err
	}
	const name = "bench-distance.yaml"
	if err := b.farSite(name, ports); err != nil {
		return far{}, err
	}
	defer os.Remove(b.Lab.Path(name))
	took, err := b.install(ctx, name, append([]string{"HOME=" + home}, b.stateEnv()...))
	if err != nil {
		return far{}, err
	}
	cancel() // the relays tell their counts when their connections end
	relays.Wait()
	return far{took, counts.most}, nil
}

// stateEnv keeps the product's own folder where it is although HOME is another.
func (b *bench) stateEnv() []string {
	if os.Geteuid() == 0 || os.Getenv("XDG_STATE_HOME") != "" {
		return nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return nil
	}
	return []string{"XDG_STATE_HOME=" + filepath.Join(home, ".local", "state")}
}

// farHome is a home folder in which ssh_config leads to the relays, and known_hosts
// expects the hosts' keys there.
func (b *bench) farHome(ports map[string]int) (string, error) {
	known, err := os.ReadFile(b.Lab.Path("known_hosts"))
	if err != nil {
		return "", fmt.Errorf("reading the lab's host keys: %w", err)
	}
	folder := filepath.Join(b.work, "far", ".ssh")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("making a home folder: %w", err)
	}
	for name, text := range map[string]string{"config": farConfig(b.hosts), "known_hosts": farKeys(string(known), b.hosts, ports)} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("writing the home folder: %w", err)
		}
	}
	return filepath.Dir(folder), nil
}

func (b *bench) farSite(name string, ports map[string]int) error {
	text, err := os.ReadFile(b.Lab.Path(siteName))
	if err != nil {
		return fmt.Errorf("reading the lab's site file: %w", err)
	}
	changed, err := withPorts(text, ports)
	if err != nil {
		return err
	}
	if err := os.WriteFile(b.Lab.Path(name), changed, 0o600); err != nil {
		return fmt.Errorf("writing the site file of the relays: %w", err)
	}
	return nil
}

// farConfig is an ssh_config(5) that finds every host on loopback.
func farConfig(hosts []host) string {
	var text strings.Builder
	for _, h := range hosts {
		fmt.Fprintf(&text, "Host %s\n  HostName 127.0.0.1\n", h.Address)
	}
	return text.String()
}

// farKeys are the lines of known_hosts again, for the relays' ports.
func farKeys(known string, hosts []host, ports map[string]int) string {
	var text strings.Builder
	for line := range strings.Lines(known) {
		names, key, _ := strings.Cut(line, " ")
		for _, h := range hosts {
			if names == h.Address || strings.HasPrefix(names, h.Address+",") {
				fmt.Fprintf(&text, "[127.0.0.1]:%d %s\n", ports[h.Name], strings.TrimSpace(key))
			}
		}
	}
	return text.String()
}

// tally keeps the most trips of a host's connections.
type tally struct {
	mu   sync.Mutex
	most map[string]int
}

func (t *tally) add(host string, trips int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.most[host] = max(t.most[host], trips)
}
