package cases

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/releases"
)

// badCase is one thing that is wrong with a server, made for real, and what check hosts must say of it.
type badCase struct {
	what string
	host string
	make string // for sh on the host
	undo string // empty: nothing is to be undone
	// check is the result's id; status, cause and fix are what it must be and hold.
	check, status, cause, fix string
}

// judge compares a case with what the report says.
func (c badCase) judge(r report) error {
	a, err := r.find(c.check)
	if err != nil {
		return fmt.Errorf("%s: %w", c.what, err)
	}
	if a.Status != c.status || !strings.Contains(a.Cause, c.cause) || !strings.Contains(a.Fix, c.fix) || a.Cause == "" || a.Fix == "" {
		return fmt.Errorf("%s (%s): it says %s because %q, fix %q, evidence %q; wanted %s because %q, fix %q",
			c.what, c.check, a.Status, a.Cause, a.Fix, a.Evidence, c.status, c.cause, c.fix)
	}
	return nil
}

const badHost = "bad-today"

// badHosts makes servers ill in every way that a check of hosts knows, all at once since each has a result of
// its own, and wants each named with its fix; then what must not be touched refused; and a healthy server of
// the newest Ubuntu found well.
func badHosts(ctx context.Context, e *Env) (err error) {
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	media, err := e.oneMedia()
	if err != nil {
		return err
	}
	boot := &smallBoot{Env: e, host: media}
	defer func() { err = errors.Join(err, boot.end(context.WithoutCancel(ctx))) }()
	if err := boot.begin(ctx); err != nil {
		return err
	}
	all, err := e.badCases(ctx, "app1", media)
	if err != nil {
		return err
	}
	if err := e.Timed("every trouble at once", func() error { return e.findTroubles(ctx, all) }); err != nil {
		return err
	}
	if err := e.Timed("refused", func() error { return e.refuseSources(ctx, media) }); err != nil {
		return err
	}
	return e.Timed("a healthy server of today", func() error { return healthyToday(ctx, e) })
}

