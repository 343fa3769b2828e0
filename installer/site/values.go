package site

import (
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"github.com/hashicorp/go-version"

	"ipivs.com/valtctl/repos/problem"
)

// parseID accepts the short names of sites, hosts and channels.
func parseID(s string) (string, error) {
	if _, err := netip.ParseAddr(s); err == nil {
		return "", &wrong{fmt.Sprintf("%q is an address, not a short name", s), "write a name such as media1, and the address behind address:"}
	}
	if s == "" || len(s) > 63 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" || strings.HasPrefix(s, "-") || strings.HasSuffix(s, "-") {
		return "", &wrong{fmt.Sprintf("%q is not a short name", s), "write lower-case letters, digits and hyphens, up to 63, such as st-marys"}
	}
	return s, nil
}

// parseText accepts one line of text.
func parseText(s string) (string, error) {
	if s == "" {
		return "", &wrong{"has no value", "write one, or leave the key out"}
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return "", &wrong{fmt.Sprintf("%q has control characters", s), "write one line of plain text"}
	}
	return s, nil
}

func parseBool(s string) (bool, error) {
	switch s {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, &wrong{fmt.Sprintf("%q is neither true nor false", s), "write true or false"}
}

func parseCount(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, &wrong{fmt.Sprintf("%q is not a number from 0", s), "write a number, such as 1"}
	}
	return n, nil
}

func parsePositive(s string) (int, error) {
	n, err := parseCount(s)
	if err != nil || n == 0 {
		return 0, &wrong{fmt.Sprintf("%q is not a number from 1", s), "write a number, such as 5"}
	}
	return n, nil
}

// choice accepts one of a few words.
func choice[T ~string](s string, words ...T) (T, error) {
	known := make([]string, len(words))
	for i, w := range words {
		if string(w) == s {
			return w, nil
		}
		known[i] = string(w)
	}
	return "", &wrong{fmt.Sprintf("%q is not known here", s), fmt.Sprintf("did you mean %q? Write one of %s", problem.Nearest(s, known), strings.Join(known, ", "))}
}

func parseRole(s string) (Role, error)       { return choice(s, Roles()...) }
func parseLicense(s string) (License, error) { return choice(s, Electronic, Physical) }
func parseSource(s string) (Source, error)   { return choice(s, Online, Bundle) }

// parseFirewall knows that older YAML readers turned off into false, and that who writes on
// means the opposite of what is nearest to it.
func parseFirewall(s string) (Firewall, error) {
	switch strings.ToLower(s) {
	case "false":
		return FirewallOff, nil
	case "on", "true", "yes", "enabled":
		return "", &wrong{fmt.Sprintf("%q is not known here", s), "write managed to have valtctl look after the hosts' firewall, or off to leave it alone"}
	}
	return choice(s, FirewallOff, FirewallManaged)
}

func parseVersion(s string) (string, error) {
	if bare := strings.TrimLeft(s, "vV"); bare != s {
		if _, err := version.NewVersion(bare); err == nil {
			return "", &wrong{fmt.Sprintf("%q begins with a v, which no release's version does", s), "write " + bare}
		}
	}
	if _, err := version.NewVersion(s); err != nil {
		return "", &wrong{fmt.Sprintf("%q is not a version", s), "write numbers with dots, such as 6.4.2"}
	}
	return s, nil
}

// parseURL accepts an http or https URL with a host and no login in it.
func parseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, &wrong{"it is not a URL", "write it whole, such as https://mirror.example.com/valt/"}
	}
	if u.User != nil {
		return nil, &wrong{"the URL holds a login, and no secret stands in a site file", "write the URL without user and password"}
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return nil, &wrong{fmt.Sprintf("%q does not start with http:// or https:// and a host", s), "write it whole, such as https://mirror.example.com/valt/"}
	}
	if _, err := parseAddress(u.Hostname()); err != nil {
		return nil, err
	}
	if port := u.Port(); port != "" {
		if _, err := parsePort(port); err != nil {
			return nil, err
		}
	}
	return u, nil
}

