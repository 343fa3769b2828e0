package cases

import (
	"context"
	"errors"
	"fmt"
	"os"

	"ipivs.com/valtctl/cmd/valtlab/releases"
)

// releasesRefused has the vendor's server serve what must not be trusted.
func releasesRefused(ctx context.Context, e *Env) (err error) {
	hosts, err := e.siteHosts()
	if err != nil {
		return err
	}
	if err := e.Timed("bare hosts", func() error { return e.bareSite(ctx) }); err != nil {
		return err
	}
	// A whole repository first, so that one controller has seen it.
	plan, err := dryRunPlan(ctx, e)
	if err != nil {
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
	for _, way := range []releases.Spoiled{releases.TamperedTarget, releases.WrongSignature, releases.ForeignRoot} {
		err := e.Timed(string(way)+" refused", func() error {
			if err := vendor.Publish(ctx, e.Lab, releases.Options{Spoil: way}); err != nil {
				return err
			}
			return refusesRelease(ctx, e, way, plan)
		})
		if err != nil {
			return err
		}
	}
	after, err := e.fingerprints(ctx, hosts...)
	if err != nil {
		return err
	}
	if err := same(before, after); err != nil {
		return err
	}
	if err := vendor.Publish(ctx, e.Lab, releases.Options{}); err != nil {
		return err
	}
	mended, err := dryRunPlan(ctx, e)
	if err == nil && mended != plan {
		err = fmt.Errorf("the plan was %s and is %s once the repository is whole again", plan, mended)
	}
	return err
}

// dryRunPlan is the digest of what an install would do now.
func dryRunPlan(ctx context.Context, e *Env) (string, error) {
	result, err := e.Expect(ctx, 0, "install", "--dry-run")
	if err != nil {
		return "", err
	}
	return planDigest(result.Stdout)
}

// refusesRelease wants exit code 6 of a controller that knows the repository and of one
// that has never seen it. Only of a tampered target the former need not hear: it has the
// true one, verified, and must go by that.
func refusesRelease(ctx context.Context, e *Env, way releases.Spoiled, plan string) error {
	if way == releases.TamperedTarget {
		digest, err := dryRunPlan(ctx, e)
		if err != nil {
			return fmt.Errorf("with the true target at hand: %w", err)
		}
		if digest != plan {
			return fmt.Errorf("with the true target at hand the plan is %s instead of %s", digest, plan)
		}
	} else if _, err := e.Expect(ctx, 6, "install", "--yes"); err != nil {
		return fmt.Errorf("with trusted state: %w", err)
	}
	other, err := e.elsewhere()
	if err != nil {
		return err
	}
	defer os.RemoveAll(other.State)
	if _, err := other.Expect(ctx, 6, "install", "--yes"); err != nil {
		return fmt.Errorf("without trusted state: %w", err)
	}
	return nil
}
