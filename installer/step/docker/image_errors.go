package docker

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"ipivs.com/valtctl/repos/problem"
)

// pullHints tell what to do about an engine's words. The first that matches counts, so the
// more telling ones come first.
func pullHints() []pullHint {
	return []pullHint{
		{[]string{"x509: certificate signed by unknown authority", "unknown authority"},
			"the registry's certificate is of an authority this host does not know; name its CA under network.trust in the site file, or ask who intercepts TLS on the way"},
		{[]string{"x509: certificate is valid for", "x509: certificate"},
			"the registry's certificate is not valid for this name or time; check the host's clock and who answers under that name"},
		{append(registryCode("UNAUTHORIZED", 401), append(registryCode("DENIED", 403), "authentication required", "unauthorized", "no basic auth credentials", "access denied", "resource is denied")...),
			"the registry does not accept the login; check registry.username and registry.password_file in the site file"},
		{append(registryCode("MANIFEST_UNKNOWN", 404), append(registryCode("NAME_UNKNOWN", 404), "manifest unknown", "manifest for", "not found: manifest", ": not found")...),
			"the registry does not have this image; a mirror must be synchronised first, otherwise tell the vendor"},
		{registryCode("TOOMANYREQUESTS", 429),
			"the registry is asked too often from this address; wait an hour, or name a mirror under network.endpoints"},
		{[]string{"no such host", "server misbehaving", "name resolution"},
			"the name does not resolve on this host; check network.dns and `valtctl check network`"},
		{[]string{noSpace},
			"free space on the engine's file system (docker info: Docker Root Dir), then run the command again"},
		{[]string{"proxyconnect"},
			"the proxy does not answer; check network.proxy in the site file"},
		{[]string{"connection refused", "timeout", "connection reset", "deadline exceeded", "no route to host", "EOF"},
			"the registry cannot be reached; run `valtctl check network`, then the command again"},
	}
}

// registryCode is how engines pass on what a registry answers (OCI distribution-spec, "Error Codes"): the code as
// it came, or in words, as Docker up to 27 writes it, or only the status that came with it, as containerd does.
func registryCode(code string, status int) []string {
	return []string{code, strings.ToLower(strings.ReplaceAll(code, "_", " ")) + ":", strconv.Itoa(status) + " ", fmt.Sprintf("status code %d", status)}
}

const noSpace = "no space left on device"

type pullHint struct {
	words []string
	fix   string
}

// explain makes the engine's refusal a problem with a way out.
func (i *imageStep) explain(err error) error {
	var known *problem.Error
	if errors.As(err, &known) {
		return err
	}
	made := &problem.Error{Kind: problem.Failed, Doing: "pulling", Object: i.reference(), Err: err}
	if i.Bundle != "" && !strings.Contains(err.Error(), noSpace) {
		made.Fix = "the controller carries the bundle here; run: valtctl resume --bundle FILE"
		return made
	}
	for _, hint := range pullHints() {
		if containsAny(err.Error(), hint.words) {
			made.Fix = hint.fix
			break
		}
	}
	return made
}

// worthRetrying reports whether the connection broke, as against having been refused for a
// reason that a second try does not change.
func worthRetrying(err error) bool {
	return !noEngine(err) && containsAny(err.Error(), []string{
		"timeout", "connection reset", "connection refused", "unexpected EOF", "broken pipe", "TLS handshake",
		"502", "503", "504",
	}) && !containsAny(err.Error(), []string{"x509"})
}

func containsAny(text string, words []string) bool {
	for _, w := range words {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}
