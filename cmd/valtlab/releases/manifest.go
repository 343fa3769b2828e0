// Package releases is the vendor of the practice site: the manifests and Compose files
// of its two releases, the release repository they are published in, and the ways to
// spoil that repository that scenarios need. It pushes the images it is given and does
// not make them.
package releases

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"

	"ipivs.com/valtctl/cmd/valtlab/images"
	"ipivs.com/valtctl/cmd/valtlab/ubuntu"
	"ipivs.com/valtctl/repos/publish"
	"ipivs.com/valtctl/repos/release"
)

// The releases and the channels that point to them.
const (
	Stable = "6.4.1"
	Canary = "6.4.2"
	// Unwell is in no channel. Its media engine is ill on every host where its recordings
	// folder holds a file of the name UnwellMark.
	Unwell = "6.4.3"
)

// Migrating is in no channel. It changes the database, and no release before it serves over that.
const Migrating = "6.5.0"

// Small is in no channel. It differs from Stable in one layer of one image and in two
// packages, as most releases do from the one before.
const Small = images.Small

// UnwellMark makes the release Unwell what it is called, on the host that has it.
const UnwellMark = "unwell"

// Versions are the releases, oldest first.
func Versions() []string { return []string{Stable, Canary, Unwell, Small, Migrating} }

//go:embed compose
var composeFiles embed.FS

// Keys are the armoured public keys of the package sources of the vendor and of Docker.
type Keys struct {
	IPIVS, Docker string
}

// Describe is one release as it is published.
func Describe(version string, built []images.Image, keys Keys) (publish.Release, error) {
	m := manifest(version, keys)
	for _, image := range built {
		entry, err := imageEntry(image)
		if err != nil {
			return publish.Release{}, fmt.Errorf("describing %s of release %s: %w", image.Repository, version, err)
		}
		m.Images[image.Repository] = entry
	}
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(m); err != nil {
		return publish.Release{}, fmt.Errorf("writing the manifest of %s: %w", version, err)
	}
	r := publish.Release{Manifest: text.Bytes(), Files: map[string][]byte{}}
	for _, role := range []string{release.RoleApp, release.RoleMedia} {
		content, err := composeFiles.ReadFile("compose/" + role + ".yaml")
		if err != nil {
			return publish.Release{}, fmt.Errorf("reading the Compose file of %s: %w", role, err)
		}
		if version == Unwell {
			content = bytes.Replace(content, []byte("      ENGINE_POLL:"), []byte("      ENGINE_UNWELL: /recordings/"+UnwellMark+"\n      ENGINE_POLL:"), 1)
		}
		if version == Migrating && role == release.RoleApp {
			content = bytes.Replace(content, []byte("\n  messaging:\n"), []byte(migrateService), 1)
		}
		r.Files["compose."+role+".yaml"] = content
	}
	return r, nil
}

// migrateService stands in the Compose file of a release that changes the database.
const migrateService = `
  migrate:
    image: docker.ipivs.com/valt/db
    entrypoint: [/entry, migrate]
    restart: "no"
    networks: [valt]
    secrets: [db-app]

  messaging:
`

// databaseOf is what a release says of the database. The practice site's is always of one image.
func databaseOf(version string) release.Database {
	d := release.Database{Image: images.Prefix + "db", User: "root", Password: "db-root"}
	if version == Migrating {
		d.From, d.Irreversible, d.Migrate = ">= 6.4", true, release.Migrate{Service: "migrate", Within: "10m"}
	}
	return d
}

// imageEntry names the image by its digests. It is pushed as a manifest, so it has no
// index.
func imageEntry(image images.Image) (release.Image, error) {
	digest, err := image.Digest()
	if err != nil {
		return release.Image{}, fmt.Errorf("hashing the manifest: %w", err)
	}
	manifest, err := image.Manifest()
	if err != nil {
		return release.Image{}, fmt.Errorf("reading the manifest: %w", err)
	}
	size := manifest.Config.Size
	for _, layer := range manifest.Layers {
		size += layer.Size
	}
	return release.Image{Repository: image.Repository, Platforms: map[string]release.ImagePlatform{
		"linux/amd64": {Manifest: digest.String(), Config: manifest.Config.Digest.String(), Size: size},
	}}, nil
}

