package wizard

import "ipivs.com/valtctl/installer/site"

// appGuide asks nothing more of an application server.
func appGuide() roleGuide {
	return roleGuide{role: site.App, does: func(site.Host) string { return serverName(site.App) }}
}
