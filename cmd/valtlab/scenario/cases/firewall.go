package cases

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"ipivs.com/valtctl/cmd/valtlab/lab"
)

const (
	managedSite = "firewall.yaml"     // the practice site with a managed firewall
	cuttingSite = "firewall-cut.yaml" // one that shuts the controller out
	stranger    = "stranger"
)

// firewall has hosts' firewalls managed and looks at them with nmap from inside and
// outside the site's networks, and then tries one that would cut SSH off.
func firewall(ctx context.Context, e *Env) (err error) {
	if err := e.writeFirewallSites(); err != nil {
		return err
	}
	hosts, err := e.siteHosts()
	if err != nil {
		return err
	}
	if e.Sample { // the one with published container ports
		hosts = []string{"app1"}
	}
	defer func() { err = errors.Join(err, e.firewallOff(context.WithoutCancel(ctx), hosts)) }()
	outside, err := e.startStranger(ctx)
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, e.Lab.RemovePeer(context.WithoutCancel(ctx), stranger))
	}()
	for _, host := range hosts {
		if err := e.rulesLoad(ctx, host); err != nil {
			return err
		}
	}
	if err := e.Timed("install, firewall managed", func() error { return e.installFrom(ctx, managedSite, hosts, "") }); err != nil {
		return err
	}
	return e.firewallHolds(ctx, hosts, outside)
}

// firewallHolds looks at the hosts' firewalls, also after a reboot and a bad try.
func (e *Env) firewallHolds(ctx context.Context, hosts []string, outside netip.Addr) error {
	for _, host := range hosts {
		if err := e.scanned(ctx, host, outside); err != nil {
			return err
		}
		if err := e.stillWorks(ctx, host); err != nil {
			return err
		}
	}
	one := hosts[e.Random.IntN(len(hosts))]
	if err := e.Timed("rules that would cut SSH off on "+one, func() error { return e.cutIsPutBack(ctx, one) }); err != nil {
		return err
	}
	if err := e.Timed("reboot "+one, func() error { return e.Reboot(ctx, one) }); err != nil {
		return err
	}
	if err := e.scanned(ctx, one, outside); err != nil {
		return fmt.Errorf("after a reboot: %w", err)
	}
	return e.installFrom(ctx, managedSite, []string{one}, "nothing to change")
}

