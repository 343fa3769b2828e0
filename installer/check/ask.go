package check

import (
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/release"
)

// asker knows what to ask of a flow's far end beyond an open port. An open port is not
// enough where the protocol can be asked: firewalls, proxies and captive portals open
// ports too.
type asker struct {
	site     *site.Site
	manifest *release.Manifest // nil: no release could be read
	codename string            // of the host that asks; empty: not known
}

// questions are what is asked of a flow, one for each row that it came from; rows that
// ask the same are one. IDs are left empty.
func (a asker) questions(f network.Flow) []probe.Spec {
	var all []probe.Spec
	for _, row := range f.Rows {
		s := a.question(f, row)
		s.Host, s.Port, s.Protocol = f.Destination.Address, f.Port, string(f.Protocol)
		if f.Destination.Kind == network.KindVendor && !strings.HasPrefix(row, "wowza.") {
			s.Proxy = a.site.Network.Proxy // the engine asks for its licence by itself, without a proxy
		}
		if !slices.ContainsFunc(all, func(o probe.Spec) bool { return same(o, s) }) {
			all = append(all, s)
		}
		if blob := a.blob(f); s.Ask == probe.AskRegistry && blob != "" {
			s.Ask, s.Path = probe.AskBlob, blob
			all = append(all, s)
		}
	}
	return all
}

// blob is a real blob of the release at a registry, the first image's config: a registry may answer for itself and
// have its blobs come from another name. Empty: no release could be read, or it has no image there.
func (a asker) blob(f network.Flow) string {
	if a.manifest == nil {
		return ""
	}
	for _, name := range slices.Sorted(maps.Keys(a.manifest.Images)) {
		host, repository, _ := strings.Cut(a.manifest.Images[name].Repository, "/")
		platforms := a.manifest.Images[name].Platforms
		if host != f.Destination.Name {
			continue
		}
		for _, platform := range slices.Sorted(maps.Keys(platforms)) {
			return "/v2/" + repository + "/blobs/" + platforms[platform].Config
		}
	}
	return ""
}

func same(a, b probe.Spec) bool {
	return a.Ask == b.Ask && a.Path == b.Path && a.Name == b.Name && a.TLS == b.TLS && a.Keyring == b.Keyring
}

// question is what a row of the vendor's page asks for. A new row is a case here; a test
// fails without it.
func (a asker) question(f network.Flow, row string) probe.Spec {
	switch row {
	case "client.http", "beam.http", "media-to-app.http":
		return probe.Spec{Ask: probe.AskHTTP, Path: "/", Name: a.serverName(f)}
	case "client.https", "beam.https", "media-to-app.https":
		return probe.Spec{Ask: probe.AskHTTPS, Path: "/", Name: a.serverName(f)}
	case "client.ws", "beam.rtmp", "app-to-media.http":
		return probe.Spec{Ask: probe.AskRTMP}
	case "client.wss", "beam.rtmps", "app-to-media.https":
		return probe.Spec{Ask: probe.AskRTMPS, Name: a.serverName(f)}
	case "client.downloads", "app-to-media.webserver", "app-to-media.control", "media-to-app.control":
		return probe.Spec{Ask: probe.AskEither, Path: "/", Name: a.serverName(f)}
	case "admin.ssh", "app-to-media.ssh", "media-to-app.ssh":
		return probe.Spec{Ask: probe.AskSSH}
	case "admin.wowza", "app-to-media.rest", "media-to-app.rest", "camera.http":
		return probe.Spec{Ask: probe.AskHTTP, Path: "/"}
	case "camera.rtsp":
		return probe.Spec{Ask: probe.AskRTSP}
	case "tunnel.ike", "tunnel.ike-nat":
		return probe.Spec{Ask: probe.AskIKE}
	case "tunnel.gre":
		return probe.Spec{Ask: probe.AskGRE}
	}
	return a.outward(f, row)
}

