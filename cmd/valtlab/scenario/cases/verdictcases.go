package cases

import (
	"fmt"

	"ipivs.com/valtctl/cmd/valtlab/badservers"
	"ipivs.com/valtctl/cmd/valtlab/fault"
	"ipivs.com/valtctl/cmd/valtlab/vendorsim"
)

// The words of reports, as a case's author types them.
const (
	pass, fail, unknown = "pass", "fail", "unknown"
	works               = "works"
)

// outward is the id of the flow from the media host to one of the vendor's names.
func outward(row, name string) string { return row + "/media1/" + name }

// verdictGroups is every case, in as few checks as hold them: a site file has one endpoint
// for each of the vendor's names, one proxy and one tunnel.
func verdictGroups(s stage) []verdictGroup {
	groups := []verdictGroup{ordinaryGroup(s), plainGroup(s)}
	groups = append(groups, blobGroups()...)
	groups = append(groups, proxyGroups()...)
	return append(groups, tunnelGroups(s)...)
}

// endpoints puts peers in the place of the vendor's names.
func endpoints(site map[string]any, instead map[string]badservers.Place) {
	all := map[string]any{}
	for name, place := range instead {
		all[name] = place.Endpoint()
	}
	withNetwork(site, map[string]any{"endpoints": all})
}

// ordinaryGroup is a site with SSL between firewalls, with servers that are not theirs.
func ordinaryGroup(s stage) verdictGroup {
	licence := vendorsim.Licences()
	return verdictGroup{
		name: "servers",
		change: func(site map[string]any) {
			onlyHosts(site, "app1", "media1")
			withHost(site, "media1", map[string]any{"cameras": []any{s.camera.String(), s.locked.String()}})
			endpoints(site, map[string]badservers.Place{
				vendorsim.UbuntuArchive: badservers.AptStranger, vendorsim.UbuntuSecurity: badservers.AptTampered, vendorsim.IPIVS: badservers.Prohibited,
				vendorsim.Changelogs: badservers.Expired, vendorsim.Docker: badservers.LoopbackName, vendorsim.Registry: badservers.NoRegistry,
				licence[0]: badservers.CaptivePlain, licence[1]: badservers.NobodyListens, licence[2]: badservers.Dropped, licence[3]: badservers.NoSuchName,
			})
		},
		faults: []fault.Fault{
			fault.Rules{Host: "app1", Output: []string{fmt.Sprintf("ip daddr %s tcp dport 8086 drop", s.media.Address)}},
			fault.Rules{Host: "media1", Input: []string{fmt.Sprintf("ip saddr %s tcp dport 8000 drop", s.app.Address)}},
			fault.OnTheWay{From: s.media.Address, To: s.app.Address, Port: 8087},
		},
		cases: []verdictCase{
			{"works: nobody listens there yet", "app-to-media.rest/app1/media1", pass, works, "", nil},
			{"works: a licence server", outward("wowza.license4", licence[4]), pass, works, "", nil},
			{"works: a camera's page", "camera.http/media1/" + s.camera.String(), pass, works, "", nil},
			{"works: a camera's stream", "camera.rtsp/media1/" + s.camera.String(), pass, works, "", nil},
			{"RTSP answers 401", "camera.rtsp/media1/" + s.locked.String(), pass, works, "", []string{"login"}},
			{"refused", outward("wowza.license1", licence[1]), fail, "refused", "", []string{"nothing listens"}},
			{"dropped at the source", "app-to-media.control/app1/media1", fail, "filtered", "source", []string{"own firewall drops"}},
			{"dropped at the destination", "app-to-media.webserver/app1/media1", fail, "filtered", "destination", []string{"arrives at media1", "own firewall"}},
			{"dropped on the way", "media-to-app.rest/media1/app1", fail, "filtered", "way", []string{"never arrives at app1"}},
			{"dropped somewhere beyond", outward("wowza.license2", licence[2]), fail, "filtered", "way", []string{"nothing came back"}},
			{"rejected as prohibited", outward("updates.ivs-apt", vendorsim.IPIVS), fail, "filtered", "destination", []string{"rejected", "firewall"}},
			{"name missing", outward("wowza.license3", licence[3]), fail, "no-name", "", []string{badservers.NoSuchName.Name, "does not exist"}},
			{"name pointing to loopback", outward("updates.docker-apt", vendorsim.Docker), fail, "no-name", "", []string{"this machine itself", "127.0.0.1"}},
			{"captive page with 200", outward("wowza.license-all", licence[0]), fail, "wrong-content", "", []string{"captive portal"}},
			{"expired certificate", outward("updates.ubuntu-changelogs", vendorsim.Changelogs), fail, "certificate", "", []string{"expired"}},
			{"registry answering the wrong thing", outward("updates.docker-registry", vendorsim.Registry), fail, "wrong-content", "", []string{"registry"}},
			{"apt index signed by a stranger", outward("updates.ubuntu-archive", vendorsim.UbuntuArchive), fail, "wrong-content", "", []string{"key that is not trusted"}},
			{"apt index changed after signing", outward("updates.ubuntu-security", vendorsim.UbuntuSecurity), fail, "wrong-content", "", []string{"changed after it was signed"}},
		},
	}
}

