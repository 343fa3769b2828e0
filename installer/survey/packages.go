package survey

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/apt"
)

// maxPackage is more bytes than any package has: what says so is no size.
const maxPackage = 1 << 40

// packages is how apt and dpkg are.
func (h *host) packages(ctx context.Context) (answer, error) {
	found, err := apt.LookAtPackages(ctx, h.Machine)
	return func(r *Reply) {
		r.Packages = Packages{Damage: found.Damage, Broken: found.Broken, Lock: found.Lock, Held: found.Held}
	}, err
}

// download reckons what apt would fetch, by the host's own package lists. What they do not
// have in the wanted version is named, and reckoned by the version that they have.
func (h *host) download(ctx context.Context, wanted []string) (answer, error) {
	if len(wanted) == 0 {
		return nil, nil
	}
	out, err := h.uris(ctx, wanted)
	var unknown []string
	if err != nil {
		if wanted, unknown, err = h.known(ctx, wanted); err != nil {
			return nil, err
		}
		if out, err = h.uris(ctx, wanted); err != nil {
			return nil, err
		}
	}
	d := readURIs(out)
	d.Unknown = unknown
	return func(r *Reply) { r.Download = &d }, nil
}

// uris has apt print what it would fetch.
func (h *host) uris(ctx context.Context, packages []string) (string, error) {
	if len(packages) == 0 {
		return "", nil
	}
	argv := apt.Question(append([]string{"--print-uris", "-y", "--allow-downgrades", "install"}, packages...)...)
	out, err := h.Run.Run(ctx, step.Command{Argv: argv, Env: apt.Environment()})
	if err != nil {
		return "", fmt.Errorf("reckoning what would be downloaded: %w", err)
	}
	return string(out.Stdout), nil
}

// known divides packages into those that the lists have, exact version or not, and those
// whose version or name they lack.
func (h *host) known(ctx context.Context, wanted []string) (known, unknown []string, err error) {
	var names []string
	for _, w := range wanted {
		name, _, _ := strings.Cut(w, "=")
		names = append(names, name)
	}
	out, err := h.Run.Run(ctx, step.Command{Argv: append([]string{"apt-cache", "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=",
		"madison"}, names...), Env: apt.Environment()})
	if err != nil {
		return nil, nil, fmt.Errorf("looking which versions apt knows: %w", err)
	}
	versions := readMadison(string(out.Stdout))
	for _, w := range wanted {
		name, version, exact := strings.Cut(w, "=")
		has := versions[name]
		switch {
		case exact && !slices.Contains(has, version) || len(has) == 0:
			unknown = append(unknown, w)
			if len(has) > 0 {
				known = append(known, name)
			}
		default:
			known = append(known, w)
		}
	}
	return known, unknown, nil
}

// readMadison reads "name | version | source" lines (apt-cache(8)).
func readMadison(text string) map[string][]string {
	versions := map[string][]string{}
	for line := range strings.Lines(text) {
		f := strings.Split(line, "|")
		if len(f) >= 2 {
			name := strings.TrimSpace(f[0])
			versions[name] = append(versions[name], strings.TrimSpace(f[1]))
		}
	}
	return versions
}

// readURIs adds up lines of 'uri' name_version_arch.deb size sum (apt-get(8),
// --print-uris).
func readURIs(text string) Download {
	var d Download
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 || !strings.HasPrefix(f[0], "'") {
			continue
		}
		if n, err := strconv.ParseInt(f[2], 10, 64); err == nil && n >= 0 && n < maxPackage {
			d.Bytes += n
			d.Packages = append(d.Packages, strings.TrimSuffix(f[1], ".deb"))
		}
	}
	return d
}
