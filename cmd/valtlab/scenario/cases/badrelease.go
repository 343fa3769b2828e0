package cases

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"ipivs.com/valtctl/cmd/valtlab/lab"
	"ipivs.com/valtctl/cmd/valtlab/releases"
)

// badRelease rolls a release that is ill: on the canary, and on the last of the hosts.
func badRelease(ctx context.Context, e *Env) error {
	media, err := e.mediaHosts()
	if err != nil {
		return err
	}
	if len(media) < 2 {
		return fmt.Errorf("the lab has %d media hosts; it takes two", len(media))
	}
	return e.parts(ctx,
		show{"ill on the canary", func(ctx context.Context) error { return e.illOn(ctx, media, 0) }},
		show{"ill in the second wave", func(ctx context.Context) error { return e.illOn(ctx, media, 1) }})
}

// illOn makes the release ill on one media host and wants the rollout to stop right there.
func (e *Env) illOn(ctx context.Context, media []lab.Host, ill int) error {
	if err := e.at(ctx, releases.Stable); err != nil {
		return err
	}
	before, err := e.fingerprints(ctx, media[ill].Name)
	if err != nil {
		return err
	}
	mark := path.Join(recordingsFolder, releases.UnwellMark)
	if _, err := e.Lab.Output(ctx, media[ill].Name, "touch", mark); err != nil {
		return err
	}
	result, err := e.Expect(ctx, 4, e.quick("update", "--to", releases.Unwell)...)
	if err != nil {
		return err
	}
	if !strings.Contains(result.Stdout, "rolled-back") || !strings.Contains(result.Stdout+result.Stderr, "valt-engine") {
		return fmt.Errorf("it does not say what was wrong: %s%s", result.Stdout, result.Stderr)
	}
	if _, err := e.Lab.Output(ctx, media[ill].Name, "rm", mark); err != nil {
		return err
	}
	want := map[string]string{"app1": releases.Stable}
	for i, h := range media {
		want[h.Name] = releases.Stable
		if i < ill {
			want[h.Name] = releases.Unwell
		}
	}
	if err := e.haveReleases(ctx, want); err != nil {
		return err
	}
	after, err := e.fingerprints(ctx, media[ill].Name)
	if err != nil {
		return err
	}
	if err := same(before, withoutNewImages(before, after)); err != nil {
		return fmt.Errorf("the host that went back is not what it was: %w", err)
	}
	if err := e.gateOpen(ctx, media[ill].Name); err != nil {
		return err
	}
	if err := e.reportSays(ctx, media[ill].Name); err != nil {
		return err
	}
	return e.serves(ctx)
}

// withoutNewImages leaves out what a host has fetched and does not use: a rollback keeps it.
func withoutNewImages(before, after map[string]fingerprint) map[string]fingerprint {
	left := map[string]fingerprint{}
	for host, lines := range after {
		left[host] = slices.DeleteFunc(slices.Clone(lines), func(line string) bool {
			return strings.HasPrefix(line, "image ") && !slices.Contains(before[host], line)
		})
	}
	return left
}

// reportSays wants the report to name the host and why it went back.
func (e *Env) reportSays(ctx context.Context, host string) error {
	report, err := e.Expect(ctx, 0, "report")
	if err != nil {
		return err
	}
	if !strings.Contains(report.Stdout, host) || !strings.Contains(report.Stdout, "rolled-back") && !strings.Contains(report.Stdout, "rolled back") {
		return fmt.Errorf("the report does not say why %s went back: %s", host, report.Stdout)
	}
	return nil
}