// parseReleaseURL ends the URL in a slash: metadata and targets are below it.
func parseReleaseURL(s string) (string, error) {
	u, err := parseURL(s)
	if err != nil {
		return "", err
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return "", &wrong{fmt.Sprintf("%q has a query or fragment", s), "write the address of the folder alone"}
	}
	return strings.TrimSuffix(u.String(), "/") + "/", nil
}

func parseProxy(s string) (string, error) {
	u, err := parseURL(s)
	if err != nil {
		return "", err
	}
	if u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "" {
		return "", &wrong{fmt.Sprintf("%q has more than a host and a port", s), "write it as http://proxy.example.com:3128"}
	}
	return u.Scheme + "://" + u.Host, nil
}

// parseRecipient accepts an age X25519 recipient (age's specification, "age1" and Bech32).
func parseRecipient(s string) (string, error) {
	if strings.HasPrefix(strings.ToUpper(s), "AGE-SECRET-KEY-") {
		return "", &wrong{"it is an age secret key, and no secret stands in a site file", "write the recipient that age-keygen -y prints for it, and treat this key as seen by others"}
	}
	if body, ok := strings.CutPrefix(s, "age1"); !ok || len(body) != 58 || strings.Trim(body, "qpzry9x8gf2tvdw0s3jn54khce6mua7l") != "" {
		return "", &wrong{fmt.Sprintf("%q is not an age recipient", s), "write what age-keygen -y prints: age1 and 58 characters"}
	}
	return s, nil
}

// strangePath says what is odd about a path of whoever wrote it on another system, or for a
// shell. Windows: it is a path of this machine, which runs Windows.
func strangePath(s string, windows bool, example string) *wrong {
	switch {
	case strings.HasPrefix(s, "$"), strings.HasPrefix(s, "%"):
		name := strings.Trim(strings.FieldsFunc(s, func(c rune) bool { return c == '/' || c == '\\' })[0], "${}%")
		if name == "HOME" || name == "USERPROFILE" {
			return &wrong{fmt.Sprintf("%q names a variable, and no shell fills it in here", s), "write the path from your home folder as ~/…, or the whole path"}
		}
		return &wrong{fmt.Sprintf("%q names a variable, and no shell fills it in here", s), "write the whole path"}
	case strings.HasPrefix(s, "file:"):
		return &wrong{fmt.Sprintf("%q is a URL, not a path", s), "write the path alone, such as " + example}
	case windows:
	case strings.HasPrefix(s, "//"), strings.HasPrefix(s, `\\`):
		return &wrong{fmt.Sprintf("%q is a share of a server, as Windows writes it", s), "mount the share, and write the folder where it is mounted, such as " + example}
	case len(s) > 2 && s[1] == ':' && (s[2] == '\\' || s[2] == '/'):
		return &wrong{fmt.Sprintf("%q is a path of Windows, and this is read on another system", s), "write the path as it is there, such as " + example}
	case strings.Contains(s, `\`):
		return &wrong{fmt.Sprintf("%q has \\, which separates folders on Windows alone", s), "write / in its place"}
	}
	return nil
}

// file resolves a path on the controller: ~ is the home folder, and a relative path
// starts at the site file's folder.
func (r *reader) file(s string) (string, error) {
	if strings.Contains(s, "-----BEGIN") || strings.ContainsAny(s, "\n\x00") {
		return "", &wrong{"it is a file's content, not its path", "put it into a file of its own and write that file's path"}
	}
	if s == "" {
		return "", &wrong{"has no value", "write a path, or leave the key out"}
	}
	if odd := strangePath(s, r.windows, "certs/valt.pem"); odd != nil {
		return "", odd
	}
	if rest, ok := strings.CutPrefix(s, "~"); ok {
		if rest != "" && rest[0] != '/' {
			return "", &wrong{fmt.Sprintf("%q is in another person's home folder", s), "write the path from the root, or from your own home folder as ~/…"}
		}
		if r.home == "" {
			return "", &wrong{fmt.Sprintf("%q starts at a home folder, and there is none here", s), "write the path from the root"}
		}
		return filepath.Join(r.home, rest), nil
	}
	if filepath.IsAbs(s) {
		return filepath.Clean(s), nil
	}
	return filepath.Join(r.base, s), nil
}
