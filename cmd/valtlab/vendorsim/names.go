// Package vendorsim renders the configuration of the container that stands in for every
// server on the vendor's network page: DNS, the package mirrors, Docker's and the
// vendor's registries, the licence servers and the certificate services. It is pure;
// the lab package runs what is rendered here.
package vendorsim

// Names of the vendor's network page that the world answers to.
const (
	UbuntuArchive  = "us.archive.ubuntu.com"
	UbuntuSecurity = "security.ubuntu.com"
	Changelogs     = "changelogs.ubuntu.com"
	IPIVS          = "apt.ipivs.com"
	Docker         = "download.docker.com"
	Registry       = "docker.ipivs.com"
	ACME           = "acme-v02.api.letsencrypt.org"
	Route53        = "route53.amazonaws.com"
)

// Licences are the five licence servers of an electronic Wowza licence.
func Licences() []string {
	return []string{
		"wowzalicense-all.wowzamedia.com",
		"wowzalicense1.wowzamedia.com",
		"wowzalicense2.wowzamedia.com",
		"wowzalicense3.wowzamedia.com",
		"wowzalicense4.wowzamedia.com",
	}
}

// Names is every name that resolves to the world.
func Names() []string {
	names := []string{UbuntuArchive, UbuntuSecurity, Changelogs, IPIVS, Docker, Registry, ACME, Route53}
	return append(names, Licences()...)
}
