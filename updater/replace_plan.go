package updater

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/docker/go-units"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/check"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/step/system"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/updater/drain"
)

// ReplacePreview is what a replacement would do: what --dry-run shows and a person confirms.
type ReplacePreview struct {
	Old     string         `json:"old"`
	New     string         `json:"new"`
	Release string         `json:"release"`
	Digest  string         `json:"plan_digest"` // of the new server's plan
	Network network.Change `json:"network"`
	Tried   int            `json:"tried"` // flows of the new server that were tried
	Hosts   []HostPreview  `json:"hosts"` // the new server, then those that are told its address
	// Replaced are the servers that keep recordings of the site beside it, the old one among them.
	Replaced []site.Replaced `json:"replaced"`
	Notes    []string        `json:"notes,omitempty"`
}

// plan reads the release that the old server runs, and refuses what must not be touched.
func (m *replacement) plan(ctx context.Context) error {
	if !m.moved.Load() {
		if err := m.work.RefuseLeaving(m.old.Name); err != nil {
			return err
		}
	}
	m.release = m.work.Facts(m.old.Name).Installed.Release
	m.from = m.release
	if _, err := m.work.Releases(ctx, true); err != nil {
		return err
	}
	var err error
	if m.install, err = m.work.PlanNew(ctx, m.release); err != nil {
		return err
	}
	if m.settings, err = m.work.Plan(ctx, m.release, false); err != nil {
		return err
	}
	if m.moved.Load() { // what is unfinished is what is gone on with
		return nil
	}
	return m.refuse()
}

// refuse refuses what must not be touched.
func (m *replacement) refuse() error {
	errs := []error{m.work.RefuseSuccessor(m.install, m.new.Name, m.old.Name)}
	for _, name := range m.drivers {
		errs = append(errs, m.work.RefuseLeaving(name))
		if is := m.work.Facts(name).Installed; is != nil && is.Release != m.release {
			errs = append(errs, &problem.Error{Kind: problem.Check, Doing: "checking host", Object: name,
				Err: fmt.Errorf("it has release %s, and %s has %s", is.Release, m.old.Name, m.release), Fix: "bring them to one release first: valtctl update"})
		}
	}
	if m.old.HasEngine() {
		_, err := drain.Engine(m.install.Manifest)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// preview has the network of the new server tried first, and then the hosts compare themselves with
// what is wanted of them.
func (m *replacement) preview(ctx context.Context) (*ReplacePreview, error) {
	p := &ReplacePreview{Old: m.old.Name, New: m.new.Name, Release: m.release, Digest: m.install.Digest,
		Network: network.Difference(m.o.Before, m.Site), Replaced: m.Site.Replaced}
	if !m.o.SkipChecks && !m.moved.Load() {
		if err := m.tryNetwork(ctx, p); err != nil {
			return p, err
		}
	}
	add := func(host string, t *installer.Target, steps []step.Spec) error {
		findings, err := m.work.Inspect(ctx, host, t, steps)
		if err == nil {
			p.Hosts = append(p.Hosts, m.hostPreview(host, steps, findings))
		}
		return err
	}
	err := add(m.new.Name, m.install, m.ready())
	for _, name := range m.drivers {
		plan, _ := m.settings.Plan.Host(name)
		err = errors.Join(err, add(name, m.settings, plan.Steps))
	}
	p.Notes = m.beforehand()
	return p, err
}

// tryNetwork tries every flow from the new server, and those of the site's servers to it.
func (m *replacement) tryNetwork(ctx context.Context, p *ReplacePreview) error {
	results, err := m.work.TryNew(ctx, m.install, func(f network.Flow) bool { return f.Touches(m.new.Name) })
	if err != nil {
		return err
	}
	p.Tried = len(results)
	for _, r := range results {
		if r.Status == check.Warn || r.Status == check.Unknown {
			m.say(r.Host, "%s: %s: %s", r.Subject, r.Status, r.Cause)
		}
	}
	return installer.FlowProblems(results)
}

// beforehand is what a person should know before it begins.
func (m *replacement) beforehand() []string {
	notes := []string{
		fmt.Sprintf("%s takes no new sessions once %s is ready, and its recordings are waited for; VALT may mail that its streams are offline meanwhile", m.old.Name, m.new.Name),
		m.keeps(),
	}
	if m.old.Wowza.License == site.Physical {
		notes = append(notes, fmt.Sprintf("its licence is a USB key: when %s is at rest you are told to plug it over to %s, within %s", m.old.Name, m.new.Name, m.o.PlugWithin))
	}
	if m.Site.Cloud != nil {
		notes = append(notes, fmt.Sprintf("the application server is the cloud's: tell the vendor that %s is now at %s", m.old.Name, m.new.Address))
	}
	return notes
}

// keeps says of the old server what it keeps, and how much that is.
func (m *replacement) keeps() string {
	left, _ := m.Site.WasReplaced(m.old.Name)
	text := left.Keeps()
	i := slices.IndexFunc(m.work.Facts(m.old.Name).Filesystems, func(f facts.Filesystem) bool { return f.Mount == m.old.Recordings })
	if i >= 0 {
		disk := m.work.Facts(m.old.Name).Filesystems[i]
		text += " (" + units.HumanSize(float64(disk.Size-disk.Free)) + " of that disk are used)"
	}
	return text + "; move them or let them age there, then take it out of the site file: replaced"
}

// afterwards is what is left to do for a person.
func (m *replacement) afterwards(ctx context.Context) []string {
	notes := []string{m.keeps(), fmt.Sprintf("to go back: valtctl replace %s --with %s", m.new.Name, m.old.Name)}
	for _, h := range m.work.Whole() {
		if f := h.Facts(); h.Connected() && f.Schedule != nil {
			notes = append(notes, "unattended updates know the former servers: valtctl schedule enable")
			break
		}
	}
	if m.settings == nil {
		return notes
	}
	for _, h := range m.work.Beside {
		if !h.Connected() {
			notes = append(notes, h.Name+" could not be asked whether it needs to know of it: valtctl update --dry-run")
		}
	}
	return notes
}

// ready are the steps that make the new server ready: all that need no licence in use and let nobody
// in.
func (m *replacement) ready() []step.Spec {
	plan, _ := m.install.Plan.Host(m.new.Name)
	serving := []step.KindName{docker.KindContainer, docker.KindHealth, system.KindDongle, system.KindSiteCheck}
	return slices.DeleteFunc(slices.Clone(plan.Steps), func(s step.Spec) bool { return slices.Contains(serving, s.Kind) })
}
