package plan

import (
	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/step/apt"
	"ipivs.com/valtctl/installer/step/firewall"
)

// firewall plans the host's firewall as the very last step: if its trial fails the host
// is as it was and serves. With firewall: off it takes away one that was managed before.
func (b *builder) firewall() {
	var params firewall.Params
	title := "no firewall of valtctl's"
	if b.Site.Firewall == site.FirewallManaged {
		rules, err := network.Ruleset(b.Site, b.host.Name)
		if err != nil {
			b.fail(err)
			return
		}
		params.Rules, title = string(rules), "firewall"
	}
	b.add(applied("firewall", title), firewall.Kind(), params)
}

// firewallPackages is what a managed firewall is loaded with.
func (b *builder) firewallPackages() []apt.PackageWanted {
	if b.Site.Firewall != site.FirewallManaged {
		return nil
	}
	return []apt.PackageWanted{{Name: "nftables"}}
}
