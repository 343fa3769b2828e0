package survey

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"ipivs.com/valtctl/repos/apt"
)

// certificates reads the first certificate of each file.
func (h *host) certificates(paths []string) (answer, error) {
	all := make([]Certificate, len(paths))
	for i, p := range paths {
		all[i] = h.certificate(p)
	}
	return func(r *Reply) { r.Certificates = all }, nil
}

func (h *host) certificate(file string) Certificate {
	found := Certificate{Path: file}
	if !h.there(file) {
		found.Missing = true
		return found
	}
	text, err := h.read(file)
	if err != nil {
		found.Err = err.Error()
		return found
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		found.Err = "it holds nothing in PEM"
		return found
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		found.Err = fmt.Sprintf("its certificate cannot be read: %v", err)
		return found
	}
	end := leaf.NotAfter.UTC()
	found.NotAfter = &end
	found.Names = leaf.DNSNames
	for _, ip := range leaf.IPAddresses {
		found.Names = append(found.Names, ip.String())
	}
	return found
}

// keys lists what apt trusts: the files that sources name, and those where every key is
// trusted for every source (apt-secure(8)).
func (h *host) keys(context.Context) (answer, error) {
	used, err := h.signedBy()
	files := slices.Concat(h.glob("/etc/apt/trusted.gpg"), h.glob("/etc/apt/trusted.gpg.d/*.gpg"), h.glob("/etc/apt/trusted.gpg.d/*.asc"), used)
	var all []Key
	for _, file := range slices.Compact(slices.Sorted(slices.Values(files))) {
		all = append(all, h.keysOf(file, slices.Contains(used, file))...)
	}
	return func(r *Reply) { r.Keys = all }, err
}

func (h *host) keysOf(file string, used bool) []Key {
	text, err := h.read(file)
	if err != nil {
		return []Key{{File: file, Used: used, Err: err.Error()}}
	}
	if text == "" {
		return []Key{{File: file, Used: used, Err: "there is no such file, or it is empty"}}
	}
	ring, err := apt.ReadKeyring([]byte(text))
	if err != nil {
		return []Key{{File: file, Used: used, Err: err.Error()}}
	}
	var all []Key
	for _, k := range ring.Keys(h.Now()) {
		one := Key{File: file, Fingerprint: k.Fingerprint, Owner: k.Owner, Revoked: k.Revoked, Used: used}
		if !k.Expires.IsZero() {
			one.Expires = &k.Expires
		}
		all = append(all, one)
	}
	return all
}

// signedBy lists the key files that sources name. A source may hold the key itself or a
// fingerprint instead, which is no file.
func (h *host) signedBy() ([]string, error) {
	var all []string
	var errs []error
	add := func(words []string) {
		for _, w := range words {
			if w = strings.TrimSuffix(w, ","); path.IsAbs(w) {
				all = append(all, w)
			}
		}
	}
	for _, file := range h.glob("/etc/apt/sources.list.d/*.sources") {
		text, err := h.read(file)
		errs = append(errs, err)
		for p, err := range apt.Paragraphs(strings.NewReader(text)) {
			if err != nil {
				errs = append(errs, fmt.Errorf("reading %s: %w", file, err))
				break
			}
			add(p.Words("Signed-By"))
		}
	}
	for _, file := range append(h.glob("/etc/apt/sources.list.d/*.list"), "/etc/apt/sources.list") {
		text, err := h.read(file)
		errs = append(errs, err)
		add(signedByOptions(text))
	}
	slices.Sort(all)
	return slices.Compact(all), errors.Join(errs...)
}

// signedByOptions reads deb [signed-by=a,b arch=c] lines (sources.list(5)).
func signedByOptions(text string) []string {
	var all []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		_, options, found := strings.Cut(line, "[")
		options, _, closed := strings.Cut(options, "]")
		if !found || !closed {
			continue
		}
		for _, o := range strings.Fields(options) {
			if files, ok := strings.CutPrefix(o, "signed-by="); ok {
				all = append(all, strings.Split(files, ",")...)
			}
		}
	}
	return all
}

// lists reads the head of each repository's index as apt keeps it, which apt has verified.
func (h *host) lists(context.Context) (answer, error) {
	var all []List
	for _, file := range h.glob("/var/lib/apt/lists/*_InRelease") {
		one := List{Name: path.Base(file)}
		text, err := h.read(file)
		if err != nil {
			one.Err = err.Error()
		}
		fields := releaseHead(text)
		one.Origin, one.Codename = fields["Origin"], fields["Codename"]
		if until := fields["Valid-Until"]; until != "" {
			end, err := time.Parse(time.RFC1123, until)
			if err != nil {
				one.Err = fmt.Sprintf("its Valid-Until cannot be read: %v", err)
			} else {
				end = end.UTC()
				one.ValidUntil = &end
			}
		}
		all = append(all, one)
	}
	return func(r *Reply) { r.Lists = all }, nil
}

// releaseHead reads the single-line fields that stand before the sums.
func releaseHead(text string) map[string]string {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, found := strings.Cut(line, ":")
		switch {
		case !found || strings.HasPrefix(line, " "):
			continue
		case name == "SHA256" || name == "MD5Sum":
			return fields
		}
		fields[name] = strings.TrimSpace(value)
	}
	return fields
}
