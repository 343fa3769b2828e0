package cases

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/releases"
)

// mostOver is how much larger than what changed a bundle may be.
const mostOver = 1.05

// delta makes a bundle for a site that has nearly all of a release, weighs it, and applies
// it twice.
func delta(ctx context.Context, e *Env) (err error) {
	hosts, err := e.siteHosts()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.worldOn(context.WithoutCancel(ctx))) }()
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	if err := e.maker(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Lab.RemoveHosts(context.WithoutCancel(ctx), makerName)) }()
	if err := e.forgetImages(ctx, hosts); err != nil {
		return err
	}
	name, err := e.makeBundle(ctx, releases.Small)
	if err != nil {
		return err
	}
	c, err := readCarried(e.Lab.Path(name))
	if err != nil {
		return err
	}
	if err := e.weigh(c); err != nil {
		return err
	}
	if err := e.nothingThere(ctx, hosts, c); err != nil {
		return err
	}
	if err := e.notForOthers(ctx, name); err != nil {
		return err
	}
	if err := e.withoutApt(ctx, hosts[0], c); err != nil {
		return err
	}
	if e.Sample {
		return nil
	}
	update := e.quick("update", "--to", releases.Small, "--bundle", name)
	if err := e.sentOnce(ctx, hosts, c, update); err != nil {
		return err
	}
	for _, again := range [][]string{update, {"install", "--yes", "--bundle", name}} {
		sent, err := e.sent(ctx, again...)
		if err != nil {
			return err
		}
		e.Measure(again[0]+" again", "%d bytes sent", total(sent))
		if len(sent) > 0 {
			return fmt.Errorf("%s with the same bundle again sent %d bytes of %d blobs", again[0], total(sent), len(sent))
		}
	}
	return e.serves(ctx)
}

// withoutApt makes the bundle again where there is no apt: a host's is asked, and the bundle
// has the same blobs.
func (e *Env) withoutApt(ctx context.Context, host string, want *carriedList) error {
	const name = "on.bundle"
	if _, err := e.Lab.Output(ctx, makerName, "mv", "/usr/bin/apt-get", "/usr/bin/apt-get.away"); err != nil {
		return err
	}
	create := []string{"bundle", "create", "--release", releases.Small, "--have", makerFolder + "/facts.json", "-o", path.Join(makerFolder, name)}
	if _, err := e.onMaker(ctx, create...); err == nil || !strings.Contains(err.Error(), "--on HOST") {
		return fmt.Errorf("without apt nobody is told what to do: %w", err)
	}
	if _, err := e.onMaker(ctx, append(create, "--on", host)...); err != nil {
		return err
	}
	if err := e.fetchFile(ctx, makerName, path.Join(makerFolder, name), e.Lab.Path(name)); err != nil {
		return err
	}
	got, err := readCarried(e.Lab.Path(name))
	if err != nil {
		return err
	}
	if !slices.Equal(got.Blobs, want.Blobs) {
		return fmt.Errorf("with the apt of %s the bundle has other blobs: %v, and here %v", host, got.Blobs, want.Blobs)
	}
	e.Measure("made without apt", "by that of %s, with the same %d blobs", host, len(got.Blobs))
	return nil
}

// weigh sorts every blob of the bundle into what the release changed and what describes
// it, wants nothing else in it, and compares the file with them. The release changes one
// layer and two packages.
func (e *Env) weigh(c *carriedList) error {
	weights, counted := map[string]int64{}, map[string]bool{}
	count := map[string]int{}
	put := func(kind, digest string) {
		if size, ok := c.size(digest); ok && !counted[digest] {
			counted[digest] = true
			weights[kind] += size
			count[kind]++
		}
	}
	for _, i := range c.Images {
		if _, ok := c.size(i.Manifest); !ok {
			continue
		}
		layers, err := c.layers(i.Manifest, i.Config)
		if err != nil {
			return err
		}
		for digest := range layers {
			put("layers", digest)
		}
		put("manifests and configs", i.Manifest)
		put("manifests and configs", i.Config)
	}
	for _, f := range c.Files {
		switch {
		case strings.HasSuffix(f.Path, ".deb"):
			put("packages", f.Digest)
		case strings.HasPrefix(f.Path, "tuf/"):
			put("release metadata", f.Digest)
		case strings.HasPrefix(f.Path, "apt/"):
			put("lists of packages", f.Digest)
		default:
			put("this program", f.Digest)
		}
	}
	var sum int64
	for _, kind := range []string{"layers", "packages", "manifests and configs", "release metadata", "lists of packages", "this program"} {
		e.Measure(kind, "%d, %d bytes", count[kind], weights[kind])
		sum += weights[kind]
	}
	ratio := float64(c.length) / float64(sum)
	e.Measure("the file", "%d bytes, %.4f times what changed and describes it; its own list %d", c.length, ratio, len(c.list))
	switch {
	case count["layers"] != 1 || count["packages"] != 2 || count["this program"] != 0 || len(counted) != len(c.Blobs):
		return fmt.Errorf("the release changed one layer and two packages, and the bundle has %v of %d blobs", count, len(c.Blobs))
	case ratio > mostOver:
		return fmt.Errorf("the bundle is %.4f times what changed, and may be %.2f", ratio, mostOver)
	}
	return nil
}

