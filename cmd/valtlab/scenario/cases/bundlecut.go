package cases

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"ipivs.com/valtctl/cmd/valtlab/containers"
	"ipivs.com/valtctl/cmd/valtlab/fault"
	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/repos/sleep"
)

// What carrying costs beside the bytes themselves: packets' headers, SSH, and what was
// under way when it was cut. And how fast the vendor's servers send meanwhile.
const (
	carryingShare = 0.06
	carryingMore  = 8 << 20
	makingRate    = "200mbit"
)

// The server that is installed is one more, in the application server's place in the lab's
// site, so that the site's own hosts have nothing to do with it.
const (
	cutName = "cut"
	cutSite = "cut.yaml"
)

// bundleCut cuts and kills the making of a bundle and the installation from it, and counts
// the bytes that the next run fetches.
func bundleCut(ctx context.Context, e *Env) (err error) {
	e, err = e.elsewhere()
	if err != nil {
		return err
	}
	defer os.RemoveAll(e.State)
	defer func() {
		clean := context.WithoutCancel(ctx)
		err = errors.Join(err, fault.Clear(clean, e.Lab, "world"), e.removeAny(clean, makerName, cutName))
	}()
	if err := e.cutStage(ctx); err != nil {
		return err
	}
	facts, err := e.onMaker(ctx, "facts", "--full", "-o", "json", "--host", cutName)
	if err != nil {
		return err
	}
	if err := e.Lab.Put(ctx, makerName, makerFolder+"/facts.json", []byte(facts)); err != nil {
		return err
	}
	name, err := e.cutMakings(ctx)
	if err != nil {
		return err
	}
	c, err := readCarried(e.Lab.Path(name))
	if err != nil {
		return err
	}
	for i, how := range e.strikes("cut", "killed") {
		if i > 0 {
			if err := e.Lab.Reset(ctx, cutName); err != nil {
				return err
			}
		}
		if err := e.cutInstall(ctx, cutName, how, name, c); err != nil {
			return err
		}
	}
	return nil
}

// cutStage adds the server and the maker, and writes the site file.
func (e *Env) cutStage(ctx context.Context) error {
	if err := e.removeAny(ctx, cutName); err != nil { // left by a run that was killed
		return err
	}
	host, err := e.Lab.AddHost(ctx, lab.Host{Name: cutName, Roles: []string{lab.RoleApp}})
	if err != nil {
		return err
	}
	if err := e.maker(ctx); err != nil {
		return err
	}
	// The site has this one server: a run tells every host of its site who may change it.
	app := ""
	name, err := e.deriveSite(strings.TrimSuffix(cutSite, ".yaml"), func(site map[string]any) {
		app = e.Lab.App().String()
		onlyHosts(site, "app1")
		withHost(site, "app1", map[string]any{"name": cutName, "address": host.Address.String()})
	})
	if err != nil {
		return err
	}
	text, err := readFile(e.Lab.Path(name))
	if err != nil {
		return err
	}
	if strings.Contains(string(text), app) {
		return fmt.Errorf("the site file names the application server still:\n%s", text)
	}
	return e.Lab.Put(ctx, makerName, makerFolder+"/site.yaml", text)
}

// removeAny removes those of the hosts that are there.
func (e *Env) removeAny(ctx context.Context, names ...string) error {
	names = slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		_, err := e.Lab.Host(name)
		return err != nil
	})
	if len(names) == 0 {
		return nil
	}
	return e.Lab.RemoveHosts(ctx, names...)
}

// received is how many bytes have come to a host.
func (e *Env) received(ctx context.Context, host string) (int64, error) {
	return e.number(ctx, host, "cat", "/sys/class/net/eth0/statistics/rx_bytes")
}

// number is what a program on a host says.
func (e *Env) number(ctx context.Context, host string, argv ...string) (int64, error) {
	out, err := e.Lab.Output(ctx, host, argv...)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(strings.TrimSpace(out), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("reading a number of %s: %w", host, err)
	}
	return n, nil
}

