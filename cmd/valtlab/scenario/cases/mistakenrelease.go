package cases

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/releases"
	"ipivs.com/valtctl/repos/publish"
)

// mistakenRelease has the vendor publish a release that asks for power over its hosts: with the
// vendor's own command, and signed past it.
func mistakenRelease(ctx context.Context, e *Env) error {
	mistaken, err := releases.RepositoryOf(e.Lab).Mistaken()
	if err != nil {
		return err
	}
	return e.parts(ctx,
		show{"refused at publishing", func(ctx context.Context) error { return e.refusedAtPublishing(ctx, mistaken) }},
		show{"refused by the site", func(ctx context.Context) error { return e.refusedBySite(ctx, mistaken) }})
}

// refusedAtPublishing runs the vendor's command on the release, in a repository of its own.
func (e *Env) refusedAtPublishing(ctx context.Context, mistaken publish.Release) (err error) {
	dir, err := os.MkdirTemp(e.Lab.Path(), "mistaken-")
	if err != nil {
		return fmt.Errorf("making room for a release: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	files := maps.Clone(mistaken.Files)
	files["manifest.json"] = mistaken.Manifest
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return fmt.Errorf("writing a release: %w", err)
		}
	}
	for _, step := range []struct {
		code int
		args []string
	}{{0, []string{"key", "new"}}, {0, []string{"root", "init"}}, {2, []string{"release", "add", "."}}} {
		command := exec.CommandContext(ctx, filepath.Join(filepath.Dir(e.Valtctl), "valtrelease"), step.args...)
		command.Dir = dir
		said, err := command.CombinedOutput()
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			return fmt.Errorf("running valtrelease: %w", err)
		}
		if got := command.ProcessState.ExitCode(); got != step.code {
			return fmt.Errorf("valtrelease %v ends with exit code %d: %s", step.args, got, said)
		}
		if step.code != 0 {
			return saysWhereAndWhy(string(said), mistaken, slices.Sorted(maps.Keys(mistaken.Files))...)
		}
	}
	return nil
}

// saysWhereAndWhy wants each file to be named with the line that asks.
func saysWhereAndWhy(said string, mistaken publish.Release, files ...string) error {
	for _, file := range files {
		before, _, _ := bytes.Cut(mistaken.Files[file], []byte(releases.MistakenAsks))
		at := fmt.Sprintf("%s:%d: ", file, 1+bytes.Count(before, []byte("\n")))
		if !strings.Contains(said, at) || !strings.Contains(said, releases.MistakenAsks+" gives the container power over the host") {
			return fmt.Errorf("nothing is said of %s at %s%s", releases.MistakenAsks, at, said)
		}
	}
	return nil
}

// refusedBySite offers the release, signed, to a controller that has seen no repository, whose
// hosts have nothing done to them.
func (e *Env) refusedBySite(ctx context.Context, mistaken publish.Release) (err error) {
	hosts, err := e.siteHosts()
	if err != nil {
		return err
	}
	if err := e.bareSite(ctx); err != nil {
		return err
	}
	before, err := e.fingerprints(ctx, hosts...)
	if err != nil {
		return err
	}
	vendor := &releases.Vendor{}
	defer func() {
		err = errors.Join(err, vendor.Publish(context.WithoutCancel(ctx), e.Lab, releases.Options{}))
	}()
	if err := vendor.Publish(ctx, e.Lab, releases.Options{Spoil: releases.MistakenSigned}); err != nil {
		return err
	}
	other, err := e.elsewhere()
	if err != nil {
		return err
	}
	defer os.RemoveAll(other.State)
	result, err := other.Expect(ctx, 2, "install", "--yes")
	if err != nil {
		return err
	}
	if err := saysWhereAndWhy(result.Stdout+result.Stderr, mistaken, slices.Sorted(maps.Keys(mistaken.Files))...); err != nil {
		return err
	}
	after, err := e.fingerprints(ctx, hosts...)
	if err != nil {
		return err
	}
	return same(before, after)
}