// plainGroup is a site without SSL. Containers have no clock of their own, so not the
// host is moved a day back but the server a day ahead: its certificate begins to be valid
// in 20 hours, and its Date says that it is that late already.
func plainGroup(s stage) verdictGroup {
	return verdictGroup{
		name: "plain",
		change: func(site map[string]any) {
			onlyHosts(site, "app1", "media1")
			site["ssl"] = false
			delete(site, "tls")
			endpoints(site, map[string]badservers.Place{
				vendorsim.Changelogs: badservers.Tomorrow, vendorsim.Docker: badservers.OtherName, vendorsim.Registry: badservers.CaptiveTLS, vendorsim.UbuntuArchive: badservers.CaptivePlain,
			})
		},
		cases: []verdictCase{
			{"RTMP does not answer the handshake", "app-to-media.http/app1/media1", fail, "wrong-content", "", []string{"says nothing"}},
			{"clock a day off", outward("updates.ubuntu-changelogs", vendorsim.Changelogs), fail, "wrong-clock", "", []string{"clock", "behind"}},
			{"certificate for another name", outward("updates.docker-apt", vendorsim.Docker), fail, "certificate", "", []string{badservers.OtherName.Name}},
			{"captive page instead of a registry", outward("updates.docker-registry", vendorsim.Registry), fail, "wrong-content", "", []string{"web page", "registry"}},
			{"captive page instead of an index", outward("updates.ubuntu-archive", vendorsim.UbuntuArchive), fail, "wrong-content", "", []string{"web page"}},
			{"works: an index that verifies", outward("updates.ubuntu-security", vendorsim.UbuntuSecurity), pass, works, "", nil},
			{"works: an index over TLS", outward("updates.ivs-apt", vendorsim.IPIVS), pass, works, "", nil},
		},
	}
}

// blobGroups are sites whose registry answers for itself and has its blobs come from another name.
func blobGroups() []verdictGroup {
	from := func(name string, registry badservers.Place, c verdictCase) verdictGroup {
		return verdictGroup{name: name, hosts: []string{"media1"}, cases: []verdictCase{c}, change: func(site map[string]any) {
			onlyHosts(site, "app1", "media1")
			endpoints(site, map[string]badservers.Place{vendorsim.Registry: registry})
		}}
	}
	flow := outward("updates.docker-registry", vendorsim.Registry)
	return []verdictGroup{
		from("blobs-elsewhere", badservers.BlobsElsewhere, verdictCase{"works: a registry's blobs come from another name", flow, pass, works, "", nil}),
		from("blobs-elsewhere-intercepted", badservers.BlobsIntercepted,
			verdictCase{"TLS intercepted where the blobs come from", flow, fail, "intercepted", "",
				[]string{"blobs come from " + badservers.CDN.Name, badservers.InspectionIssuer}}),
	}
}

