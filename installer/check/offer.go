package check

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/release"
)

// Offer is what the release repository has to update to.
type Offer struct {
	Err     error  // why the repository could not be asked
	Channel string // that was asked; empty: a version was given
	Wanted  string // the version that the channel has, or that was given
	// Releases are the manifests from after the oldest installed version up to the wanted
	// one; the wanted one alone where it can be reached at once.
	Releases []*release.Manifest
	// Images are those of the wanted release by role, by their names in its manifest.
	Images map[site.Role][]string
}

// Releases is what ReadOffer asks of the release repository; *release.Repository is one.
type Releases interface {
	Channel(ctx context.Context, name string) (string, error)
	Versions() []string
	Manifest(ctx context.Context, version string) (*release.Manifest, error)
}

// Composer has the Compose files of releases; *release.Repository is one.
type Composer interface {
	Compose(ctx context.Context, m *release.Manifest, role string) ([]byte, error)
}

// ReadOffer finds out what the site could be updated to: the given version, or what the
// site file names. Installed are the versions of its hosts. What fails is in the offer.
func ReadOffer(ctx context.Context, repo interface {
	Releases
	Composer
}, s *site.Site, version string, installed []string) Offer {
	o := Offer{Wanted: version}
	if o.Wanted == "" {
		o.Wanted = s.Release.Version
	}
	if o.Wanted == "" {
		o.Channel = s.Release.Channel
		if o.Wanted, o.Err = repo.Channel(ctx, o.Channel); o.Err != nil {
			return o
		}
	}
	wanted, err := repo.Manifest(ctx, o.Wanted)
	if err != nil {
		o.Err = err
		return o
	}
	o.Releases = []*release.Manifest{wanted}
	if o.Images, o.Err = imagesOf(ctx, repo, wanted); o.Err != nil {
		return o
	}
	if slices.ContainsFunc(installed, func(v string) bool { return wanted.AllowsFrom(v) != nil }) {
		o.Releases, o.Err = between(ctx, repo, wanted, installed)
	}
	return o
}

// between reads every release after the oldest installed one, up to the wanted.
func between(ctx context.Context, repo Releases, wanted *release.Manifest, installed []string) ([]*release.Manifest, error) {
	versions := append(slices.Clone(installed), wanted.Version)
	release.SortVersions(versions)
	oldest := versions[0]
	all := slices.Compact(append(repo.Versions(), oldest))
	release.SortVersions(all)
	var between []*release.Manifest
	for _, v := range all[slices.Index(all, oldest)+1:] {
		if v == oldest {
			continue // it is published as well
		}
		m, err := repo.Manifest(ctx, v)
		if err != nil {
			return nil, err
		}
		between = append(between, m)
		if v == wanted.Version {
			break
		}
	}
	return between, nil
}

// imagesOf finds out which images each role's Compose file runs.
func imagesOf(ctx context.Context, repo Composer, m *release.Manifest) (map[site.Role][]string, error) {
	images := map[site.Role][]string{}
	for _, role := range site.Roles() {
		if _, ok := m.Roles[string(role)]; !ok {
			continue
		}
		text, err := repo.Compose(ctx, m, string(role))
		if err != nil {
			return nil, err
		}
		var file struct {
			Services map[string]struct {
				Image string `yaml:"image"`
			} `yaml:"services"`
		}
		if err := yaml.Unmarshal(text, &file); err != nil {
			return nil, fmt.Errorf("reading the Compose file of %s in release %s: %w", role, m.Version, err)
		}
		for _, s := range file.Services {
			name, err := imageName(m, s.Image)
			if err != nil {
				return nil, err
			}
			images[role] = append(images[role], name)
		}
		slices.Sort(images[role])
		images[role] = slices.Compact(images[role])
	}
	return images, nil
}

// imageName is the manifest's name of an image that a Compose file names by it, by its
// repository, or by its repository and digest.
func imageName(m *release.Manifest, named string) (string, error) {
	repository, _, _ := strings.Cut(named, "@")
	for _, name := range slices.Sorted(maps.Keys(m.Images)) {
		if name == named || m.Images[name].Repository == repository {
			return name, nil
		}
	}
	return "", fmt.Errorf("reading release %s: %q is none of its images", m.Version, named)
}
