package installer

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/inputs"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// preflight refuses what must not be touched, on all hosts at once: by what a host is, by
// what is unfinished on it, and by a release repository that is older than what it has seen.
func (r *Run) preflight(rel *inputs.Release, installed refuseRelease, takesOver bool) error {
	var errs []error
	for _, h := range r.Hosts {
		known := h.Facts()
		errs = append(errs, refuse(r.Options.Site, rel.Manifest, h.Name, &known.Facts, installed), refuseUnfinished(h, takesOver))
		if seen := known.TrustedState; seen != nil {
			errs = append(errs, release.NotOlder(rel.State, *seen, h.Name))
		}
	}
	return errors.Join(errs...)
}

// refuseUnfinished refuses a new run on a host whose last one is not over, unless it takes that over.
func refuseUnfinished(h *fleet.Host, takesOver bool) error {
	t, is := h.Unfinished()
	if !is || takesOver && t.Yields {
		return nil
	}
	return &problem.Error{Kind: problem.Locked, Doing: "checking host", Object: h.Name,
		Err: fmt.Errorf("transaction %s is %s", t.ID, t.State), Fix: "follow or finish it with: valtctl resume"}
}

// refuse lists the reasons why a host must not be touched: an Ubuntu that the release
// does not list, containers that are not ours, another site's or another release's VALT.
func refuse(s *site.Site, m *release.Manifest, host string, f *facts.Facts, installed refuseRelease) error {
	no := func(fix, format string, args ...any) error {
		return &problem.Error{Kind: problem.Check, Doing: "checking host", Object: host, Err: fmt.Errorf(format, args...), Fix: fix}
	}
	var errs []error
	if f.OS.ID != "ubuntu" || !slices.Contains(m.Ubuntu, f.OS.VersionID) {
		errs = append(errs, no("use a server with one of: Ubuntu "+strings.Join(m.Ubuntu, ", Ubuntu "),
			"it runs %s %s, which release %s is not made for", f.OS.ID, f.OS.VersionID, m.Version))
	}
	for name, img := range m.Images {
		if _, ok := img.Platforms["linux/"+f.Arch]; !ok {
			errs = append(errs, no("use a server of another architecture", "release %s has no image %s for %s", m.Version, name, f.Arch))
			break
		}
	}
	if f.SnapDocker != "" {
		errs = append(errs, no(facts.SnapFix, "Docker is installed there as a snap (%s), which cannot see /etc and /srv and updates itself whenever it likes", f.SnapDocker))
	}
	errs = append(errs, refuseContainers(s, f, no))
	errs = append(errs, refuseInstalled(s, m, host, f, no, installed))
	return errors.Join(errs...)
}

type refusal func(fix, format string, args ...any) error

func refuseContainers(s *site.Site, f *facts.Facts, no refusal) error {
	if f.Engine == nil {
		return nil
	}
	var foreign []string
	for _, c := range f.Engine.Containers {
		if c.Labels[docker.LabelSite] != s.ID {
			foreign = append(foreign, c.Name)
		}
	}
	if len(foreign) == 0 {
		return nil
	}
	slices.Sort(foreign)
	return no("move them to another server, or remove them; valtctl looks after whole servers",
		"containers run there that are not this site's: %s", strings.Join(foreign, ", "))
}

// refuseInstalled refuses a host that is another site's, or another host of this one, and
// then by its release.
func refuseInstalled(s *site.Site, m *release.Manifest, host string, f *facts.Facts, no refusal, judge refuseRelease) error {
	was := f.Installed
	switch {
	case was != nil && was.Site != s.ID:
		return no("check the host's address in the site file", "it belongs to the site %q", was.Site)
	case was != nil && was.ReplacedBy != "":
		return no("where the replacement was cut off: valtctl resume; to have it serve again: valtctl replace "+was.ReplacedBy+" --with "+host,
			"%s has taken its place, with its licence and its cameras", was.ReplacedBy)
	case was != nil && was.Host != host:
		return no("check the host's address in the site file; two hosts may share one", "it is installed as the site's host %q", was.Host)
	}
	return judge(m, f, no)
}

// refuseRelease judges the release that a host has.
type refuseRelease func(m *release.Manifest, f *facts.Facts, no refusal) error

// refuseOtherRelease is an installation's: it changes no release.
func refuseOtherRelease(m *release.Manifest, f *facts.Facts, no refusal) error {
	if was := f.Installed; was != nil && was.Release != m.Version {
		return no("go to another release with: valtctl update; to go on with what is there write release: { version: "+was.Release+" }",
			"it has release %s, and install changes no release (asked for %s)", was.Release, m.Version)
	}
	return nil
}

// refuseBare is an update's: it changes only what serves already.
func refuseBare(_ *release.Manifest, f *facts.Facts, no refusal) error {
	if f.Installed == nil {
		return no("valtctl install", "VALT is not installed there")
	}
	return nil
}
