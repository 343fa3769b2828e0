package plan

import (
	"net/url"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/system"
)

// ownChecks plans the site's own checks of this host, after everything that serves is new.
func (b *builder) ownChecks() {
	for _, c := range b.Site.Checks {
		if !c.AskedOn(b.Site, b.host) {
			continue
		}
		params := system.SiteCheckParams{Name: c.Name, URL: c.URL, Program: c.Program, Required: c.Required, Within: time.Duration(c.Within).String()}
		if u, err := url.Parse(c.URL); err == nil && strings.EqualFold(u.Hostname(), b.Site.Name) { // asked of this host itself
			params.ServerName = b.Site.Name
			if b.Site.SSL {
				params.TrustPEM = b.Public.Certificate
			}
		}
		spec := applied("check/"+c.Name, "the site's own check "+c.Name)
		spec.Disrupts = step.Nothing
		b.add(spec, system.SiteCheckKind(), params)
	}
}
