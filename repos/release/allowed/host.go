package allowed

import (
	"net/netip"
	"net/url"
	"path"
	"strings"
)

// archives are where packages come from: the names of the vendor's network page, which a site may
// replace by its own, and the folders there. With TLS or without: what comes is signed.
func archives() []string {
	return []string{"us.archive.ubuntu.com/ubuntu", "security.ubuntu.com/ubuntu", "apt.ipivs.com", "download.docker.com/linux/ubuntu"}
}

// Archive judges the address of a package source.
func Archive(uri string) error {
	u, err := url.Parse(strings.ReplaceAll(uri, "{codename}", "noble"))
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.User == nil && u.RawQuery == "" && u.Fragment == "" {
		for _, known := range archives() {
			if within(u.Host+path.Clean("/"+u.Path), known) {
				return nil
			}
		}
	}
	return refuse("name one of "+strings.Join(archives(), ", ")+", or what lies below; a site replaces it by a mirror of its own",
		"no site lets packages come from %s", uri)
}

// keyrings is where a distribution's package brings keys.
const keyrings = "/usr/share/keyrings"

// Keyring judges a file of keys that packages are verified with.
func Keyring(file string) error {
	if path.Dir(file) == keyrings && Plain(file) == file && matches(`[A-Za-z0-9._-]+\.(gpg|asc)`, path.Base(file)) {
		return nil
	}
	return refuse("name a file of "+keyrings+", or write the key itself", "%s is no keyring that a package brings", file)
}

// Replaced judges a file that a package source stands in for: another source, and nothing else.
func Replaced(file string) error {
	source := path.Dir(file) == "/etc/apt/sources.list.d" && matches(`[A-Za-z0-9._-]+\.(list|sources)`, path.Base(file))
	if file == "/etc/apt/sources.list" || source && Plain(file) == file {
		return nil
	}
	return refuse("name /etc/apt/sources.list or a file of /etc/apt/sources.list.d", "%s is not one of apt's source files", file)
}

// Suite judges a suite or a component of a package source: it becomes a word of a file of apt's.
func Suite(word string) error {
	if matches(`[A-Za-z0-9{][A-Za-z0-9{}./+_-]*`, word) {
		return nil
	}
	return refuse("write a word such as {codename}-updates or main", "%q is no word of a package source", word)
}

// Package judges the name of a package. To apt a name with a dash behind it is one to remove.
func Package(name string) error {
	if !strings.HasSuffix(name, "-") {
		return nil
	}
	return refuse("write the name alone", "%s asks apt to remove a package", name)
}

// registry is where images come from; a site may replace it by a mirror.
const registry = "docker.ipivs.com"

// Repository judges where an image comes from.
func Repository(name string) error {
	if within(name, registry) {
		return nil
	}
	return refuse("publish it at "+registry+"; a site replaces that by a mirror of its own", "no site lets images come from %s", name)
}

// HealthURL judges what a host is asked to tell whether it serves, as the release has it: itself,
// by a loopback address, the site's name or its own address.
func HealthURL(text string) error {
	const here = `127\.0\.0\.1|localhost|\$\{VALT_NAME\}|\$\{VALT_ADDRESS\}`
	if matches(`(https?|\$\{VALT_SCHEME\})://(`+here+`)(:(\d{1,5}|\$\{[A-Z0-9_]+\}))?(/[^\s]*)?`, text) {
		return nil
	}
	return elsewhere(text)
}

// HealthAt judges the same with the site's values filled in; names are the host's own.
func HealthAt(address string, names ...string) error {
	u, err := url.Parse(address)
	if err != nil || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return elsewhere(address)
	}
	name := u.Hostname()
	if ip, err := netip.ParseAddr(name); name == "localhost" || err == nil && ip.IsLoopback() {
		return nil
	}
	for _, own := range names {
		if own != "" && strings.EqualFold(name, own) {
			return nil
		}
	}
	return elsewhere(address)
}

func elsewhere(address string) error {
	return refuse("write ${VALT_SCHEME}://${VALT_NAME}/… or http://127.0.0.1:8086/…", "%s asks another machine than the host itself", address)
}
