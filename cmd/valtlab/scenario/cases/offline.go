package cases

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/repos/sleep"
)

// The host that bundles are made on: it reaches the vendor's servers, and is none of the
// site's.
const (
	makerName   = "maker"
	makerFolder = "/root/site"
)

// offline installs the site and updates it from bundles, while the world of the vendor's
// servers is switched off and every packet of the hosts to anything else is counted.
func offline(ctx context.Context, e *Env) (err error) {
	hosts, err := e.siteHosts()
	if err != nil {
		return err
	}
	if e.Sample { // one media server, installed
		hosts = hosts[1:2]
	}
	defer func() { err = errors.Join(err, e.worldOn(context.WithoutCancel(ctx))) }()
	if err := e.bareSite(ctx); err != nil {
		return err
	}
	if err := e.maker(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Lab.RemoveHosts(context.WithoutCancel(ctx), makerName)) }()
	first, err := e.makeBundle(ctx, releases.Stable)
	if err != nil {
		return err
	}
	if err := e.strangersRead(ctx, first); err != nil {
		return err
	}
	site, err := e.offlineSite(ctx, hosts)
	if err != nil {
		return err
	}
	if err := e.sealed(ctx, hosts, "install from a bundle", append([]string{"install", "--yes", "--site", site, "--bundle", first}, on(hosts)...)); err != nil {
		return err
	}
	if e.Sample {
		return nil
	}
	second, err := e.makeBundle(ctx, releases.Canary)
	if err != nil {
		return err
	}
	if err := e.sealed(ctx, hosts, "update from a bundle", e.quick("update", "--to", releases.Canary, "--site", site, "--bundle", second)); err != nil {
		return err
	}
	if err := e.sealed(ctx, hosts, "the same bundle again", e.quick("update", "--to", releases.Canary, "--site", site, "--bundle", second)); err != nil {
		return err
	}
	if err := e.serves(ctx); err != nil {
		return err
	}
	return e.Timed("carried in 200 days late", func() error { return e.carriedLate(ctx, hosts) })
}

// maker adds the host that bundles are made on, with the product and the site's files.
func (e *Env) maker(ctx context.Context) error {
	if err := e.removeAny(ctx, makerName); err != nil { // left by a run that was killed
		return err
	}
	if _, err := e.Lab.AddHost(ctx, lab.Host{Name: makerName}); err != nil {
		return err
	}
	files := []containers.File{}
	names := []string{"site.yaml", "site.pem", "site.key", "ca.crt", "root.json", "registry_password", "id_ed25519", "known_hosts"}
	media, err := e.mediaHosts()
	if err != nil {
		return err
	}
	for _, m := range media {
		names = append(names, "licences/"+m.Name)
	}
	for _, name := range names {
		content, err := readFile(e.Lab.Path(name))
		if err != nil {
			return err
		}
		files = append(files, containers.File{Path: path.Join(makerFolder, name), Mode: 0o600, Content: content})
	}
	binary, err := readFile(e.Valtctl)
	if err != nil {
		return err
	}
	files = append(files, containers.File{Path: "/usr/local/bin/valtctl", Mode: 0o755, Content: binary})
	return e.Lab.Engine().CopyTo(ctx, e.Lab.Container(makerName), files)
}

// makeBundle gathers the facts of all hosts and makes a bundle for them, while the world is
// there, and brings it to the controller. It returns its name in the lab's folder.
func (e *Env) makeBundle(ctx context.Context, release string) (string, error) {
	if err := e.worldOn(ctx); err != nil {
		return "", err
	}
	name := "site-" + release + ".bundle"
	err := e.Timed("bundle of "+release, func() error {
		facts, err := e.onMaker(ctx, "facts", "--full", "-o", "json")
		if err != nil {
			return err
		}
		if err := e.Lab.Put(ctx, makerName, makerFolder+"/facts.json", []byte(facts)); err != nil {
			return err
		}
		said, err := e.onMaker(ctx, "bundle", "create", "--release", release, "--have", makerFolder+"/facts.json", "-o", makerFolder+"/"+name)
		e.Measure("made", "%s", strings.TrimSpace(said))
		return err
	})
	if err != nil {
		return "", err
	}
	return name, e.fetchFile(ctx, makerName, makerFolder+"/"+name, e.Lab.Path(name))
}

// onMaker runs the product where bundles are made.
func (e *Env) onMaker(ctx context.Context, args ...string) (string, error) {
	var out, said strings.Builder
	code, err := e.Lab.Exec(ctx, makerName, containers.Exec{Argv: append([]string{"/usr/local/bin/valtctl"}, append(args, "--site", makerFolder+"/site.yaml")...),
		Stdout: &out, Stderr: &said})
	if err == nil && code != 0 {
		err = fmt.Errorf("valtctl %v on %s: exit %d: %s", args, makerName, code, said.String())
	}
	return out.String(), err
}

