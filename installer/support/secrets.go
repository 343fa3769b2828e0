package support

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/redact"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/database"
	"ipivs.com/valtctl/installer/step/files"
)

// maxSecret caps a file whose content is a secret, in bytes.
const maxSecret = 1 << 20

// secrets are the values that this host knows to be secret. What cannot be read is not
// known, and then only what looks like a secret is found.
func (h *host) secrets(ctx context.Context, given map[string][]byte) []redact.Secret {
	var all []redact.Secret
	for _, name := range slices.Sorted(maps.Keys(given)) {
		all = append(all, redact.Secret{Name: name, Value: given[name]})
	}
	for _, kept := range []struct{ name, pattern string }{
		{"component-password", "/etc/valt/secrets/*"},
		{"certificate-key", "/etc/valt/tls/*key*"},
		{"licence", "/etc/valt/licence/*"},
		{"run-secret", "/run/valtctl/txn/*/secrets/*"},
		{"ssh-host-key", "/etc/ssh/ssh_host_*_key"},
		{"schedule-key", facts.ScheduleKey},
		{"backup-key", database.HostKey},
	} {
		for _, file := range h.glob(kept.pattern) {
			all = append(all, h.secretFile(kept.name, file))
		}
	}
	all = append(all, h.copied()...)
	all = append(all, h.planned()...)
	all = append(all, h.registryLogins()...)
	all = append(all, h.logins()...)
	return append(all, h.containers(ctx).secrets()...)
}

func (h *host) secretFile(name, file string) redact.Secret {
	content, err := h.readCapped(file, maxSecret)
	if err != nil {
		return redact.Secret{Name: name} // it is not there, or no file
	}
	return redact.Secret{Name: name, Value: content}
}

// copied are the secrets of a site that a host keeps a copy of, to run unattended or to judge
// such a run by. What is not known to be public there counts as one.
func (h *host) copied() []redact.Secret {
	var all []redact.Secret
	for _, folder := range []string{facts.ScheduleFolder("*"), facts.Restricted} {
		for _, file := range append(h.glob(folder+"/*"), h.glob(folder+"/*/*")...) {
			switch path.Ext(file) {
			case ".yaml", ".json", ".jsonl", ".pem", ".crt", ".sig":
				continue
			}
			if path.Base(file) != "known_hosts" {
				all = append(all, h.secretFile("schedule-secret", file))
			}
		}
	}
	return all
}

// planned are the secrets that the host's transactions put somewhere: a release may keep
// them elsewhere than where they usually are.
func (h *host) planned() []redact.Secret {
	var all []redact.Secret
	seen := map[string]bool{}
	for _, file := range h.glob("/var/lib/valtctl/txn/*/request.json") {
		content, err := h.readCapped(file, 64<<20)
		if err != nil {
			continue
		}
		var request struct {
			Steps []step.Spec `json:"steps"`
		}
		if json.Unmarshal(content, &request) != nil {
			continue
		}
		for _, s := range request.Steps {
			name, place := placed(s)
			if place != "" && !seen[place] {
				seen[place] = true
				all = append(all, h.secretFile(name, place))
			}
		}
	}
	return all
}

// placed is where a step puts a secret.
func placed(s step.Spec) (name, place string) {
	var params struct {
		Path    string `json:"path"`
		KeyPath string `json:"key_path"`
	}
	if json.Unmarshal(s.Params, &params) != nil {
		return "", ""
	}
	switch s.Kind {
	case files.KindPassword:
		return "component-password", params.Path
	case files.KindCertificate:
		return "certificate-key", params.KeyPath
	case files.KindLicence:
		return "licence", params.Path
	}
	return "", ""
}

// registryLogins are those of Docker's configuration.
func (h *host) registryLogins() []redact.Secret {
	content, err := h.readCapped("/root/.docker/config.json", maxSecret)
	if err != nil {
		return nil
	}
	var config struct {
		Auths map[string]struct {
			Auth          string `json:"auth"`
			IdentityToken string `json:"identitytoken"`
		} `json:"auths"`
	}
	if json.Unmarshal(content, &config) != nil {
		return nil
	}
	var all []redact.Secret
	for _, at := range slices.Sorted(maps.Keys(config.Auths)) {
		login := config.Auths[at]
		text, err := base64.StdEncoding.DecodeString(login.Auth)
		if err == nil {
			_, password, _ := bytes.Cut(text, []byte(":"))
			all = append(all, redact.Secret{Name: "registry-password", Value: password})
		}
		all = append(all, redact.Secret{Name: "registry-password", Value: []byte(login.IdentityToken)})
	}
	return all
}

var (
	urlLogin = regexp.MustCompile(`://([^/\s"':@]*):([^/\s"']+)@`)
	aptLogin = regexp.MustCompile(`(?m)\bpassword\s+(\S+)`) // apt_auth.conf(5)
)

// logins are the passwords in the settings of proxies and repositories.
func (h *host) logins() []redact.Secret {
	var all []redact.Secret
	for _, pattern := range append(settingFiles(), "/etc/apt/auth.conf", "/etc/apt/auth.conf.d/*", "/etc/wgetrc", "/root/.netrc", "/root/.curlrc") {
		for _, file := range h.glob(pattern) {
			content, err := h.readCapped(file, maxSecret)
			if err != nil {
				continue
			}
			for _, found := range urlLogin.FindAllSubmatch(content, -1) {
				all = append(all, redact.Secret{Name: "url-login", Value: found[2]})
				if plain, err := url.PathUnescape(string(found[2])); err == nil {
					all = append(all, redact.Secret{Name: "url-login", Value: []byte(plain)})
				}
			}
			if strings.Contains(file, "auth.conf") || strings.HasSuffix(file, ".netrc") {
				for _, found := range aptLogin.FindAllSubmatch(content, -1) {
					all = append(all, redact.Secret{Name: "repository-password", Value: found[1]})
				}
			}
		}
	}
	return all
}

// glob lists the files of the host that match, in order.
func (h *host) glob(pattern string) []string {
	found, err := fs.Glob(os.DirFS(h.Machine.Path("/")), strings.TrimPrefix(pattern, "/"))
	if err != nil {
		return nil // the patterns are this package's own
	}
	for i := range found {
		found[i] = path.Join("/", found[i])
	}
	return found
}

// readCapped reads a plain file of at most so many bytes.
func (h *host) readCapped(name string, most int64) ([]byte, error) {
	return h.Machine.Files().ReadFile(name, most)
}
