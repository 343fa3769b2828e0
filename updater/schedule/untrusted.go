package schedule

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/apt"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/step/files"
	"ipivs.com/valtctl/installer/step/firewall"
	"ipivs.com/valtctl/installer/step/system"
	"ipivs.com/valtctl/repos/problem"
)

// settingKinds are the kinds of steps in which a site's settings show. Packages, images and
// pending reboots change without a person.
func settingKinds() []step.KindName {
	return []step.KindName{apt.KindSource, files.KindCertificate, system.KindClock, docker.KindContainer, docker.KindEngineConfig,
		files.KindFile, firewall.KindFirewall, files.KindLicence, docker.KindNetwork, docker.KindRegistryLogin, system.KindTrustedCA, system.KindUnit}
}

// untrusted says how hosts differ from what the schedule's copy of the site wants of the
// release that they have. A person has changed the site since, or somebody a host: either
// way an update would put back what the copy says, with nobody there to see it.
func untrusted(ctx context.Context, work *installer.Run) (differs, err error) {
	kinds := settingKinds()
	var errs []error
	for _, h := range work.Hosts {
		was := work.Facts(h.Name).Installed
		if was == nil {
			continue // the update says so
		}
		t, err := work.Plan(ctx, was.Release, false)
		if err != nil {
			return nil, err
		}
		plan, _ := t.Plan.Host(h.Name)
		findings, err := work.Inspect(ctx, h.Name, t, plan.Steps)
		if err != nil {
			return nil, err
		}
		var differ []string
		for i, f := range findings {
			if f.Finding.Change && slices.Contains(kinds, plan.Steps[i].Kind) {
				differ = append(differ, plan.Steps[i].Title)
			}
		}
		if len(differ) > 0 {
			errs = append(errs, &problem.Error{Kind: problem.Check, Doing: "comparing with what was left for unattended updates", Object: h.Name,
				Err: fmt.Errorf("%s differs", strings.Join(differ, ", ")),
				Fix: "if the site was changed on purpose, run: valtctl schedule enable; if not, look with: valtctl status --drift"})
		}
	}
	return errors.Join(errs...), nil
}