// cutMakings makes a bundle for a bare server undisturbed, then struck, and returns the
// last one's name in the lab's folder.
func (e *Env) cutMakings(ctx context.Context) (string, error) {
	if err := (fault.Slow{Host: "world", Rate: makingRate}).Begin(ctx, e.Lab); err != nil {
		return "", err
	}
	defer func() { _ = fault.Slow{Host: "world"}.End(context.WithoutCancel(ctx), e.Lab) }() // Clear ends it too
	file := path.Join(makerFolder, "cut.bundle")
	before, err := e.received(ctx, makerName)
	if err != nil {
		return "", err
	}
	if _, err := e.onMaker(ctx, making(file)...); err != nil {
		return "", err
	}
	after, err := e.received(ctx, makerName)
	if err != nil {
		return "", err
	}
	size, err := e.number(ctx, makerName, "stat", "--format", "%s", file)
	if err != nil {
		return "", err
	}
	m := &cutMaking{Env: e, file: file, size: size, whole: after - before}
	e.Measure("made undisturbed", "%d bytes, for which %d came", size, m.whole)
	for _, how := range e.strikes("killed", "cut") {
		if err := m.struck(ctx, how); err != nil {
			return "", err
		}
	}
	name := "cut.bundle"
	return name, e.fetchFile(ctx, makerName, file, e.Lab.Path(name))
}

// strikes are all the ways of a whole run, and one of them in a sample.
func (e *Env) strikes(all ...string) []string {
	if e.Sample {
		return all[e.Random.IntN(len(all)):][:1]
	}
	return all
}

// making is the command that makes the bundle.
func making(file string) []string {
	return []string{"bundle", "create", "--release", releases.Stable, "--have", makerFolder + "/facts.json", "-o", file}
}

// cutMaking is a bundle whose size and cost are known, made again and struck.
type cutMaking struct {
	*Env
	file        string
	size, whole int64 // bytes: of the file, and that came for it undisturbed
}

// struck strikes at a random place of the file and wants the next run to fetch no more than
// the rest.
func (m *cutMaking) struck(ctx context.Context, how string) error {
	if _, err := m.Lab.Output(ctx, makerName, "rm", "-f", m.file); err != nil {
		return err
	}
	at := m.size/10 + m.Random.Int64N(m.size*8/10)
	had, err := m.strike(ctx, how, at)
	if err != nil {
		return err
	}
	before, err := m.received(ctx, makerName)
	if err != nil {
		return err
	}
	said, err := m.onMaker(ctx, making(m.file)...)
	if err != nil {
		return err
	}
	after, err := m.received(ctx, makerName)
	if err != nil {
		return err
	}
	most := int64(float64(m.size-had)*(1+carryingShare)) + max(0, m.whole-m.size) + carryingMore
	m.Measure("the making "+how, "at %d of %d bytes; %d came for the rest, where %d may", had, m.size, after-before, most)
	if !strings.Contains(said, "from an earlier run") || after-before > most {
		return fmt.Errorf("the making, %s at %d of %d bytes, fetched %d afterwards: %s", how, had, m.size, after-before, said)
	}
	_, err = m.onMaker(ctx, "bundle", "verify", m.file)
	return err
}

