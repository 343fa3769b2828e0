package plan

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/system"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
	"ipivs.com/valtctl/repos/release/allowed"
)

// Input is everything a plan is made of.
type Input struct {
	Site     *site.Site
	Manifest *release.Manifest
	Compose  map[site.Role][]byte // the release's Compose files
	Public   Public
	Hosts    map[string]HostFacts // by the host's name; only these are planned
	// Update plans for hosts that serve: what may disrupt is in the apply half, and what
	// it needs is fetched before. Downgrade lets packages go back to exact versions.
	Update, Downgrade bool
	// Bundle has hosts fetch from the bundle of the run instead of the site's sources.
	Bundle bool
}

// Public is the content of those files of the site that are no secret.
type Public struct {
	Certificate string             // PEM chain; empty without SSL
	Trust       []system.Authority // network.trust, in the site file's order
}

// HostFacts are the facts a plan may depend on.
type HostFacts struct {
	Codename string // Ubuntu's: "noble"
	Arch     string // as dpkg names it: "amd64"
	// TimeService is the package that keeps the host's clock already: Ubuntu 26.04 comes with chrony, and what was
	// upgraded has systemd-timesyncd. It stays, whichever the release names; empty: there is none.
	TimeService string
}

// Names of the secrets that steps ask for. The controller supplies them from the site's
// files; their values are in no plan.
const (
	SecretCertificateKey   = "certificate-key"
	SecretRegistryPassword = "registry-password"
	SecretLicence          = "licence"
	SecretBundle           = "bundle" // where the run's bundle answers (step.Carried)
)

// Build makes the plan of every host in in.Hosts.
func Build(ctx context.Context, in Input) (*Plan, error) {
	p := &Plan{Schema: Schema, Site: in.Site.ID, Release: in.Manifest.Version}
	for _, old := range in.Site.Replaced {
		p.Replaced = append(p.Replaced, old.Keeps())
	}
	var errs []error
	for _, h := range in.Site.Hosts {
		found, ok := in.Hosts[h.Name]
		if !ok {
			continue
		}
		hp, err := buildHost(ctx, in, h, found)
		if err != nil {
			errs = append(errs, fmt.Errorf("planning host %s: %w", h.Name, err))
			continue
		}
		p.Hosts = append(p.Hosts, hp)
	}
	return p, errors.Join(errs...)
}

func buildHost(ctx context.Context, in Input, h site.Host, found HostFacts) (HostPlan, error) {
	vars, err := variables(in, h, found)
	if err != nil {
		return HostPlan{}, err
	}
	b := &builder{Input: in, host: h, facts: found, vars: vars, stacks: map[site.Role]Stack{}}
	for _, r := range h.Roles {
		if !Plans(r) {
			b.fail(fmt.Errorf("its role %s has no plan", r))
		}
	}
	b.fail(b.Manifest.Allowed(b.allowed()))
	for _, r := range b.own() {
		if b.stacks[r.name], err = b.stack(ctx, r); err != nil {
			b.fail(err)
		}
	}
	b.siteFiles()
	b.machine()
	for _, r := range b.own() {
		r.fetch(b)
	}
	for _, r := range b.own() {
		b.serve(r)
	}
	b.firewall()
	b.after()
	slices.SortStableFunc(b.steps, func(a, b step.Spec) int { return halfOrder(a) - halfOrder(b) })
	return HostPlan{Host: h.Name, Roles: RoleNames(h), Steps: b.steps}, errors.Join(b.errs...)
}

func halfOrder(s step.Spec) int {
	if s.Half == step.Fetch {
		return 0
	}
	return 1
}

// RoleNames are a host's roles as transactions and host.json write them, in order.
func RoleNames(h site.Host) []string {
	var names []string
	for _, r := range h.Roles {
		names = append(names, string(r))
	}
	slices.Sort(names)
	return names
}

// builder collects one host's steps. Errors are collected too, so that all are reported.
type builder struct {
	Input
	host  site.Host
	facts HostFacts
	vars  map[string]string
	// stacks are the Compose files of the host's roles.
	stacks map[site.Role]Stack
	steps  []step.Spec
	errs   []error
}

// add appends a step, once: on a host with both roles what both want stands only where the
// first of them wants it. Every later step of a half runs only if the earlier ones did, so
// needs are written down only where a step may be deferred and something hangs on it.
func (b *builder) add(s step.Spec, k step.Kind, params any) {
	raw, err := json.Marshal(params)
	if err != nil {
		b.errs = append(b.errs, fmt.Errorf("writing the parameters of step %s: %w", s.ID, err))
		return
	}
	s.Kind, s.Params = k.Name, raw
	if same := slices.IndexFunc(b.steps, func(other step.Spec) bool { return other.ID == s.ID }); same >= 0 {
		if !bytes.Equal(b.steps[same].Params, raw) {
			b.errs = append(b.errs, fmt.Errorf("planning %s: two roles of release %s want it differently", s.ID, b.Manifest.Version))
		}
		return
	}
	if s.Disrupts == "" {
		s.Disrupts = step.Nothing
	}
	b.steps = append(b.steps, s)
}

func (b *builder) fail(err error) { b.errs = append(b.errs, err) }

// allowed is what this host's site has chosen itself of what a release may ask for.
func (b *builder) allowed() allowed.Site {
	own := allowed.Site{Recordings: b.host.Recordings}
	if h := b.Site.Hooks; h != nil {
		own.Programs = append(own.Programs, h.BeforeDrain, h.AfterAdmit)
	}
	for _, c := range b.Site.Checks {
		own.Programs = append(own.Programs, c.Program)
	}
	own.Programs = slices.DeleteFunc(own.Programs, func(p string) bool { return p == "" })
	return own
}

// refuse fails for what no release may ask for.
func (b *builder) refuse(what string, err error) {
	if err != nil {
		b.fail(&problem.Error{Kind: problem.Input, Doing: "planning release " + b.Manifest.Version + ":", Object: what, Err: err, Fix: allowed.Instead(err)})
	}
}

// endpoint puts the site's replacement in place of a vendor's host in a URL.
func (b *builder) endpoint(raw string) string {
	u, err := url.Parse(raw)
	if err != nil {
		b.fail(fmt.Errorf("reading the URL %q of the release: %w", raw, err))
		return raw
	}
	u.Host = b.Site.Network.Endpoint(u.Host).String()
	return u.String()
}
