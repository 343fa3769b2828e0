package installer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"

	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/certificate"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/inputs"
	"ipivs.com/valtctl/installer/plan"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/repos/bundle"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// Run is one run over a site's hosts: these are connected to and their facts are known;
// releases are chosen, planned, inspected and brought to hosts as often as it takes. Its
// methods may be called for several hosts at once.
type Run struct {
	*fleet.Fleet
	material *inputs.Material
	source   inputs.Source
	repo     *release.Repository // once Releases has opened it
}

// Begin reads the site's files and connects to its hosts.
func Begin(ctx context.Context, o fleet.Options) (*Run, error) {
	r, err := prepare(o)
	if err != nil {
		return nil, err
	}
	if err := r.Connect(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// BeginBare is Begin without the files that only an installation needs: for runs whose steps
// use neither the certificate, nor a licence, nor the registry's password.
func BeginBare(ctx context.Context, o fleet.Options) (*Run, error) {
	trust, err := inputs.ReadTrust(o.Site)
	if err == nil {
		err = trust.Check(o.Site)
	}
	if err != nil {
		return nil, err
	}
	r, err := runWith(o, &inputs.Material{Trust: trust})
	if err != nil {
		return nil, err
	}
	if err := r.Connect(ctx); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// BeginReachable is Begin with those hosts that can be reached. The others are returned.
func BeginReachable(ctx context.Context, o fleet.Options) (*Run, []fleet.Unreached, error) {
	r, err := prepare(o)
	if err != nil {
		return nil, nil, err
	}
	return r, r.ConnectReachable(ctx), nil
}

// prepare reads the site's files; nothing is connected to yet.
func prepare(o fleet.Options) (*Run, error) {
	material, err := inputs.ReadMaterial(o.Site, o.Now(), o.Ask)
	if err != nil {
		return nil, err
	}
	if lacks := material.Lacks(); lacks != "" {
		o.Observer.Observe(event.Event{Kind: event.Note, Text: "phones will refuse the site: " + lacks + "; " + certificate.MissingFix})
	}
	return runWith(o, material)
}

func runWith(o fleet.Options, material *inputs.Material) (*Run, error) {
	hosts, err := o.Chosen()
	if err != nil {
		return nil, err
	}
	return &Run{Fleet: fleet.New(o, hosts), material: material, source: sourceOf(o, material.Trust)}, nil
}

// sourceOf is where a run with these options reads releases.
func sourceOf(o fleet.Options, trust inputs.Trust) inputs.Source {
	return inputs.Source{Site: o.Site, Trust: trust, Dir: filepath.Join(o.StateDir, "tuf"), Now: o.Now, Observer: o.Observer, Bundle: bundleOf(o)}
}

func bundleOf(o fleet.Options) *bundle.Reader {
	if o.Carrier == nil {
		return nil
	}
	return o.Carrier.Bundle
}

// secrets are what a host's steps may ask for in this run.
func (r *Run) secrets(h *fleet.Host) map[string][]byte {
	all := r.material.Secrets(h.Name)
	maps.Copy(all, h.Supplied())
	return all
}

// Releases opens the release repository and lists the versions in it, oldest first. With
// last, one that is out of reach or expired is read as it was last verified, which is
// enough to finish, and to go back.
func (r *Run) Releases(ctx context.Context, last bool) ([]string, error) {
	var err error
	if r.repo, err = r.source.Refreshed(ctx, last); err != nil {
		return nil, err
	}
	return r.repo.Versions(), nil
}

// Wanted is the version that the site file asks for.
func (r *Run) Wanted(ctx context.Context) (string, error) { return r.source.Wanted(ctx, r.repo) }

// Offered is the version that the site file asks for, and for how many of the sites that
// update unattended it is by now, in percent.
func (r *Run) Offered(ctx context.Context) (version string, percent int, err error) {
	want := r.Options.Site.Release
	if want.Version != "" {
		return want.Version, 100, nil
	}
	c, err := r.repo.Pointer(ctx, want.Channel)
	return c.Release, c.Share(), err
}

// Manifest is a release's manifest, verified.
func (r *Run) Manifest(ctx context.Context, version string) (*release.Manifest, error) {
	return r.repo.Manifest(ctx, version)
}

// Target is one release planned for the run's hosts.
type Target struct {
	Manifest *release.Manifest
	Digest   string // of the plan
	Plan     *plan.Plan
	release  *inputs.Release
}

// Plan plans the update of every host to a release; downgrade allows packages to go back.
func (r *Run) Plan(ctx context.Context, version string, downgrade bool) (*Target, error) {
	rel, err := inputs.ReadRelease(ctx, r.repo, r.Options.Site, version)
	if err != nil {
		return nil, err
	}
	return r.target(ctx, rel, plan.Input{Update: true, Downgrade: downgrade})
}

// target plans a release for the run's hosts; in says what kind of plan.
func (r *Run) target(ctx context.Context, rel *inputs.Release, in plan.Input) (*Target, error) {
	in.Site, in.Manifest, in.Compose, in.Public = r.Options.Site, rel.Manifest, rel.Compose, r.material.Public()
	in.Hosts, in.Bundle = map[string]plan.HostFacts{}, r.Options.Carrier != nil
	for _, h := range r.Hosts {
		f := h.Facts().Facts
		in.Hosts[h.Name] = plan.HostFacts{Codename: f.OS.Codename, Arch: f.Arch, TimeService: f.Clock.Service}
	}
	p, err := plan.Build(ctx, in)
	if err != nil {
		return nil, err
	}
	digest, err := p.Digest()
	return &Target{Manifest: rel.Manifest, Digest: digest, Plan: p, release: rel}, err
}

// Precheck refuses hosts that the target must not be brought to: bare, foreign, of an
// Ubuntu that it is not for, with containers that are not ours, with something unfinished. takesOver says
// that a drain by hand is none of that: it is called off before the first change.
func (r *Run) Precheck(t *Target, takesOver bool) error {
	return r.preflight(t.release, refuseBare, takesOver)
}

// Inspect has a host compare itself with steps of a target, also one that the run is not about:
// it may be asked what it sees of another. What steps could not look at is in the error, and so is
// what a bundle lacks for them.
func (r *Run) Inspect(ctx context.Context, host string, t *Target, steps []step.Spec) ([]agent.StepFinding, error) {
	h, err := r.Anywhere(host)
	if err != nil {
		return nil, err
	}
	findings, err := h.Inspect(ctx, agent.InspectRequest{Release: t.Manifest.Version, Steps: steps, Secrets: r.secrets(h)})
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, f := range findings {
		if err := problem.FromRecords(f.Problems); err != nil {
			errs = append(errs, fmt.Errorf("host %s: %w", host, err))
		}
	}
	return findings, errors.Join(append(errs, r.bundleSuits(ctx, h, steps, findings))...)
}
