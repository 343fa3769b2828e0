package cases

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/releases"
)

// How many damages a whole run tries, and a sample; of so many one is tried with update,
// the others with bundle verify.
const (
	damageWhole  = 2000
	damageSample = 60
	damageUpdate = 20
)

// partSize is how large the bundle's parts may be: two or more of it.
const partSize = 6_600_000

// damage changes a bundle and its parts in every way that a medium and a person may, and
// wants the product to say so, and to change neither hosts nor files.
func damage(ctx context.Context, e *Env) (err error) {
	hosts, err := e.siteHosts()
	if err != nil {
		return err
	}
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
	before, err := e.fingerprints(ctx, hosts...)
	if err != nil {
		return err
	}
	d := &damaging{Env: e}
	if err := d.begin(ctx); err != nil {
		return err
	}
	defer os.RemoveAll(d.dir)
	want := damageWhole
	if e.Count > 1 {
		want = e.Count
	} else if e.Sample {
		want = damageSample
	}
	if err := e.Timed("damages", func() error { return d.all(ctx, want) }); err != nil {
		return err
	}
	e.Measure("refused", "%d flips, %d cuts, %d other parts than there should be; %d of them by update", d.flips, d.cuts, d.parts, d.updates)
	after, err := e.fingerprints(ctx, hosts...)
	if err != nil {
		return err
	}
	return same(before, after)
}

// damaging is a bundle, its parts and another one's, in a folder that stands for the media.
type damaging struct {
	*Env
	dir    string
	whole  string
	pieces []string // its parts
	other  string   // a part of another bundle
	good   map[string][]byte

	flips, cuts, parts, updates int
}

// begin makes two bundles, and wants the one that will be damaged to be good.
func (d *damaging) begin(ctx context.Context) error {
	var err error
	if d.dir, err = os.MkdirTemp(d.Lab.Path(), "media-"); err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	d.good = map[string][]byte{}
	for _, release := range []string{releases.Small, releases.Canary} {
		name, err := d.makeBundle(ctx, release)
		if err != nil {
			return err
		}
		to := filepath.Join(d.dir, "site-"+release+".bundle")
		if err := os.Rename(d.Lab.Path(name), to); err != nil {
			return fmt.Errorf("putting the bundle on a medium: %w", err)
		}
		said, err := d.Expect(ctx, 0, "bundle", "split", to, "--size", fmt.Sprint(partSize))
		if err != nil {
			return err
		}
		if parts := strings.Fields(said.Stdout); release == releases.Small {
			d.whole, d.pieces = to, parts
		} else {
			d.other = parts[0]
		}
	}
	if len(d.pieces) < 2 {
		return fmt.Errorf("the bundle has %d parts of %d bytes", len(d.pieces), partSize)
	}
	for _, name := range append([]string{d.whole, d.other}, d.pieces...) {
		if d.good[name], err = os.ReadFile(name); err != nil {
			return fmt.Errorf("reading a good file: %w", err)
		}
		if _, err := d.Expect(ctx, 0, "bundle", "verify", name); err != nil { // each alone
			return err
		}
	}
	d.Measure("the bundle", "%d bytes, and %d parts of it", len(d.good[d.whole]), len(d.pieces))
	_, err = d.Expect(ctx, 0, append([]string{"bundle", "verify"}, d.pieces...)...)
	return err
}

// all tries so many damages, one after the other.
func (d *damaging) all(ctx context.Context, want int) error {
	for n := range want {
		var err error
		switch kind := d.Random.IntN(20); {
		case kind == 0:
			err = d.wrongParts(ctx)
		case kind < 4:
			err = d.spoilt(ctx, n, d.cut)
		default:
			err = d.spoilt(ctx, n, d.flip)
		}
		if err != nil {
			return fmt.Errorf("after %d: %w", n, err)
		}
	}
	return nil
}

