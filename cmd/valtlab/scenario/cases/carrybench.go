package cases

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/cmd/valtlab/scenario"
	"ipivs.com/valtctl/installer/step/docker"
)

// Carry is what bringing the application's images to a host took, in both ways, and what
// installing a bare host from a bundle took of its disk. Sizes are in bytes.
type Carry struct {
	Images              int
	Loaded, Carried     Way
	Peak, Lacked        int64 // of the disk, in the installation from a bundle
	Kept                int64 // of what was lacked: packages' files that stay for the way back
	OnlinePeak          int64 // of the disk, in the same installation from the vendor's servers
	LoadPeak, LoadTakes int64 // of the disk, with docker load
}

// Way is one way of bringing images.
type Way struct {
	Took time.Duration
	Sent int64
}

// MeasureCarry brings the images of the site's application to a host that has none of them:
// as people do it by hand, with docker save, gzip, ssh and docker load, and from a bundle.
func MeasureCarry(ctx context.Context, run *scenario.Env) (c Carry, err error) {
	e := newEnv(run)
	hosts, err := e.siteHosts()
	if err != nil {
		return c, err
	}
	app, other := hosts[0], hosts[1]
	if err := e.at(ctx, releases.Stable); err != nil {
		return c, err
	}
	if err := e.load(ctx, app, other, &c); err != nil {
		return c, err
	}
	if err := e.Lab.Reset(ctx, app); err != nil {
		return c, err
	}
	before, peak, err := e.watchDisk(ctx, app, func() error {
		_, err := e.Expect(ctx, 0, "install", "--yes", "--host", app)
		return err
	})
	if err != nil {
		return c, err
	}
	c.OnlinePeak = peak - before
	if err := e.Lab.Reset(ctx, app); err != nil {
		return c, err
	}
	if err := e.maker(ctx); err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, e.Lab.RemoveHosts(context.WithoutCancel(ctx), makerName)) }()
	name, err := e.makeBundle(ctx, releases.Stable)
	if err != nil {
		return c, err
	}
	return c, e.carry(ctx, app, name, &c)
}

// load is docker save | gzip | ssh | docker load, of all images that a host has to another.
func (e *Env) load(ctx context.Context, from, to string, c *Carry) error {
	out, err := e.Lab.Output(ctx, from, "docker", "image", "ls", "--quiet", "--no-trunc")
	if err != nil {
		return err
	}
	images := slices.Compact(slices.Sorted(slices.Values(strings.Fields(out)))) // an image has several tags
	c.Images = len(images)
	source, err := e.Lab.Host(from)
	if err != nil {
		return err
	}
	target, err := e.Lab.Host(to)
	if err != nil {
		return err
	}
	before, peak, err := e.watchDisk(ctx, to, func() error {
		start := e.Now()
		c.Loaded.Sent, err = pipe(ctx, e.ssh(ctx, source, append([]string{"sudo", "docker", "save"}, images...)...), exec.CommandContext(ctx, "gzip"), e.ssh(ctx, target, "sudo", "docker", "load"))
		c.Loaded.Took = e.Now().Sub(start)
		return err
	})
	if err != nil {
		return err
	}
	after, err := e.disk(ctx, to)
	if err != nil {
		return err
	}
	c.LoadPeak, c.LoadTakes = max(peak, after)-before, after-before
	_, err = e.Lab.Output(ctx, to, append([]string{"docker", "image", "rm", "--force"}, images...)...)
	return err
}

// ssh is a program on a host, as a person with the site's key runs it.
func (e *Env) ssh(ctx context.Context, host lab.Host, argv ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ssh", append([]string{"-i", e.Lab.Path("id_ed25519"), "-o", "UserKnownHostsFile=" + e.Lab.Path("known_hosts"), "-o", "BatchMode=yes",
		"valt@" + host.Address.String(), "--"}, argv...)...)
}