// strike begins the making, strikes when the file has so many bytes, and returns how many
// it had when all was over.
func (m *cutMaking) strike(ctx context.Context, how string, at int64) (int64, error) {
	var said bytes.Buffer
	ended := make(chan error, 1)
	go func() {
		code, err := m.Lab.Exec(ctx, makerName, containers.Exec{Argv: append([]string{"/usr/local/bin/valtctl"}, append(making(m.file), "--site", makerFolder+"/site.yaml")...), Stderr: &said})
		if err == nil && code == 0 {
			err = errors.New("it ended by itself")
		}
		ended <- err
	}()
	partial := m.file + ".partial"
	for {
		out, err := outputIfThere(ctx, m.Lab, makerName, "stat", "--format", "%s", partial)
		if err != nil {
			return 0, err
		}
		if n, _ := strconv.ParseInt(strings.TrimSpace(out), 10, 64); n >= at { // it may not be there yet
			break
		}
		select {
		case err := <-ended:
			return 0, fmt.Errorf("waiting for the making to reach %d bytes: %w: %s", at, err, said.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
	line := fault.Packets{Host: makerName, Verdict: fault.Reject}
	switch how {
	case "killed":
		if _, err := m.Lab.Output(ctx, makerName, "pkill", "-KILL", "-x", "valtctl"); err != nil {
			return 0, err
		}
	default:
		if err := line.Begin(ctx, m.Lab); err != nil {
			return 0, err
		}
	}
	if err := <-ended; err != nil {
		return 0, err
	}
	if err := line.End(ctx, m.Lab); err != nil {
		return 0, err
	}
	return m.number(ctx, makerName, "stat", "--format", "%s", partial)
}

// cutInstall installs a bare host from the bundle, strikes while bytes come, and wants no
// more to come in all than it takes, with whoever goes on.
func (e *Env) cutInstall(ctx context.Context, host, how, name string, c *carriedList) error {
	takes, err := c.takes([]string{"db", "messaging", "web"})
	if err != nil {
		return err
	}
	// The bundle is for a host that has this program.
	if _, err := e.Expect(ctx, 0, "facts", "--site", cutSite, "--host", host); err != nil {
		return err
	}
	before, err := e.received(ctx, host)
	if err != nil {
		return err
	}
	u, err := e.launch(ctx, moment{host: host}, "install", "--yes", "--site", cutSite, "--bundle", name, "--host", host)
	if err != nil {
		return err
	}
	if err := u.await(ctx, moment{host: host}); err != nil {
		return err
	}
	at := takes/10 + e.Random.Int64N(takes*7/10)
	if err := e.untilReceived(ctx, host, before+at, u); err != nil {
		return err
	}
	most := int64(float64(takes)*(1+carryingShare)) + carryingMore
	code := -1
	if how == "killed" {
		err = u.kill(ctx)
	} else if err = fault.Hold(ctx, e.Lab, fault.Packets{Host: host, Verdict: fault.Drop}, cutForSample); err == nil {
		code, err = u.end(ctx)
	}
	if err != nil {
		return err
	}
	e.Measure("the installation "+how, "when %d bytes of about %d had come; the controller's exit code %d", at, takes, code)
	if code != 0 {
		if err := e.resumeFrom(ctx, host, name); err != nil {
			return err
		}
	}
	after, err := e.received(ctx, host)
	if err != nil {
		return err
	}
	e.Measure("in all", "%d bytes came, where %d may", after-before, most)
	if after-before > most {
		return fmt.Errorf("%d bytes came to %s in all, and it takes about %d", after-before, host, takes)
	}
	_, err = e.Expect(ctx, 0, "install", "--yes", "--site", cutSite, "--bundle", name, "--host", host)
	return err
}

// untilReceived waits until so many bytes have come to a host, while the product runs.
func (e *Env) untilReceived(ctx context.Context, host string, want int64, u *underWay) error {
	for {
		now, err := e.received(ctx, host)
		if err != nil {
			return err
		}
		if now >= want {
			return nil
		}
		select {
		case err := <-u.ended:
			return fmt.Errorf("waiting for bytes to come to %s: it ended (%w): %s", host, errors.Join(err), u.stderr)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// resumeFrom is the next run, as soon as the lease of the one before has passed.
func (e *Env) resumeFrom(ctx context.Context, host, name string) error {
	ctx, cancel := context.WithTimeout(ctx, hostWithin)
	defer cancel()
	for {
		result, err := e.Run(ctx, "resume", "--yes", "--site", cutSite, "--bundle", name, "--host", host)
		switch {
		case err != nil:
			return err
		case result.Code == 0:
			return nil
		case result.Code != 5:
			return fmt.Errorf("resuming the installation: exit %d: %s", result.Code, result.Stderr)
		}
		if err := sleep.For(ctx, 5*time.Second); err != nil {
			return err
		}
	}
}

// takes is how many bytes a bare host takes: this program, the lists and packages, and the
// layers of its images.
func (c *carriedList) takes(images []string) (int64, error) {
	var sum int64
	counted := map[string]bool{}
	put := func(digest string) {
		if size, ok := c.size(digest); ok && !counted[digest] {
			counted[digest], sum = true, sum+size
		}
	}
	for _, i := range c.Images {
		for _, name := range images {
			if path.Base(i.Repository) != name {
				continue
			}
			layers, err := c.layers(i.Manifest, i.Config)
			if err != nil {
				return 0, err
			}
			for digest := range layers {
				put(digest)
			}
		}
	}
	for _, f := range c.Files {
		if !strings.HasPrefix(f.Path, "tuf/") {
			put(f.Digest)
		}
	}
	return sum, nil
}