// proxyGroups are sites behind the customer's proxy, of four kinds.
func proxyGroups() []verdictGroup {
	behind := func(name string, extra bool, proxy badservers.Place, cases ...verdictCase) verdictGroup {
		return verdictGroup{name: name, extra: extra, hosts: []string{"media1"}, cases: cases, change: func(site map[string]any) {
			onlyHosts(site, "app1", "media1")
			withNetwork(site, map[string]any{"proxy": proxy.ProxyURL()})
		}}
	}
	registry, archive := outward("updates.docker-registry", vendorsim.Registry), outward("updates.ubuntu-archive", vendorsim.UbuntuArchive)
	return []verdictGroup{
		behind("proxy", true, badservers.ProxyPlain,
			verdictCase{"works: TLS through a proxy", registry, pass, works, "", nil},
			verdictCase{"works: HTTP through a proxy", archive, pass, works, "", nil}),
		behind("proxy-reads", false, badservers.ProxyReads,
			verdictCase{"TLS intercepted by a real proxy", registry, fail, "intercepted", "", []string{badservers.InspectionIssuer}},
			verdictCase{"HTTP through that proxy", archive, pass, works, "", nil}),
		behind("proxy-login", false, badservers.ProxyLogin,
			verdictCase{"proxy 407 before TLS", registry, fail, "proxy", "", []string{"proxy asks for a login"}},
			verdictCase{"proxy 407 to HTTP", archive, fail, "proxy", "", []string{"proxy asks for a login"}}),
		behind("proxy-refuses", true, badservers.ProxyRefuses,
			verdictCase{"proxy 403 before TLS", registry, fail, "proxy", "", []string{"403"}},
			verdictCase{"proxy 403 to HTTP", archive, fail, "proxy", "", []string{"403"}}),
	}
}

// tunnelGroups are media hosts of VALT Cloud, whose tunnel ends at addresses of different
// tempers.
func tunnelGroups(s stage) []verdictGroup {
	to := func(name, address string, cases ...verdictCase) verdictGroup {
		for i := range cases {
			cases[i].flow += "/media1/" + address
		}
		return verdictGroup{name: name, cases: cases, change: func(site map[string]any) {
			onlyHosts(site, "media1")
			site["cloud"] = map[string]any{"app": "valt.peers.example", "tunnel": address}
		}}
	}
	return []verdictGroup{
		to("tunnel-answers", s.tunnels.Answers.String(),
			verdictCase{"IKE answered by real strongSwan", "tunnel.ike", pass, works, "", nil},
			verdictCase{"IKE answered on 4500", "tunnel.ike-nat", pass, works, "", nil},
			verdictCase{"GRE reached", "tunnel.gre", pass, works, "", []string{"reached"}}),
		to("tunnel-silent", s.tunnels.Silent.String(),
			verdictCase{"IKE silent", "tunnel.ike", unknown, unknown, "", []string{"proves nothing"}},
			verdictCase{"IKE silent on 4500", "tunnel.ike-nat", unknown, unknown, "", []string{"proves nothing"}},
			verdictCase{"GRE silent", "tunnel.gre", unknown, unknown, "", []string{"proves nothing"}}),
		to("tunnel-rejected", s.tunnels.Rejected.String(),
			verdictCase{"IKE refused", "tunnel.ike", fail, "refused", "", []string{"nothing listens"}},
			verdictCase{"IKE refused on 4500", "tunnel.ike-nat", fail, "refused", "", []string{"nothing listens"}},
			verdictCase{"GRE rejected", "tunnel.gre", fail, "filtered", "destination", []string{"rejected", "firewall"}}),
	}
}
