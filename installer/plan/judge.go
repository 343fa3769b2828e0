package plan

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release"
)

// Judge plans a release before anybody has it, for sites of every kind: what a site would refuse
// of it is refused where it is published, by the same code and with the same words. Files are its
// Compose files by the last part of their targets' names. Every problem is reported once.
func Judge(ctx context.Context, manifest []byte, files map[string][]byte) error {
	m, err := release.ParseManifest(manifest)
	if err != nil {
		return err
	}
	in := Input{Manifest: m, Compose: map[site.Role][]byte{}, Public: Public{Certificate: "stands for the site's"}, Update: true}
	for _, r := range roles() {
		if spoken, ok := m.Roles[string(r.name)]; ok {
			in.Compose[r.name] = files[path.Base(spoken.Compose)]
		}
	}
	var errs []error
	said := map[string]bool{}
	for _, text := range sampleSites(m) {
		for _, p := range problem.All(in.judge(ctx, text)) {
			if key := p.Error(); !said[key] {
				said[key] = true
				errs = append(errs, p)
			}
		}
	}
	return errors.Join(errs...)
}

// judge plans every host of a site, each by itself, so that the words of what is refused are the
// release's and not a host's.
func (in Input) judge(ctx context.Context, siteFile string) error {
	s, err := site.Parse("sample.yaml", []byte(siteFile), "/")
	if err != nil {
		return fmt.Errorf("making a site to judge the release with: %w", err)
	}
	in.Site = s
	var errs []error
	for _, h := range s.Hosts {
		_, err := buildHost(ctx, in, h, HostFacts{Codename: "noble", Arch: anyArch(in.Manifest)})
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// sampleSites are site files with hosts of every kind that the release is for, with and without
// SSL.
func sampleSites(m *release.Manifest) []string {
	var hosts, without []string
	for _, r := range roles() {
		if _, spoken := m.Roles[string(r.name)]; !spoken {
			without = append(without, r.without)
			continue
		}
		for i, sample := range r.samples {
			hosts = append(hosts, fmt.Sprintf("  - { name: %s%d, %s }", r.name, i+1, sample))
		}
	}
	body := strings.Join(slices.Concat([]string{"site: sample", "name: valt.example", "clients: [192.0.2.0/24]"}, without, []string{"hosts:"}, hosts), "\n") + "\n"
	sites := []string{"ssl: true\ntls: { certificate: c, key_file: k }\n" + body}
	if len(without) == 0 {
		sites = append(sites, "ssl: false\n"+body)
	}
	return sites
}

// anyArch is one that the release's images are for, as dpkg names it.
func anyArch(m *release.Manifest) string {
	for _, name := range slices.Sorted(maps.Keys(m.Images)) {
		for _, platform := range slices.Sorted(maps.Keys(m.Images[name].Platforms)) {
			return strings.TrimPrefix(platform, "linux/")
		}
	}
	return "amd64"
}
