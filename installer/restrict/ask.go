package restrict

import (
	"context"
	"fmt"
	"regexp"
	"slices"

	"ipivs.com/valtctl/installer/keyuse"
	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/survey"
	"ipivs.com/valtctl/installer/wowza"
)

// packageName is a package of apt, with a version or without; never one of its options.
var packageName = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]*(=[A-Za-z0-9.+:~-]+)?$`)

// blobPath is a blob of a registry (OCI distribution specification, "Pulling blobs").
var blobPath = regexp.MustCompile(`^/v2/[a-z0-9][a-z0-9._/-]*/blobs/sha256:[0-9a-f]{64}$`)

// maxAsked is how many things one call may be about: a release has some dozens of packages, and a
// host some dozens of flows.
const maxAsked = 1000

// survey answers what an update needs: no disk is written to and no file is named.
func (j *Judge) survey(_ context.Context, r *survey.Request) error {
	if len(r.Packages) > maxAsked {
		return refuse(keyuse.Foreign, "survey", "it is about %d packages, and at most %d are looked for", len(r.Packages), maxAsked)
	}
	for _, p := range r.Packages {
		if !packageName.MatchString(p) {
			return refuse(keyuse.Foreign, "survey", "%q is no package", p)
		}
	}
	*r = survey.Request{NoWrite: true, Packages: r.Packages}
	return nil
}

// engine asks this host's own engine, over loopback. Which file its password is in a release
// says; what is in a file leaves the host as a digest at most, and goes to loopback alone.
func (j *Judge) engine(_ context.Context, a *wowza.Access) error {
	if a.URL != "" && a.URL != wowza.DefaultURL || a.User != "" && a.User != wowza.DefaultUser {
		return refuse(keyuse.Foreign, "media engine at "+a.URL, "it is not this host's own")
	}
	return nil
}

// probing asks those ends that the site's flows go to from this host, and no others: the
// key is no way into the network.
func (j *Judge) probing(do func(context.Context, probe.Request, func(probe.Outcome) error) error) func(context.Context, probe.Request, func(probe.Outcome) error) error {
	return func(ctx context.Context, r probe.Request, outcome func(probe.Outcome) error) error {
		if len(r.Specs) > maxAsked {
			return refuse(keyuse.Foreign, "probe", "it has %d questions, and at most %d are asked", len(r.Specs), maxAsked)
		}
		s, self := j.Own.About()
		refused := func(what, format string, args ...any) error {
			return j.refused(keyuse.Use{Call: keyuse.Look}, refuse(keyuse.Foreign, what, format, args...))
		}
		for i, spec := range r.Specs {
			if !reached(s, self, spec) {
				return refused(fmt.Sprintf("probe of %s:%d", spec.Host, spec.Port), "no flow of the site goes there from %s", self.Name)
			}
			if spec.Proxy != "" && spec.Proxy != s.Network.Proxy {
				return refused("probe through "+spec.Proxy, "it is not the site's proxy")
			}
			if spec.Ask == probe.AskBlob && !blobPath.MatchString(spec.Path) {
				return refused("probe of "+spec.Path, "it is no blob of an image")
			}
			r.Specs[i].Token = ""
		}
		return do(ctx, r, outcome)
	}
}

func reached(s *site.Site, self site.Host, spec probe.Spec) bool {
	return slices.ContainsFunc(network.Flows(s), func(f network.Flow) bool {
		return f.Source.Kind == network.KindHost && f.Source.Name == self.Name &&
			f.Destination.Address == spec.Host && f.Port == spec.Port && string(f.Protocol) == spec.Protocol
	})
}
