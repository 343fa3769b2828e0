package check

import (
	"fmt"

	"ipivs.com/valtctl/installer/certificate"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/installer/step/files"
)

// siteLabel marks what belongs to a site, in the engine.
const siteLabel = docker.LabelSite

// judgeCertificate judges the controller's copy of the site's certificate as the hosts
// will.
func judgeCertificate(v view) finding {
	s := v.in.Site
	if !s.SSL || s.Cloud != nil {
		return finding{} // the cloud's certificate is the vendor's to issue
	}
	f := finding{subject: "the certificate for " + s.Name, status: Fail}
	c := v.in.Certificate
	switch {
	case s.Name == "":
		f.subject = "the site's certificate"
		f.cause, f.fix = "the site file does not say the name that clients type", "write name: and that name"
		return f
	case c.Err != nil:
		f.cause, f.fix = c.Err.Error(), "put the files there, or name others under tls: in the site file"
		return f
	}
	leaf, err := files.CheckCertificate(c.Chain, c.Key, s.Name, v.in.Now)
	if err != nil {
		f.cause = err.Error()
		f.fix = "give the certificate chain (leaf first) and the key that belongs to it, for the name that clients type"
		return f
	}
	if c.Missing != "" {
		f.cause, f.fix = c.Missing+"; phones refuse it", certificate.MissingFix
		return f
	}
	f.evidence = []string{"issued by " + leaf.Issuer.String(), "until " + date(leaf.NotAfter)}
	f.status = Pass
	if leaf.NotAfter.Sub(v.in.Now) <= certificateNotice {
		f.status, f.cause, f.fix = Warn, "it ends on "+date(leaf.NotAfter), "have it renewed, put it in the old one's place, and run valtctl install"
	}
	return f
}

// judgeCameras looks for servers with more cameras than the vendor says.
func judgeCameras(v view) finding {
	n := 0
	for _, h := range v.in.Site.Hosts {
		n += len(h.Cameras)
	}
	f := pass("how the cameras are spread", fmt.Sprintf("%d cameras on %d media servers", n, len(v.in.Site.Media())))
	for _, o := range v.in.Site.Overloads() {
		f.status = Warn
		f.cause = fmt.Sprintf("%s has %d cameras and is the application server as well; the vendor asks for a separate media server above %d", o.Host, o.Cameras, o.Limit)
		f.fix = o.Split
	}
	for _, role := range site.RolesThat(func(r site.RoleSpec) bool { return r.Engine && r.Lacking != nil }) {
		if spec, _ := role.Spec(); len(v.in.Site.With(role)) == 0 {
			f.status, f.cause, f.fix = Warn, fmt.Sprintf("no host has the role %s%s", role, spec.Lacking.So), fmt.Sprintf("give a host roles: [%s]", role)
		}
	}
	return f
}