// manifest is a release without its images (docs/assumptions.md gives the reasons).
func manifest(version string, keys Keys) release.Manifest {
	return release.Manifest{
		Schema: release.ManifestSchema, Version: version, From: ">= 6.2", Beside: release.Beside{release.RoleApp: ">= 6.3, < 7", release.RoleMedia: ">= 6.3, < 7"},
		Ubuntu: ubuntu.Versions(), Apt: sources(keys), Packages: packages(version), Images: map[string]release.Image{},
		Roles: map[string]release.Role{release.RoleApp: appRole(version), release.RoleMedia: mediaRole(version)},
		Settings: map[string]release.Setting{
			"banner":      {Default: "Practice site: nothing here is real.", Description: "a line of text on the application's first page"},
			"camera_poll": {Default: "5s", Description: "how often the media engine looks whether a camera answers, a duration"},
		},
		Database: databaseOf(version),
		Drain:    release.Drain{Method: "wowza-rest", ControlPorts: []int{8086, 8087}, QuietSeconds: 2, App: "wait"},
		Paths:    release.Paths{Certificate: "/etc/valt/tls/certificate.pem", Key: "/etc/valt/tls/key.pem", Licence: "/etc/valt/licence/wowza.key", Compose: "/etc/valt/compose"},
		Dongle:   release.Dongle{Vendor: "0529", Device: "/dev/bus/usb", Service: "engine"},
	}
}

func sources(keys Keys) []release.AptSource {
	const ubuntu = "/usr/share/keyrings/ubuntu-archive-keyring.gpg"
	return []release.AptSource{
		{Name: "ubuntu", URI: "http://us.archive.ubuntu.com/ubuntu", Suites: []string{"{codename}", "{codename}-updates"},
			Components: []string{"main"}, Keyring: ubuntu, Replaces: []string{"/etc/apt/sources.list", "/etc/apt/sources.list.d/ubuntu.sources"}},
		{Name: "ubuntu-security", URI: "http://security.ubuntu.com/ubuntu", Suites: []string{"{codename}-security"}, Components: []string{"main"}, Keyring: ubuntu},
		{Name: "valt", URI: "https://apt.ipivs.com/ubuntu", Suites: []string{"{codename}"}, Components: []string{"main"}, Key: keys.IPIVS},
		{Name: "docker", URI: "https://download.docker.com/linux/ubuntu", Suites: []string{"{codename}"}, Components: []string{"stable"}, Key: keys.Docker},
	}
}

func packages(version string) []release.Package {
	return []release.Package{
		{Name: "ca-certificates"}, {Name: "nftables"}, {Name: "systemd-timesyncd"},
		{Name: "valt-host", Version: hostPackage(version)}, {Name: "valt-tools", Version: toolsPackage(version)},
		{Name: "docker-ce", Engine: true}, {Name: "docker-ce-cli", Engine: true}, {Name: "containerd.io", Engine: true},
	}
}

// hostPackage is the version of the vendor's own package. The releases Unwell and
// Migrating bring no new one: one is ill in its image, the other changes the database.
func hostPackage(version string) string {
	if version == Unwell || version == Migrating {
		version = Canary
	}
	return version + "-1"
}

// toolsPackage is the version of the vendor's other package, which few releases change.
func toolsPackage(version string) string {
	if version != Small {
		version = Stable
	}
	return version + "-1"
}

// password is a component's password in its usual place.
func password(name string) release.Password {
	return release.Password{Name: name, Path: "/etc/valt/secrets/" + name}
}

// folders are those that both roles need.
func folders(more ...release.Directory) []release.Directory {
	return append([]release.Directory{
		{Path: "/etc/valt", Mode: "0755"},
		{Path: "/etc/valt/tls", Mode: "0755"},
		{Path: "/etc/valt/secrets", Mode: "0700"},
	}, more...)
}

func appRole(version string) release.Role {
	return release.Role{
		Compose: "releases/" + version + "/compose.app.yaml",
		Health: []release.Health{
			{Name: "the application, its database and its messaging", URL: "${VALT_SCHEME}://${VALT_NAME}/health", Status: 200, Contains: `"version":"` + version + `"`, Within: "2m"},
			{Name: "the application's page", URL: "${VALT_SCHEME}://${VALT_NAME}/", Status: 200, Contains: "VALT " + version, Within: "1m"},
		},
		Directories: folders(release.Directory{Path: "/var/lib/valt", Mode: "0755"}, release.Directory{Path: "/var/lib/valt/db", Mode: "0755", UID: 999, GID: 999}),
		Passwords:   []release.Password{password("db-root"), password("db-app"), password("messaging")},
		Files:       []release.ConfigFile{{Path: "/etc/valt/banner.txt", Mode: "0644", Content: "${VALT_SETTING_BANNER}\n"}},
	}
}

func mediaRole(version string) release.Role {
	return release.Role{
		Compose: "releases/" + version + "/compose.media.yaml",
		Health: []release.Health{
			{Name: "the media engine's version page", URL: "http://127.0.0.1:8086/", Status: 200, Contains: "Wowza Streaming Engine 4", Within: "1m"},
			{Name: "the media engine's web server", URL: "http://127.0.0.1:8000/", Status: 200, Within: "1m"},
			{Name: "the media engine's manager", URL: "http://127.0.0.1:8088/", Status: 200, Within: "1m"},
		},
		Directories: folders(release.Directory{Path: "/etc/valt/licence", Mode: "0700"}),
		Passwords:   []release.Password{password("engine")},
	}
}