// nothingThere asks the hosts' own programs whether they have any of it.
func (e *Env) nothingThere(ctx context.Context, hosts []string, c *carriedList) error {
	for _, host := range hosts {
		out, err := e.Lab.Output(ctx, host, "docker", "image", "ls", "--all", "--quiet", "--no-trunc")
		if err != nil {
			return err
		}
		ids := strings.Fields(out)
		if out, err = e.Lab.Output(ctx, host, append([]string{"docker", "image", "inspect", "--format", "{{json .RootFS.Layers}}"}, ids...)...); err != nil {
			return err
		}
		for _, i := range c.Images {
			if _, ok := c.size(i.Manifest); !ok {
				continue
			}
			layers, err := c.layers(i.Manifest, i.Config)
			if err != nil {
				return err
			}
			for digest, unpacked := range layers {
				if strings.Contains(out, unpacked) {
					return fmt.Errorf("the bundle holds layer %s of %s, which %s has", digest, i.Repository, host)
				}
			}
		}
		if out, err = e.Lab.Output(ctx, host, "dpkg-query", "--show", "--showformat", `${Package}_${Version}_${Architecture}.deb\n`); err != nil {
			return err
		}
		for _, f := range c.Files {
			if name := path.Base(f.Path); slices.Contains(strings.Fields(out), name) {
				return fmt.Errorf("the bundle holds the package %s, which %s has", name, host)
			}
		}
	}
	return nil
}

// forgetImages removes the images of releases that ran before: what a host has is left out.
func (e *Env) forgetImages(ctx context.Context, hosts []string) error {
	for _, host := range hosts {
		if _, err := e.Lab.Output(ctx, host, "docker", "image", "prune", "--all", "--force"); err != nil {
			return err
		}
	}
	return nil
}

// notForOthers wants a server that the bundle was not made for to be refused, with what it
// lacks, before anything is changed there: the bare one of the maker in a media server's place.
func (e *Env) notForOthers(ctx context.Context, name string) error {
	media, err := e.mediaHosts()
	if err != nil {
		return err
	}
	bare, err := e.Lab.Host(makerName)
	if err != nil {
		return err
	}
	other, err := e.deriveSite("other", func(s map[string]any) {
		withHost(s, media[0].Name, map[string]any{"address": bare.Address.String()})
	})
	if err != nil {
		return err
	}
	before, err := e.fingerprints(ctx, makerName)
	if err != nil {
		return err
	}
	said, err := e.Expect(ctx, 3, "install", "--site", other, "--yes", "--bundle", name, "--host", media[0].Name)
	if err != nil {
		return err
	}
	for _, part := range []string{media[0].Name + ": it lacks package ", "image docker.ipivs.com/valt/engine", "--have facts.json"} {
		if !strings.Contains(said.Stderr, part) {
			return fmt.Errorf("a server that the bundle was not made for is refused without %q: %s", part, said.Stderr)
		}
	}
	e.Measure("another server", "refused for what the bundle lacks of it")
	after, err := e.fingerprints(ctx, makerName)
	if err != nil {
		return err
	}
	return same(before, after)
}

// sentOnce updates the site from the bundle and wants every layer and package to be sent
// once to each host that lacks it, and not a byte more.
func (e *Env) sentOnce(ctx context.Context, hosts []string, c *carriedList, args []string) error {
	sent, err := e.sent(ctx, args...)
	if err != nil {
		return err
	}
	e.Measure("sent", "%d bytes of %d blobs", total(sent), len(sent))
	layers := map[string]bool{}
	for _, i := range c.Images {
		if _, ok := c.size(i.Manifest); !ok {
			continue
		}
		all, err := c.layers(i.Manifest, i.Config)
		if err != nil {
			return err
		}
		for digest := range all {
			layers[digest] = true
		}
	}
	want := map[string]int64{} // of the application server alone, and of every host
	for digest := range layers {
		size, _ := c.size(digest)
		want[digest] = size
	}
	for _, f := range c.Files {
		if strings.HasSuffix(f.Path, ".deb") {
			size, _ := c.size(f.Digest)
			want[f.Digest] = size * int64(len(hosts))
		}
	}
	for digest, bytes := range want {
		if sent[digest] != bytes {
			return fmt.Errorf("of %s %d bytes were sent, and its hosts lack %d", digest, sent[digest], bytes)
		}
	}
	for _, left := range c.Left {
		if sent[left.Digest] > 0 {
			return fmt.Errorf("%s was sent, which the hosts have", left.Digest)
		}
	}
	return nil
}

// sent runs the product with a bundle and returns how many bytes of each blob it sent.
func (e *Env) sent(ctx context.Context, args ...string) (map[string]int64, error) {
	result, err := e.Expect(ctx, 0, append(args, "--events")...)
	if err != nil {
		return nil, err
	}
	return sentIn(result.Stdout), nil
}

// sentIn finds in the lines of --events what hosts took of a bundle.
func sentIn(lines string) map[string]int64 {
	sent := map[string]int64{}
	for line := range strings.Lines(lines) {
		var one struct {
			Event struct {
				Kind string `json:"kind"`
				Text string `json:"text"`
				Done int64  `json:"done"`
			} `json:"event"`
		}
		if json.Unmarshal([]byte(line), &one) == nil && one.Event.Kind == "carried" && one.Event.Done > 0 {
			sent[one.Event.Text] = one.Event.Done
		}
	}
	return sent
}

func total(sent map[string]int64) int64 {
	var n int64
	for _, bytes := range sent {
		n += bytes
	}
	return n
}