// flip changes one bit of one byte.
func (d *damaging) flip(content []byte) (bad []byte, how string) {
	at := d.Random.IntN(len(content))
	bad = bytes.Clone(content)
	bad[at] ^= 1 << d.Random.IntN(8)
	d.flips++
	return bad, fmt.Sprintf("byte %d changed", at)
}

// cut takes an end away.
func (d *damaging) cut(content []byte) (bad []byte, how string) {
	at := d.Random.IntN(len(content))
	d.cuts++
	return content[:at], fmt.Sprintf("cut at %d", at)
}

// spoilt damages the bundle or one of its parts, tries it, and makes it good again.
func (d *damaging) spoilt(ctx context.Context, n int, how func([]byte) ([]byte, string)) error {
	names := []string{d.whole}
	if d.Random.IntN(2) == 0 {
		names = d.pieces
	}
	name := names[d.Random.IntN(len(names))]
	bad, what := how(d.good[name])
	if err := os.WriteFile(name, bad, 0o600); err != nil {
		return fmt.Errorf("damaging %s: %w", name, err)
	}
	args := append([]string{"bundle", "verify"}, names...)
	if n%damageUpdate == 0 {
		args = d.update(names)
	}
	if err := d.refused(ctx, filepath.Base(name)+" "+what, filepath.Base(name), args); err != nil {
		return err
	}
	if now, err := os.ReadFile(name); err != nil || !bytes.Equal(now, bad) {
		return fmt.Errorf("%s, damaged, was changed by the product (%v)", name, err)
	}
	if err := os.WriteFile(name, d.good[name], 0o600); err != nil {
		return fmt.Errorf("mending %s: %w", name, err)
	}
	return nil
}

// update is the run that would take everything from files.
func (d *damaging) update(names []string) []string {
	d.updates++
	args := d.quick("update", "--to", releases.Small)
	for _, name := range names {
		args = append(args, "--bundle", name)
	}
	return args
}

// wrongParts gives other parts than those of the bundle: one is missing, there twice, or
// of another bundle.
func (d *damaging) wrongParts(ctx context.Context) error {
	d.parts++
	at := d.Random.IntN(len(d.pieces))
	names, what, named := append([]string{}, d.pieces...), "", ""
	switch d.Random.IntN(4) {
	case 0:
		names, what, named = append(names[:at], names[at+1:]...), "missing", fmt.Sprintf("missing: %d", at+1)
	case 1:
		what, named = "another's in place of a part", filepath.Base(d.other)
		if names[at] = d.other; at == 0 { // the first one says which bundle it is
			named = filepath.Base(names[1])
		}
	case 2:
		what, named = "a part twice", filepath.Base(names[at])
		names[(at+1)%len(names)] = names[at]
	default:
		what, named = "the whole beside a part", filepath.Base(names[at])
		names = []string{d.whole, names[at]}
	}
	if err := d.refused(ctx, what, named, d.update(names)); err != nil {
		return err
	}
	for name, want := range d.good {
		if now, err := os.ReadFile(name); err != nil || sha256.Sum256(now) != sha256.Sum256(want) {
			return fmt.Errorf("%s was changed by the product (%v)", name, err)
		}
	}
	return nil
}

var blobNamed = regexp.MustCompile(`sha256:[0-9a-f]{64}`)

// refused wants exit code 6, the part or a blob by its name, and what to do.
func (d *damaging) refused(ctx context.Context, what, named string, args []string) error {
	result, err := d.Run(ctx, args...)
	switch {
	case err != nil:
		return err
	case result.Code != 6:
		return fmt.Errorf("%s: valtctl %v: exit %d: %s", what, args, result.Code, result.Stderr)
	case !strings.Contains(result.Stderr, named) && !blobNamed.MatchString(result.Stderr):
		return fmt.Errorf("%s: neither %s nor a blob is named: %s", what, named, result.Stderr)
	case !strings.Contains(result.Stderr, "hint: "):
		return fmt.Errorf("%s: nobody is told what to do: %s", what, result.Stderr)
	}
	return nil
}
