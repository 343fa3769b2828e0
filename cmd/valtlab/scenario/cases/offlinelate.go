package cases

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/installer/bundler"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/bundle"
)

// carriedLate installs and updates from bundles that are two hundred days old, so that all
// metadata and all lists in them have expired. The containers share this machine's clock,
// which is nobody's to set: instead of the hosts' clocks being ahead, the vendor's servers
// sign as they would have then, and the bundles are made as if it were then. Making is in
// this process for that reason; the product makes them by the same package.
func (e *Env) carriedLate(ctx context.Context, hosts []string) (err error) {
	if err := e.worldOn(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.today(context.WithoutCancel(ctx))) }()
	if err := e.longAgo(ctx); err != nil {
		return err
	}
	if err := e.Lab.Reset(ctx, hosts...); err != nil {
		return err
	}
	late, err := e.elsewhere() // a controller that has seen nothing newer
	if err != nil {
		return err
	}
	defer os.RemoveAll(late.State)
	site, err := e.offlineSite(ctx, hosts)
	if err != nil {
		return err
	}
	for _, step := range []struct {
		release string
		args    []string
	}{
		{releases.Stable, []string{"install", "--yes"}},
		{releases.Canary, e.quick("update", "--to", releases.Canary)},
	} {
		name, err := late.oldBundle(ctx, step.release)
		if err != nil {
			return err
		}
		if err := late.sealed(ctx, hosts, step.args[0]+" from a bundle of 200 days", append(step.args, "--site", site, "--bundle", name)); err != nil {
			return err
		}
	}
	return e.serves(ctx)
}

// longAgo has the vendor's servers serve what they would have then, and today what they do.
func (e *Env) longAgo(ctx context.Context) error {
	if err := e.Lab.SignMirror(e.Now().Add(-releases.Age)); err != nil {
		return err
	}
	return (&releases.Vendor{}).Publish(ctx, e.Lab, releases.Options{Spoil: releases.Aged})
}

func (e *Env) today(ctx context.Context) error {
	if err := errors.Join(e.worldOn(ctx), e.Lab.SignMirror(e.Now())); err != nil {
		return err
	}
	if err := (&releases.Vendor{}).Publish(ctx, e.Lab, releases.Options{}); err != nil {
		return err
	}
	return e.bareSite(ctx) // the hosts have seen metadata of higher versions
}

// oldBundle makes a bundle for the site as its maker would have then.
func (e *Env) oldBundle(ctx context.Context, release string) (string, error) {
	if err := e.worldOn(ctx); err != nil {
		return "", err
	}
	said, err := e.Expect(ctx, 0, "facts", "--full", "-o", "json")
	if err != nil {
		return "", err
	}
	var have struct{ Result []facts.Facts }
	if err := json.Unmarshal([]byte(said.Stdout), &have); err != nil {
		return "", fmt.Errorf("reading the facts: %w", err)
	}
	s, err := site.Load(e.Lab.Path("site.yaml"), "")
	if err != nil {
		return "", err
	}
	through, err := e.Lab.Transport()
	if err != nil {
		return "", err
	}
	defer through.CloseIdleConnections()
	_, password, err := e.Lab.RegistryLogin()
	if err != nil {
		return "", err
	}
	then := func() time.Time { return e.Now().Add(-releases.Age) }
	packed, err := bundler.Pack(ctx, bundler.Options{Site: s, Version: release, Have: have.Result, Password: []byte(password), HTTP: through,
		Agent: e.Valtctl, Maker: "pat@laptop", Now: then, Note: func(string) {}})
	if err != nil {
		return "", err
	}
	text, err := readFile(e.Lab.Path("id_ed25519"))
	if err != nil {
		return "", err
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return "", fmt.Errorf("reading the maker's key: %w", err)
	}
	name := strings.Join([]string{"late", release, "bundle"}, ".")
	if _, err := bundle.Create(ctx, e.Lab.Path(name), packed.Contents, key, packed.Source, nil); err != nil {
		return "", err
	}
	e.Measure("made", "%s, dated %s", name, packed.Contents.Made.Format(time.DateOnly))
	return name, nil
}