// writeFirewallSites writes the two site files: the client's container alone is a client,
// and this machine alone, or one that is nobody, an administrator.
func (e *Env) writeFirewallSites() error {
	text, err := readFile(e.Lab.Path("site.yaml"))
	if err != nil {
		return err
	}
	here := e.Lab.Subnet().Addr().Next()
	for name, admin := range map[string]netip.Addr{managedSite: here, cuttingSite: e.Lab.Client()} {
		changed := regexp.MustCompile(`(?m)^clients:.*\nadmins:.*$`).ReplaceAll(text,
			fmt.Appendf(nil, "clients: [%s]\nadmins: [%s]\nfirewall: managed", e.Lab.Client(), admin))
		if err := os.WriteFile(e.Lab.Path(name), changed, 0o600); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}

// startStranger starts a container whose address is in no network of the site.
func (e *Env) startStranger(ctx context.Context) (netip.Addr, error) {
	image, err := e.Lab.WorldImage(ctx)
	if err != nil {
		return netip.Addr{}, err
	}
	addresses, err := e.Lab.Free(ctx, 1)
	if err != nil {
		return netip.Addr{}, err
	}
	return addresses[0], e.Lab.StartPeer(ctx, lab.Peer{Name: stranger, Image: image, Command: []string{"sleep", "infinity"}, Addresses: addresses})
}

// rulesLoad has nft itself judge what network prints.
func (e *Env) rulesLoad(ctx context.Context, host string) error {
	rules, err := e.Expect(ctx, 0, "network", "--site", managedSite, "--for", host, "-o", "nft")
	if err != nil {
		return err
	}
	return e.Lab.InNetwork(ctx, host, strings.NewReader(rules.Stdout), "nft", "-c", "-f", "-")
}

// installFrom installs hosts and wants the product to say something.
func (e *Env) installFrom(ctx context.Context, site string, hosts []string, say string) error {
	result, err := e.Expect(ctx, 0, append([]string{"install", "--yes", "--site", site}, on(hosts)...)...)
	if err != nil {
		return err
	}
	if !strings.Contains(result.Stdout+result.Stderr, say) {
		return fmt.Errorf("it does not say %q: %s%s", say, result.Stderr, result.Stdout)
	}
	return nil
}

// firewallOff leaves the hosts without a firewall of ours.
func (e *Env) firewallOff(ctx context.Context, hosts []string) error {
	err := e.installFrom(ctx, "site.yaml", hosts, "")
	for _, host := range hosts {
		if out, _ := e.Lab.Output(ctx, host, "nft", "list", "tables"); strings.Contains(out, "valtctl") {
			err = errors.Join(err, fmt.Errorf("%s has a table of ours although the firewall is off: %s", host, out))
		}
	}
	return err
}

// scanned wants nmap to get an answer, open or closed, from exactly the ports that the
// site's flows name, from inside and from outside at the same time.
func (e *Env) scanned(ctx context.Context, host string, outside netip.Addr) error {
	target, err := e.Lab.Host(host)
	if err != nil {
		return err
	}
	from := []string{"client", stranger}
	got := make([][]int, len(from))
	group, groupCtx := errgroup.WithContext(ctx)
	for i, name := range from {
		group.Go(func() (err error) {
			got[i], err = e.answersTo(groupCtx, name, target.Address)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for i, address := range []netip.Addr{e.Lab.Client(), outside} {
		want, err := e.allowed(ctx, address, target.Address)
		if err != nil {
			return err
		}
		e.Measure("from the "+from[i]+", "+host+" answers on", "%v", got[i])
		if !slices.Equal(got[i], want) {
			return fmt.Errorf("from %s nmap sees %v on %s, and the site allows %v", from[i], got[i], host, want)
		}
	}
	return nil
}

// answersTo lists the ports of an address from which nmap gets an answer.
func (e *Env) answersTo(ctx context.Context, from string, address netip.Addr) ([]int, error) {
	ports := "1-65535"
	if e.Sample {
		ports = "1-9999"
	}
	out, err := e.Lab.Output(ctx, from, "nmap", "-n", "-Pn", "-sS", "--max-retries", "2", "--min-rate", "4000", "-p", ports, "-oG", "-", address.String())
	return answering(out), err
}

var portState = regexp.MustCompile(`(\d+)/(?:open|closed)/tcp`)

// answering are the ports that nmap's output (-oG) calls open or closed, sorted.
func answering(out string) []int {
	ports := []int{}
	for _, found := range portState.FindAllStringSubmatch(out, -1) {
		port, err := strconv.Atoi(found[1])
		if err == nil {
			ports = append(ports, port)
		}
	}
	slices.Sort(ports)
	return ports
}

// allowed are the TCP ports that the site's flows name between two addresses, sorted.
func (e *Env) allowed(ctx context.Context, from, to netip.Addr) ([]int, error) {
	result, err := e.Expect(ctx, 0, "network", "--site", managedSite, "-o", "csv")
	if err != nil {
		return nil, err
	}
	rows, err := csv.NewReader(strings.NewReader(result.Stdout)).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, fmt.Errorf("reading the flows: %w", errors.Join(err, errors.New(result.Stdout)))
	}
	ports := []int{}
	for _, row := range rows[1:] {
		flow := map[string]string{}
		for i, column := range rows[0] {
			flow[column] = row[i]
		}
		if flow["source_address"] != from.String() || flow["destination_address"] != to.String() || flow["protocol"] != "tcp" {
			continue
		}
		port, err := strconv.Atoi(flow["port"])
		if err != nil {
			return nil, fmt.Errorf("reading a flow's port: %w", err)
		}
		ports = append(ports, port)
	}
	slices.Sort(ports)
	return slices.Compact(ports), nil
}

// stillWorks wants Docker, a container's way out and loopback to be as before.
func (e *Env) stillWorks(ctx context.Context, host string) error {
	images, err := e.Lab.Output(ctx, host, "docker", "image", "ls", "--format", "{{.Repository}}")
	if err != nil {
		return err
	}
	repository, _, _ := strings.Cut(images, "\n")
	// The registry answers that it has no such tag: Docker got through to it.
	if out, err := e.Lab.Output(ctx, host, "docker", "pull", repository+":no-such-tag"); err == nil || !strings.Contains(err.Error()+out, "manifest unknown") && !strings.Contains(err.Error()+out, "not found") {
		return fmt.Errorf("docker pull on %s: %s %w", host, out, err)
	}
	loopback := []string{"bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/22"}
	if _, err := e.Lab.Output(ctx, host, loopback...); err != nil {
		return fmt.Errorf("loopback on %s: %w", host, err)
	}
	pids, err := e.Lab.Output(ctx, host, "sh", "-c", "docker inspect --format '{{.State.Pid}}' $(docker ps -q)")
	if err != nil {
		return err
	}
	for _, pid := range strings.Fields(pids) {
		out := "timeout 5 nsenter --target " + pid + " --net bash -c 'exec 3<>/dev/tcp/" + e.Lab.World().String() + "/80'"
		if _, err := e.Lab.Output(ctx, host, "sh", "-c", out); err != nil {
			return fmt.Errorf("a container's way out on %s: %w", host, err)
		}
	}
	return nil
}

// cutIsPutBack installs rules that let this machine in no more, and wants the host to
// undo them, to say why, and to be reachable and as before.
func (e *Env) cutIsPutBack(ctx context.Context, host string) error {
	before, err := e.fingerprints(ctx, host)
	if err != nil {
		return err
	}
	result, err := e.Expect(ctx, 1, "install", "--yes", "--site", cuttingSite, "--host", host)
	if err != nil {
		return err
	}
	for _, say := range []string{"host " + host, "so the former ones are back in force", "admins"} {
		if !strings.Contains(result.Stderr, say) {
			return fmt.Errorf("it does not say %q: %s", say, result.Stderr)
		}
	}
	after, err := e.fingerprints(ctx, host)
	return errors.Join(err, same(before, after))
}