// outward is what is asked of the vendor's and the customer's own services.
func (a asker) outward(f network.Flow, row string) probe.Spec {
	switch row {
	case "updates.ubuntu-archive", "updates.ubuntu-security", "updates.ivs-apt", "updates.docker-apt":
		return a.index(f.Destination.Name, f.Port)
	case "updates.ubuntu-changelogs":
		return probe.Spec{Ask: probe.AskMetaRelease}
	case "updates.docker-registry":
		return probe.Spec{Ask: probe.AskRegistry}
	case "wowza.license-all", "wowza.license1", "wowza.license2", "wowza.license3", "wowza.license4":
		return probe.Spec{Ask: probe.AskHTTP} // without a path: a page made for everyone shows
	case "certificate.acme":
		return probe.Spec{Ask: probe.AskACME}
	case "certificate.route53":
		return probe.Spec{Ask: probe.AskHTTPS, Path: "/"}
	case "advisory.dns-udp", "advisory.dns-tcp":
		return probe.Spec{Ask: probe.AskDNS, Names: a.names()}
	case "advisory.ntp":
		return probe.Spec{Ask: probe.AskNTP}
	case "advisory.nts":
		return probe.Spec{Ask: probe.AskNTS}
	case "advisory.esp":
		return probe.Spec{Ask: probe.AskESP}
	}
	return probe.Spec{Ask: probe.AskConnect}
}

// serverName is what a certificate must be for: the cloud's own name there, and the
// site's on our hosts, which all show the site's certificate.
func (a asker) serverName(f network.Flow) string {
	if f.Destination.Kind == network.KindCloud {
		return f.Destination.Address
	}
	return a.site.Name
}

// names are what the site's name servers must know: the vendor's names that the site's
// flows need, as the site has them.
func (a asker) names() []string {
	var all []string
	for _, f := range network.Flows(a.site) {
		if (f.Destination.Kind == network.KindVendor || f.Destination.Kind == network.KindCloud) && !isAddress(f.Destination.Address) {
			all = append(all, f.Destination.Address)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// index is the InRelease of the release's apt source at a name of the vendor's page,
// verified by the key that an installation would use. Without a release only Ubuntu's own
// are known; of the others an answer must do.
func (a asker) index(name string, port uint16) probe.Spec {
	for _, s := range a.sources() {
		uri := strings.ReplaceAll(s.URI, "{codename}", a.codename)
		u, err := url.Parse(uri)
		if err != nil || u.Hostname() != name || len(s.Suites) == 0 || a.codename == "" {
			continue
		}
		suite := strings.ReplaceAll(s.Suites[0], "{codename}", a.codename)
		spec := probe.Spec{Ask: probe.AskApt, TLS: u.Scheme == "https", Keyring: s.Keyring, Path: path.Join("/", u.Path, "dists", suite, "InRelease")}
		if strings.HasSuffix(suite, "/") {
			spec.Path = path.Join("/", u.Path, suite, "InRelease") // a flat repository (sources.list(5))
		}
		if s.Key != "" {
			spec.Keyring = keyName(s.Name)
		}
		if name == ownPackages {
			spec.Offers = a.exact()
		}
		return spec
	}
	if port == 443 || name == ownPackages || name == "download.docker.com" {
		return probe.Spec{Ask: probe.AskHTTPS, Path: "/"}
	}
	return probe.Spec{Ask: probe.AskHTTP, Path: "/"}
}

// ownPackages is the page's name of the vendor's own packages, the only ones that a release names by version.
const ownPackages = "apt.ipivs.com"

// exact lists the packages that the release names by version. A mirror must have them all, whatever hosts take.
func (a asker) exact() []string {
	var all []string
	for _, p := range a.manifest.Packages {
		if p.Version != "" && !p.Engine {
			all = append(all, p.Name+"="+p.Version)
		}
	}
	return all
}

// ubuntuKeyring is where Ubuntu's package ubuntu-keyring has its archive's keys.
const ubuntuKeyring = "/usr/share/keyrings/ubuntu-archive-keyring.gpg"

// sources are the release's, and Ubuntu's own without one.
func (a asker) sources() []release.AptSource {
	if a.manifest != nil {
		return a.manifest.Apt
	}
	return []release.AptSource{
		{Name: "ubuntu", URI: "http://us.archive.ubuntu.com/ubuntu", Suites: []string{"{codename}"}, Keyring: ubuntuKeyring},
		{Name: "ubuntu-security", URI: "http://security.ubuntu.com/ubuntu", Suites: []string{"{codename}-security"}, Keyring: ubuntuKeyring},
	}
}

// keyName is what a key that the release brings is called in a probe's request. Names
// that start with a slash are files of the machine that asks.
func keyName(source string) string { return "release/" + source }

// keyrings are the keys that the release brings, by their names in requests.
func (a asker) keyrings() map[string][]byte {
	all := map[string][]byte{}
	for _, s := range a.sources() {
		if s.Key != "" {
			all[keyName(s.Name)] = []byte(s.Key)
		}
	}
	return all
}