// pipe runs three programs on end and counts what the last one is given.
func pipe(ctx context.Context, first, second, third *exec.Cmd) (int64, error) {
	var said bytes.Buffer
	first.Stderr, third.Stderr, third.Stdout = &said, &said, &said
	var err error
	if second.Stdin, err = first.StdoutPipe(); err != nil {
		return 0, fmt.Errorf("joining programs: %w", err)
	}
	out, err := second.StdoutPipe()
	if err != nil {
		return 0, fmt.Errorf("joining programs: %w", err)
	}
	in, err := third.StdinPipe()
	if err != nil {
		return 0, fmt.Errorf("joining programs: %w", err)
	}
	for _, cmd := range []*exec.Cmd{third, second, first} {
		if err := cmd.Start(); err != nil {
			return 0, fmt.Errorf("running %s: %w", cmd.Path, err)
		}
	}
	n, err := io.Copy(in, out)
	err = errors.Join(err, in.Close(), second.Wait(), first.Wait(), third.Wait())
	if err != nil {
		return n, fmt.Errorf("docker save | gzip | ssh | docker load: %w: %s", errors.Join(err, ctx.Err()), said.String())
	}
	return n, nil
}

// disk is how much a host's programs, packages and images take on its disk, without what
// they keep there when they run.
func (e *Env) disk(ctx context.Context, host string) (int64, error) {
	return e.diskOf(ctx, host, "--exclude=/var/lib/valt", "--exclude=/var/log", "--exclude=/srv", "--exclude=/tmp", "/", "/var/lib/docker")
}

// diskOf is how much some folders take, in bytes.
func (e *Env) diskOf(ctx context.Context, host string, folders ...string) (int64, error) {
	var out bytes.Buffer
	// What vanishes while it is counted makes du complain, and counts nothing.
	argv := append([]string{"du", "--one-file-system", "--block-size=1", "--summarize", "--total"}, folders...)
	if _, err := e.Lab.Exec(ctx, host, containers.Exec{Argv: argv, Stdout: &out}); err != nil {
		return 0, err
	}
	for line := range strings.Lines(out.String()) {
		if number, ok := strings.CutSuffix(strings.TrimSpace(line), "\ttotal"); ok {
			return strconv.ParseInt(number, 10, 64)
		}
	}
	return 0, fmt.Errorf("measuring the disk of %s: %q", host, out.String())
}

// watchDisk measures a host's disk before something is done, and the most of it meanwhile,
// as often as it can be measured.
func (e *Env) watchDisk(ctx context.Context, host string, do func() error) (before, peak int64, err error) {
	if before, err = e.disk(ctx, host); err != nil {
		return 0, 0, err
	}
	done := make(chan error, 1)
	go func() { done <- do() }()
	for {
		select {
		case err := <-done:
			return before, peak, err
		default:
		}
		now, err := e.disk(ctx, host)
		if err != nil {
			return before, peak, errors.Join(err, <-done)
		}
		peak = max(peak, now)
	}
}

// carry installs a bare host from the bundle. Of its time only that of the images counts.
func (e *Env) carry(ctx context.Context, host, name string, c *Carry) error {
	var images imageTimes
	before, peak, err := e.watchDisk(ctx, host, func() error {
		return e.follow(ctx, &images, "install", "--yes", "--bundle", name, "--host", host)
	})
	if err != nil {
		return err
	}
	after, err := e.disk(ctx, host)
	if err != nil {
		return err
	}
	c.Peak, c.Lacked = max(peak, after)-before, after-before
	if c.Kept, err = e.diskOf(ctx, host, "/var/cache/apt/archives"); err != nil {
		return err
	}
	c.Carried.Took = images.last.Sub(images.first)
	list, err := readCarried(e.Lab.Path(name))
	if err != nil {
		return err
	}
	sent := sentIn(images.lines.String())
	for _, f := range list.Files { // what is no image's
		delete(sent, f.Digest)
	}
	c.Carried.Sent = total(sent)
	return nil
}

// imageTimes are when the first image was begun and the last one was there.
type imageTimes struct {
	first, last time.Time
	lines       bytes.Buffer
}

// follow runs the product and reads its events as they come.
func (e *Env) follow(ctx context.Context, t *imageTimes, args ...string) error {
	cmd := e.Command(ctx, append(args, "--events")...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("running the product: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("running the product: %w", err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		t.lines.Write(lines.Bytes())
		t.lines.WriteByte('\n')
		var one struct {
			Event saidEvent `json:"event"`
		}
		if json.Unmarshal(lines.Bytes(), &one) == nil && one.Event.StepKind == docker.KindImage {
			if t.last = e.Now(); t.first.IsZero() {
				t.first = t.last
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("running the product: %w: %s", err, said.String())
	}
	return nil
}