// findTroubles makes all, checks once, and undoes all.
func (e *Env) findTroubles(ctx context.Context, all []badCase) (err error) {
	for _, c := range all {
		defer func() {
			if c.undo == "" {
				return
			}
			if _, failed := e.Lab.Output(context.WithoutCancel(ctx), c.host, "sh", "-c", c.undo); failed != nil {
				err = errors.Join(err, fmt.Errorf("undoing %s: %w", c.what, failed))
			}
		}()
		if _, err := e.Lab.Output(ctx, c.host, "sh", "-ec", c.make); err != nil {
			return fmt.Errorf("making %s: %w", c.what, err)
		}
	}
	r, err := e.checkHosts(ctx, "site.yaml")
	if err != nil {
		return err
	}
	e.Measure("troubles", "%d", len(all))
	var errs []error
	for _, c := range all {
		err := c.judge(r)
		mark := "found"
		if err != nil {
			mark = "WRONG"
		}
		e.Measure("  "+c.what, "%s", mark)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// checkHosts checks hosts, and once more where a busy machine had a host answer too late: what was too late is
// unknown, and tells nothing of the host.
func (e *Env) checkHosts(ctx context.Context, site string) (report, error) {
	for tries := 10; ; tries-- {
		r, result, err := e.check(ctx, "hosts", site)
		if err != nil {
			return r, err
		}
		late := slices.ContainsFunc(r.Result.Results, func(a answer) bool {
			return strings.Contains(a.Cause+strings.Join(a.Evidence, " "), "no answer within")
		})
		if e.Measure("check of "+site, "%d results in %.1f s", len(r.Result.Results), result.Took.Seconds()); !late || tries == 0 {
			return r, nil
		}
	}
}

// The files that make apt refuse its sources.
const (
	clashFile = "/etc/apt/sources.list.d/zz-docker.list"
	makeClash = "echo 'deb [signed-by=/usr/share/keyrings/ubuntu-archive-keyring.gpg] https://download.docker.com/linux/ubuntu '$(. /etc/os-release; echo $VERSION_CODENAME)' stable' > " + clashFile
)

const (
	variantsFile = "/etc/apt/apt.conf.d/99valtlab-variants"
	makeVariants = `echo 'APT::Architecture-Variants "amd64v3";' > ` + variantsFile
)

// replaceInPlace takes a file's place with its own copy, as dpkg does with a newer one.
const replaceInPlace = `replace() { cp -p "$1" "$1.valtlab" && mv "$1.valtlab" "$1"; }; `

// oldLibrary is a program that goes on with a library that was replaced.
const (
	oldUnit    = "valtlab-old.service"
	oldLibrary = "/usr/lib/libvaltlab.so.1"
)

// badCases are all of them. What a server is copied with is the application server's own.
func (e *Env) badCases(ctx context.Context, app, media string) ([]badCase, error) {
	id, err := e.Lab.Output(ctx, app, "cat", "/etc/machine-id")
	if err != nil {
		return nil, err
	}
	key, err := e.Lab.Output(ctx, app, "sh", "-c", "cat /etc/ssh/ssh_host_*_key.pub | head -n 1")
	if err != nil {
		return nil, err
	}
	hosts := func(host, check string) string { return "hosts/" + host + "/" + check }
	settings := func(name, text string) (make, undo string) {
		file := "/etc/apt/apt.conf.d/zzz-valtlab-" + name
		return fmt.Sprintf("printf '%%s\\n' '%s' > %s", text, file), "rm -f " + file
	}
	byItself, notByItself := settings("reboot", `APT::Periodic::Unattended-Upgrade "1"; Unattended-Upgrade::Automatic-Reboot "true";`)
	reach, noReach := settings("reach", "#clear Unattended-Upgrade::Package-Blacklist;\nAPT::Periodic::Unattended-Upgrade \"1\";")
	copied := []badCase{
		{"one machine-id", media, "cp -p /etc/machine-id /etc/machine-id.valtlab; echo " + strings.TrimSpace(id) + " > /etc/machine-id", "mv -f /etc/machine-id.valtlab /etc/machine-id",
			"hosts/site/clones", "fail", "machine-id", "systemd-machine-id-setup"},
		{"one SSH host key", media, "echo '" + strings.TrimSpace(key) + "' > /etc/ssh/ssh_host_valtlab_key.pub", "rm -f /etc/ssh/ssh_host_valtlab_key.pub",
			"hosts/site/clones", "fail", app + " and " + media, "dpkg-reconfigure openssh-server"},
	}
	older, err := e.olderCgroups(ctx, app, media)
	if err != nil {
		return nil, err
	}
	for _, host := range older {
		copied = append(copied, badCase{"control groups of version 1", host, "true", "", hosts(host, "control-groups"), "warn", "version 1", "GRUB_CMDLINE_LINUX"})
	}
	return slices.Concat(packageCases(app, media, hosts), networkCases(app, media, hosts), runningCases(media, hosts), copied, []badCase{
		{"a /boot that is too full", media, "true", "", hosts(media, "boot"), "warn", "kernel", "autoremove"},
		{"a pending reboot", media, "touch /run/reboot-required; echo linux-base > /run/reboot-required.pkgs", "rm -f /run/reboot-required*",
			hosts(media, "reboot"), "warn", "reboot", "systemctl reboot"},
		{"reboots by itself", app, byItself, notByItself, hosts(app, "automatic-reboot"), "warn", "whether or not a recording runs", "99-no-reboot"},
		{"unattended upgrades that reach the engine", media, reach, noReach, hosts(media, "automatic-engine"), "warn", "docker-ce", "valtctl update"},
		{"Docker as a snap", app, "mkdir -p /snap/docker", "rmdir /snap/docker /snap || true", hosts(app, "snap-docker"), "fail", "snap", "snap remove docker"},
	}), nil
}

// olderCgroups are those of the hosts with control groups of version 1: none where the machine has none.
func (e *Env) olderCgroups(ctx context.Context, hosts ...string) ([]string, error) {
	var older []string
	for _, host := range hosts {
		mounts, err := e.Lab.Output(ctx, host, "cat", "/proc/mounts")
		if err != nil {
			return nil, err
		}
		if !strings.Contains(mounts, " /sys/fs/cgroup cgroup2 ") {
			older = append(older, host)
		}
	}
	return older, nil
}

func packageCases(app, media string, hosts func(host, check string) string) []badCase {
	return []badCase{
		{"sources that apt cannot read", media, makeClash, "rm -f " + clashFile, hosts(media, "sources"), "fail", clashFile, "keep /etc/apt/sources.list.d/docker.sources"},
		{"package variants", app, makeVariants, "rm -f " + variantsFile, hosts(app, "package-variants"), "fail", "amd64v3", "Architecture-Variants"},
		{"a held package of the release", media, "echo valt-host hold | dpkg --set-selections", "echo valt-host install | dpkg --set-selections", hosts(media, "packages"), "fail", "valt-host", "apt-mark unhold"},
	}
}

func networkCases(app, media string, hosts func(host, check string) string) []badCase {
	table := func(host, name, rules string) (make, undo string) {
		return fmt.Sprintf("printf '%%s\\n' '%s' | nft -f -", "table inet "+name+" {\nchain forward {\ntype filter hook forward priority 0\n"+rules+"\n}\n}"), "nft delete table inet " + name
	}
	old, noOld := table(media, "old_firewall", "policy drop\nct state established,related accept")
	names, noNames := table(app, "old_names", "udp dport 53 drop\ntcp dport 53 drop")
	return []badCase{
		{"rules left of another firewall", media, old, noOld, hosts(media, "forwarding"), "warn", "old_firewall", "nft delete table inet old_firewall"},
		{"containers that resolve nothing", app, names, noNames, hosts(app, "container-names"), "fail", "though the host itself does", "udp/53"},
		{"a listener on a role's port", app, "systemd-run --quiet --collect --unit valtlab-port.service python3 -m http.server 8086 && sleep 2", "systemctl stop valtlab-port.service",
			hosts(app, "ports"), "fail", "port 8086", "systemctl"},
	}
}

func runningCases(media string, hosts func(host, check string) string) []badCase {
	return []badCase{
		{"an engine that was upgraded and not restarted", media, replaceInPlace + "replace \"$(readlink -f /proc/$(cat /run/docker.pid)/exe)\"", "systemctl restart docker",
			hosts(media, "engine-current"), "warn", "upgraded and not restarted", "systemctl restart"},
		{"a program on a replaced library", media, replaceInPlace + "cp \"$(readlink -f /lib/x86_64-linux-gnu/libm.so.6)\" " + oldLibrary +
			" && systemd-run --quiet --collect --unit " + oldUnit + " --setenv LD_PRELOAD=" + oldLibrary + " sleep 3600 && sleep 1 && replace " + oldLibrary,
			"systemctl stop " + oldUnit + "; rm -f " + oldLibrary, hosts(media, "replaced-files"), "warn", oldUnit, "sudo systemctl restart " + oldUnit},
	}
}

// refuseSources wants an installation and an update refused where apt is dead or takes variants, with nothing
// changed, and gone on with once that is over.
func (e *Env) refuseSources(ctx context.Context, media string) error {
	for _, c := range []struct{ make, file, says string }{
		{makeClash, clashFile, clashFile}, {makeVariants, variantsFile, "amd64v3"},
	} {
		if _, err := e.Lab.Output(ctx, media, "sh", "-ec", c.make); err != nil {
			return err
		}
		err := e.refusedUnchanged(ctx, media, c.says)
		_, undone := e.Lab.Output(context.WithoutCancel(ctx), media, "rm", "-f", c.file)
		if err := errors.Join(err, undone); err != nil {
			return err
		}
	}
	_, err := e.Expect(ctx, 0, "install", "--yes")
	return err
}

func (e *Env) refusedUnchanged(ctx context.Context, media, says string) error {
	before, err := e.fingerprints(ctx, media)
	if err != nil {
		return err
	}
	for _, args := range [][]string{{"install", "--yes"}, e.quick("update", "--to", releases.Canary)} {
		result, err := e.Expect(ctx, 3, args...)
		if err != nil {
			return err
		}
		if said := result.Stderr + result.Stdout; !strings.Contains(said, says) || !strings.Contains(said, "Nothing was changed") {
			return fmt.Errorf("valtctl %v does not say %q: %s", args, says, said)
		}
	}
	after, err := e.fingerprints(ctx, media)
	if err != nil {
		return err
	}
	if err := same(before, after); err != nil {
		return fmt.Errorf("after it was refused: %w", err)
	}
	return nil
}

// ofThisMachine are checks whose answer in the practice site is about the machine below: a host there is a
// container, and has what of it is left.
func ofThisMachine() []string {
	return []string{"virtualization", "cpus", "memory", "disk", "write-speed", "inodes", "clock", "time-service", "recordings", "address-pools"}
}

// healthyToday wants nothing but passes of a server of the newest Ubuntu: sudo-rs, uutils, control groups of
// version 2, Docker's containerd store.
func healthyToday(ctx context.Context, e *Env) (err error) {
	host := lab.Host{Name: badHost, Roles: []string{lab.RoleApp, lab.RoleMedia}, Ubuntu: "26.04", ImageStore: lab.Containerd}
	if own, err := e.Lab.Hosts(); err == nil {
		for _, h := range own {
			if h.Ubuntu == host.Ubuntu {
				host.Suite = h.Suite // all of one release are made of one suite
			}
		}
	}
	defer func() { err = errors.Join(err, e.removeAny(context.WithoutCancel(ctx), badHost)) }()
	host, err = e.Lab.AddHost(ctx, host)
	if err != nil {
		return err
	}
	site, err := e.siteOfOne("bad-today", host)
	if err != nil {
		return err
	}
	r, err := e.checkHosts(ctx, site)
	if err != nil {
		return err
	}
	passes := 0
	for _, a := range r.Result.Results {
		_, name, _ := strings.Cut(strings.TrimPrefix(a.ID, "hosts/"), "/")
		switch {
		case a.Status == pass:
			passes++
		case !slices.Contains(ofThisMachine(), name):
			err = errors.Join(err, fmt.Errorf("a healthy server: %s is %s because %q (%q)", a.ID, a.Status, a.Cause, a.Evidence))
		}
	}
	e.Measure("passes", "%d of %d", passes, len(r.Result.Results))
	return err
}

// siteOfOne writes a site file of one host beside the lab's own.
func (e *Env) siteOfOne(name string, host lab.Host) (string, error) {
	entry, err := e.Lab.Fragment(host)
	if err != nil {
		return "", err
	}
	var hosts []any
	if err := yaml.Unmarshal([]byte(entry), &hosts); err != nil {
		return "", fmt.Errorf("reading the entry of %s: %w", host.Name, err)
	}
	return e.deriveSite(name, func(site map[string]any) { site["hosts"] = hosts })
}

// smallBoot gives a host a /boot of its own that holds one kernel and no more: a loop device (loop(4)) over
// a file of this machine.
type smallBoot struct {
	*Env
	host   string
	device string
}

const smallBootSize = 96 << 20 // bytes

func (b *smallBoot) image() string { return b.Lab.Path("boot-" + b.host + ".img") }

func (b *smallBoot) begin(ctx context.Context) error {
	f, err := os.Create(b.image())
	if err == nil {
		err = errors.Join(f.Truncate(smallBootSize), f.Close())
	}
	if err != nil {
		return fmt.Errorf("making a /boot for %s: %w", b.host, err)
	}
	if err := b.Lab.OnMachine(ctx, nil, "mkfs.ext4", "-q", b.image()); err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "losetup", "--find", "--show", b.image()).Output()
	if err != nil {
		return fmt.Errorf("making a device of the /boot of %s: %w", b.host, err)
	}
	b.device = strings.TrimSpace(string(out))
	_, err = b.Lab.Output(ctx, b.host, "sh", "-ec", "rm -f /dev/valtlab-boot; mknod -m 600 /dev/valtlab-boot b 7 "+strings.TrimPrefix(b.device, "/dev/loop")+
		"; mkdir -p /boot; mount -t ext4 /dev/valtlab-boot /boot")
	return err
}

func (b *smallBoot) end(ctx context.Context) error {
	if b.device == "" {
		return nil
	}
	_, err := b.Lab.Output(ctx, b.host, "sh", "-c", "! mountpoint -q /boot || umount /boot; rm -f /dev/valtlab-boot")
	return errors.Join(err, b.Lab.OnMachine(ctx, nil, "losetup", "--detach", b.device), os.Remove(b.image()))
}