// fetchFile copies a file out of a container.
func (e *Env) fetchFile(ctx context.Context, from, file, to string) (err error) {
	in, _, err := e.Lab.Engine().API().CopyFromContainer(ctx, e.Lab.Container(from), file)
	if err != nil {
		return fmt.Errorf("fetching %s: %w", file, err)
	}
	defer in.Close()
	t := tar.NewReader(in)
	if _, err := t.Next(); err != nil {
		return fmt.Errorf("fetching %s: %w", file, err)
	}
	out, err := os.Create(to)
	if err != nil {
		return fmt.Errorf("fetching %s: %w", file, err)
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, t); err != nil {
		return fmt.Errorf("fetching %s: %w", file, err)
	}
	return nil
}

// strangersRead has other people's tools read the bundle.
func (e *Env) strangersRead(ctx context.Context, name string) error {
	image := "oci-archive:" + e.Lab.Path(name) + ":web:" + releases.Stable
	if err := e.Lab.OnMachine(ctx, nil, "skopeo", "inspect", image); err != nil {
		return err
	}
	copied, err := os.MkdirTemp("", "skopeo-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer os.RemoveAll(copied)
	if err := e.Lab.OnMachine(ctx, nil, "skopeo", "copy", "--insecure-policy", image, "dir:"+copied); err != nil {
		return err
	}
	for _, one := range []string{"valt/bundle.json", "valt/bundle.json.sig"} {
		if err := e.Lab.OnMachine(ctx, nil, "tar", "-C", copied, "-xf", e.Lab.Path(name), one); err != nil {
			return err
		}
	}
	key, err := readFile(e.Lab.Path("id_ed25519.pub"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(path.Join(copied, "signers"), []byte("maker@practice "+string(key)), 0o600); err != nil {
		return fmt.Errorf("writing the signers: %w", err)
	}
	list, err := os.Open(path.Join(copied, "valt/bundle.json"))
	if err != nil {
		return fmt.Errorf("reading the list of contents: %w", err)
	}
	defer list.Close()
	err = e.Lab.OnMachine(ctx, list, "ssh-keygen", "-Y", "verify", "-f", path.Join(copied, "signers"), "-I", "maker@practice",
		"-n", "bundle@valtctl.ipivs.com", "-s", path.Join(copied, "valt/bundle.json.sig"))
	if err == nil {
		e.Measure("read by others", "skopeo inspect, skopeo copy, ssh-keygen -Y verify")
	}
	return err
}

// electronic is a licence that needs the internet, as it stands in the lab's site file.
var electronic = regexp.MustCompile(`license: electronic\n +key_file: .*\n`)

// plugIn gives a host what a USB licence key looks like. The kernel's tree of buses is
// read-only in a container, so another one is put over it.
const plugIn = `set -e
[ -e /dev/bus/usb/001/002 ] && exit 0
mkdir -p /dev/bus/usb/001
mknod /dev/bus/usb/001/002 c 189 1
mount -t tmpfs tmpfs /sys/bus
mkdir -p /sys/bus/usb/devices/1-1
echo 0529 >/sys/bus/usb/devices/1-1/idVendor
echo 0001 >/sys/bus/usb/devices/1-1/idProduct`

// offlineSite is a site file for a site without internet, with licences on USB keys, and a
// proxy that leads nowhere; one host's SSH server is hardened.
func (e *Env) offlineSite(ctx context.Context, hosts []string) (string, error) {
	text, err := readFile(e.Lab.Path("site.yaml"))
	if err != nil {
		return "", err
	}
	text = electronic.ReplaceAll(text, []byte("license: physical\n"))
	for _, h := range hosts {
		if _, err := e.Lab.Output(ctx, h, "sh", "-c", plugIn); err != nil {
			return "", err
		}
	}
	site := strings.Replace(string(text), "network:\n", "network:\n  proxy: http://"+e.Lab.World().String()+":3128\n", 1) + "updates: { source: bundle }\n"
	if err := os.WriteFile(e.Lab.Path("offline.yaml"), []byte(site), 0o600); err != nil {
		return "", fmt.Errorf("writing a site file: %w", err)
	}
	last := hosts[len(hosts)-1]
	if err := e.Lab.Put(ctx, last, "/etc/ssh/sshd_config.d/05-hardened.conf", []byte("AllowTcpForwarding no\nMaxSessions 1\nAllowAgentForwarding no\nX11Forwarding no\n")); err != nil {
		return "", err
	}
	if _, err := e.Lab.Output(ctx, last, "systemctl", "restart", "ssh.service"); err != nil {
		return "", err
	}
	e.Measure("odd", "%s has a hardened sshd, and the site a proxy that leads nowhere", last)
	return "offline.yaml", nil
}

// counting is a table that counts what a host sends by its interface to anything but the
// site's own, its containers' packets included.
const counting = `table inet valtlab_count
delete table inet valtlab_count
table inet valtlab_count {
	counter others {}
	set seen { type ipv4_addr . inet_proto; flags dynamic; size 64; }
	set own { type ipv4_addr; flags interval; elements = { OWN } }
	chain sent {
		type filter hook output priority -300;
		oifname != "eth0" return
		ip daddr @own return
		ip daddr 0.0.0.0/0 counter name others
		update @seen { ip daddr . meta l4proto }
	}
	chain passed {
		type filter hook forward priority -300;
		oifname != "eth0" return
		ip daddr @own return
		ip daddr 0.0.0.0/0 counter name others
		update @seen { ip daddr . meta l4proto }
	}
}
`

// sealed runs the product while the world is off, and wants no packet to have left the site.
func (e *Env) sealed(ctx context.Context, hosts []string, name string, args []string) error {
	if err := e.worldOff(ctx); err != nil {
		return err
	}
	rules := strings.Replace(counting, "OWN", strings.Join(e.siteAddresses(), ", "), 1)
	for _, h := range hosts {
		if err := e.Lab.InNetwork(ctx, h, strings.NewReader(rules), "nft", "-f", "-"); err != nil {
			return err
		}
	}
	err := e.Timed(name, func() error {
		_, err := e.Expect(ctx, 0, args...)
		return err
	})
	if err != nil {
		return err
	}
	for _, h := range hosts {
		sent, err := e.strayPackets(ctx, h)
		if err != nil {
			return err
		}
		e.Measure(h, "%d packets to anything but the site's own", sent)
		if sent > 0 {
			seen, err := e.inNetworkOf(ctx, h, "nft", "list", "set", "inet", "valtlab_count", "seen")
			return errors.Join(fmt.Errorf("%s: %s sent %d packets to others than the controller and the site's hosts: %s", name, h, sent, seen), err)
		}
	}
	return nil
}

// siteAddresses are the controller, the hosts and the
// cameras that the media servers record.
func (e *Env) siteAddresses() []string {
	own := []string{e.Lab.World().Prev().String()} // the bridge's address is the controller's
	hosts, err := e.Lab.Hosts()
	if err != nil {
		return own
	}
	for _, h := range hosts {
		own = append(own, h.Address.String())
	}
	for n := 1; n <= 4; n++ {
		own = append(own, e.Lab.Camera(n).String())
	}
	return own
}

// strayPackets reads the counter.
func (e *Env) strayPackets(ctx context.Context, host string) (int, error) {
	out, err := e.inNetworkOf(ctx, host, "nft", "list", "counter", "inet", "valtlab_count", "others")
	if err != nil {
		return 0, err
	}
	words := strings.Fields(out)
	for i, w := range words {
		if w == "packets" && i+1 < len(words) {
			return strconv.Atoi(words[i+1])
		}
	}
	return 0, fmt.Errorf("reading the counter of %s: %q", host, out)
}

// inNetworkOf is the output of a program of this machine in a host's network.
func (e *Env) inNetworkOf(ctx context.Context, host string, argv ...string) (string, error) {
	pid, err := e.Lab.Engine().PID(ctx, e.Lab.Container(host))
	if err != nil {
		return "", err
	}
	return outputOf(ctx, "nsenter", append([]string{"--target", strconv.Itoa(pid), "--net", "--"}, argv...)...)
}

func (e *Env) worldOff(ctx context.Context) error {
	now := 0
	if err := e.Lab.Engine().API().ContainerStop(ctx, e.Lab.Container("world"), container.StopOptions{Timeout: &now}); err != nil {
		return fmt.Errorf("switching the world off: %w", err)
	}
	return nil
}

// worldOn switches it on again, and waits until it answers.
func (e *Env) worldOn(ctx context.Context) error {
	if err := e.Lab.Engine().StartContainer(ctx, e.Lab.Container("world")); err != nil {
		return err
	}
	for range 300 {
		conn, err := e.Lab.Dial(ctx, "client", e.Lab.World().String()+":443")
		if err == nil {
			return conn.Close()
		}
		if err := sleep.For(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return errors.New("switching the world on: it does not answer")
}

// outputOf runs one of this machine's programs.
func outputOf(ctx context.Context, program string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, program, args...).Output()
	if err != nil {
		return "", fmt.Errorf("running %s: %w", program, err)
	}
	return string(out), nil
}
