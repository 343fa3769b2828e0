package check

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/survey"
	"ipivs.com/valtctl/repos/release"
)

func in(d time.Duration) *time.Time {
	at := judged().Add(d)
	return &at
}

// withMetadata gives an input what a refresh trusted, with a snapshot that ends when told.
func withMetadata(i *Input, snapshot time.Duration) {
	i.Metadata = release.State{Roles: map[string]release.RoleState{
		"root": {Version: 1, Expires: *in(400 * day)}, "timestamp": {Version: 9, Expires: *in(5 * day)}, "snapshot": {Version: 9, Expires: *in(snapshot)},
	}}
}

func TestWhatEndsIsListedSoonestFirst(t *testing.T) {
	input := healthy(t, twoServers)
	withMetadata(&input, 200*day)
	input.Endpoints = map[string]time.Time{"docker.ipivs.com": *in(80 * day)}
	input.Hosts[0].Survey.Keys = []survey.Key{{File: "/etc/apt/keyrings/docker.gpg", Owner: "Docker", Expires: in(150 * day), Used: true}}
	input.Hosts[0].Survey.Lists = []survey.List{{Name: "security_InRelease", ValidUntil: in(2 * day)}, {Name: "noble_InRelease"}}
	all := JudgeExpiry(input)
	var ids []string
	for _, r := range all {
		ids = append(ids, r.ID)
		if r.Status != Pass || r.Until == nil {
			t.Errorf("%+v", r)
		}
	}
	want := []string{"expiry/app1/apt-index/security_InRelease", "expiry/site/release/timestamp", "expiry/site/endpoint/docker.ipivs.com",
		"expiry/app1/apt-key/etc/apt/keyrings/docker.gpg", "expiry/site/release/snapshot", "expiry/site/certificate", "expiry/site/release/root",
		"expiry/app1/ubuntu", "expiry/media1/ubuntu"}
	if !slices.Equal(ids, want) {
		t.Errorf("listed %s\nwant   %s", ids, want)
	}
}

func TestEndsThatAreNearOrPast(t *testing.T) {
	key := func(keys ...survey.Key) func(*Input, *facts.Facts, *survey.Reply) {
		return func(_ *Input, _ *facts.Facts, s *survey.Reply) {
			for _, k := range keys {
				k.File, k.Owner = "/k.gpg", "Docker"
				s.Keys = append(s.Keys, k)
			}
		}
	}
	certificate := func(c survey.Certificate, installed bool) func(*Input, *facts.Facts, *survey.Reply) {
		return func(_ *Input, f *facts.Facts, s *survey.Reply) {
			c.Path = "/c.pem"
			s.Certificates = []survey.Certificate{c}
			if installed {
				f.Installed = &facts.Installed{}
			}
		}
	}
	for name, odd := range map[string]oddity{
		"certificate in a month": {make: func(i *Input, _ *facts.Facts, _ *survey.Reply) {
			i.Certificate.Chain, _ = certificateFor(t, "valt.example", *in(29*day + time.Hour))
		}, id: "expiry/site/certificate", status: Warn, cause: "29 days", fix: "renewed"},
		"certificate is past": {make: func(i *Input, _ *facts.Facts, _ *survey.Reply) {
			i.Certificate.Chain, _ = certificateFor(t, "valt.example", *in(-day))
		}, id: "expiry/site/certificate", status: Fail, cause: "2026-11-21"},
		"certificate unreadable": {make: func(i *Input, _ *facts.Facts, _ *survey.Reply) { i.Certificate.Err = errors.New("no such file") },
			id: "expiry/site/certificate", status: Unknown, cause: "no such file"},
		"a host has an older certificate": {make: certificate(survey.Certificate{NotAfter: in(10 * day)}, true),
			id: "expiry/valt/certificate/c.pem", status: Warn, cause: "10 days"},
		"a host lost its certificate": {make: certificate(survey.Certificate{Missing: true}, true),
			id: "expiry/valt/certificate/c.pem", status: Unknown, fix: "valtctl install"},
		"an endpoint's ends tomorrow": {make: func(i *Input, _ *facts.Facts, _ *survey.Reply) {
			i.Endpoints = map[string]time.Time{"apt.ipivs.com": *in(25 * time.Hour)}
		}, id: "expiry/site/endpoint/apt.ipivs.com", status: Warn, cause: "in 1 day", fix: "apt.ipivs.com"},
		"a key has ended":                 {make: key(survey.Key{Expires: in(-day), Used: true}), id: "expiry/valt/apt-key/k.gpg", status: Fail},
		"a key ends in two months":        {make: key(survey.Key{Expires: in(60 * day), Used: true}), id: "expiry/valt/apt-key/k.gpg", status: Warn},
		"an old key beside its successor": {make: key(survey.Key{Expires: in(-day), Used: true}, survey.Key{Expires: in(900 * day), Used: true}), id: "expiry/valt/apt-key/k.gpg", status: Pass},
		"a revoked key alone":             {make: key(survey.Key{Revoked: true, Used: true}), id: "expiry/valt/apt-key/k.gpg", status: Unknown, cause: "revoked"},
		"a keyring that cannot be read":   {make: key(survey.Key{Err: "no such file", Used: true}), id: "expiry/valt/apt-key/k.gpg", status: Unknown, cause: "no such file"},
		"release metadata in two months":  {make: func(i *Input, _ *facts.Facts, _ *survey.Reply) { withMetadata(i, 60*day) }, id: "expiry/site/release/snapshot", status: Warn},
		"release metadata is past":        {make: func(i *Input, _ *facts.Facts, _ *survey.Reply) { withMetadata(i, -day) }, id: "expiry/site/release/snapshot", status: Fail, fix: "ask the vendor"},
		"release repository out of reach": {make: func(i *Input, _ *facts.Facts, _ *survey.Reply) { i.MetadataErr = errors.New("connection refused") }, id: "expiry/site/release", status: Unknown, cause: "connection refused"},
		"apt has not updated for long": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) {
			s.Lists = []survey.List{{Name: "x", ValidUntil: in(-day)}}
		}, id: "expiry/valt/apt-index/x", status: Fail, fix: "apt-get update"},
		"Ubuntu's support ends":            {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) { s.Support.Until = *in(89 * day) }, id: "expiry/valt/ubuntu", status: Warn},
		"Ubuntu's support ends in 91 days": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) { s.Support.Until = *in(91 * day) }, id: "expiry/valt/ubuntu", status: Pass},
		"apt's keys could not be looked at": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) {
			s.Problems = map[survey.Question]string{survey.AskKeys: "denied"}
		}, id: "expiry/valt/question/keys", status: Unknown, cause: "denied"},
		"a host was not reached": {make: func(i *Input, _ *facts.Facts, _ *survey.Reply) { i.Hosts[0].Facts = nil }, id: "expiry/valt/facts", status: Unknown},
	} {
		t.Run(name, func(t *testing.T) { expect(t, odd, JudgeExpiry) })
	}
}

func TestKeysWithoutEndAndOldOnesThatNobodyUsesAreLeftOut(t *testing.T) {
	input := healthy(t, oneServer)
	input.Hosts[0].Survey.Keys = []survey.Key{{File: "/never.gpg", Used: true}, {File: "/unused.gpg", Expires: in(-day)}}
	for _, r := range JudgeExpiry(input) {
		if strings.Contains(r.ID, "apt-key") {
			t.Errorf("%+v", r)
		}
	}
}

// shelf is a release repository in memory.
type shelf struct {
	channel  string
	releases []*release.Manifest
	read     []string // versions whose manifests were asked for
}

func (s *shelf) Channel(context.Context, string) (string, error) {
	if s.channel == "" {
		return "", errors.New("connection refused")
	}
	return s.channel, nil
}

func (s *shelf) Versions() []string {
	var all []string
	for _, m := range s.releases {
		all = append(all, m.Version)
	}
	return all
}

func (s *shelf) Manifest(_ context.Context, version string) (*release.Manifest, error) {
	s.read = append(s.read, version)
	for _, m := range s.releases {
		if m.Version == version {
			return m, nil
		}
	}
	return nil, errors.New("the repository does not have it")
}

func (s *shelf) Compose(_ context.Context, _ *release.Manifest, role string) ([]byte, error) {
	if role == "app" {
		return []byte("services:\n  web: {image: docker.ipivs.com/valt/web}\n  job: {image: web}\n"), nil
	}
	return []byte("services: {engine: {image: 'docker.ipivs.com/valt/engine@sha256:m'}}\n"), nil
}

func releaseOf(version, from string) *release.Manifest {
	platform := func(config string, size int64) map[string]release.ImagePlatform {
		return map[string]release.ImagePlatform{"linux/amd64": {Manifest: "sha256:m-" + config, Config: "sha256:" + config, Size: size}}
	}
	return &release.Manifest{Version: version, From: from, Ubuntu: []string{"24.04"}, Beside: release.Beside{release.RoleApp: ">= 6.3", release.RoleMedia: ">= 6.3"},
		Roles: map[string]release.Role{"app": {}, "media": {}},
		Images: map[string]release.Image{"web": {Repository: "docker.ipivs.com/valt/web", Platforms: platform("web", 100<<20)},
			"engine": {Repository: "docker.ipivs.com/valt/engine", Platforms: platform("engine", 300<<20)}}}
}

// installed is a healthy site with a release on its hosts and an offer for them.
func installed(t *testing.T, text, version string, repo *shelf) Input {
	t.Helper()
	i := healthy(t, text)
	for n := range i.Hosts {
		i.Hosts[n].Facts.Installed = &facts.Installed{Site: i.Site.ID, Host: i.Hosts[n].Host.Name, Release: version}
		i.Hosts[n].Survey.Download = &survey.Download{Bytes: 20 << 20}
		i.Hosts[n].Survey.Images = []string{"sha256:other"}
	}
	i.Offer = ReadOffer(t.Context(), repo, i.Site, "", []string{version})
	return i
}

func newest() *shelf {
	return &shelf{channel: "6.5.0", releases: []*release.Manifest{releaseOf("6.2.0", ""), releaseOf("6.3.0", ">= 6.2"), releaseOf("6.4.0", ">= 6.2"), releaseOf("6.5.0", ">= 6.3")}}
}

func TestUpdateTellsWhatEachHostWouldNeed(t *testing.T) {
	repo := newest()
	i := installed(t, twoServers, "6.4.0", repo)
	if !slices.Equal(repo.read, []string{"6.5.0"}) {
		t.Errorf("read the manifests of %v", repo.read)
	}
	i.Hosts[0].Survey.Images = []string{"sha256:m-web"} // as an engine with the containerd store names it
	all := JudgeUpdate(i)
	for _, r := range all {
		if r.Status != Pass {
			t.Errorf("%+v", r)
		}
	}
	for id, want := range map[string]string{
		"update/site/release":    "app1 has 6.4.0",
		"update/app1/download":   "images: 0.0 MiB (all are there)",
		"update/media1/download": "images: 300.0 MiB (engine)",
		"update/media1/space":    "/: 40.0 GiB free, about 3.2 GiB wanted",
	} {
		if r := resultOf(t, all, id); !strings.Contains(strings.Join(r.Evidence, "\n"), want) {
			t.Errorf("%s: %q, want %q", id, r.Evidence, want)
		}
	}
}

func TestUpdateOddities(t *testing.T) {
	for name, one := range updateOddities() {
		t.Run(name, func(t *testing.T) {
			change := one.odd.make
			one.odd.make = func(i *Input, f *facts.Facts, s *survey.Reply) {
				done := installed(t, oneServer, one.version, one.repo)
				*f, *s, i.Offer = *done.Hosts[0].Facts, *done.Hosts[0].Survey, done.Offer
				if change != nil {
					change(i, f, s)
				}
			}
			expect(t, one.odd, JudgeUpdate)
		})
	}
}

// updateOddity is an oddity of a site that has a release and is offered others.
type updateOddity struct {
	version string
	repo    *shelf
	odd     oddity
}

func updateOddities() map[string]updateOddity {
	return map[string]updateOddity{
		"nothing newer":  {"6.5.0", newest(), oddity{id: "update/valt/installed", status: Pass}},
		"a newer one is": {"6.6.0", newest(), oddity{id: "update/valt/installed", status: Warn, cause: "newer than 6.5.0"}},
		"never installed": {"6.4.0", newest(), oddity{make: func(_ *Input, f *facts.Facts, _ *survey.Reply) { f.Installed = nil },
			id: "update/valt/installed", status: Unknown, fix: "valtctl install"}},
		"one in between":          {"6.2.0", newest(), oddity{id: "update/valt/way", status: Warn, cause: "6.3.0 first", fix: "--to 6.3.0"}},
		"no way":                  {"6.1.0", &shelf{channel: "6.5.0", releases: []*release.Manifest{releaseOf("6.5.0", ">= 6.3")}}, oddity{id: "update/valt/way", status: Fail, fix: "6.1.0"}},
		"repository out of reach": {"6.4.0", &shelf{}, oddity{id: "update/site/release", status: Unknown, cause: "connection refused", fix: "check network"}},
		"no space": {"6.4.0", newest(), oddity{make: func(_ *Input, f *facts.Facts, _ *survey.Reply) { f.Filesystems[0].Free = 3 << 30 },
			id: "update/valt/space", status: Fail, cause: "/ has 3.0 GiB free"}},
		"a disk of Docker's own": {"6.4.0", newest(), oddity{make: func(_ *Input, f *facts.Facts, _ *survey.Reply) {
			f.Engine = &facts.EngineFacts{Root: "/data/docker"}
			f.Filesystems = append(f.Filesystems, facts.Filesystem{Mount: "/data", Size: 9 << 30, Free: 3 << 30})
		}, id: "update/valt/space", status: Fail, cause: "/data has"}},
		"apt told nothing": {"6.4.0", newest(), oddity{make: func(_ *Input, _ *facts.Facts, s *survey.Reply) { s.Download = nil },
			id: "update/valt/download", status: Unknown}},
		"dpkg is broken": {"6.4.0", newest(), oddity{make: func(_ *Input, _ *facts.Facts, s *survey.Reply) { s.Packages.Damage = []string{"x"} },
			id: "update/valt/packages", status: Fail}},
		"a reboot is due": {"6.4.0", newest(), oddity{make: func(_ *Input, f *facts.Facts, _ *survey.Reply) { f.RebootRequired = true },
			id: "update/valt/reboot", status: Warn}},
		"the wanted release left this Ubuntu": {"6.4.0", newest(), oddity{make: func(_ *Input, f *facts.Facts, _ *survey.Reply) { f.OS.VersionID = "22.04" },
			id: "update/valt/ubuntu", status: Fail, cause: "6.5.0"}},
	}
}

func TestHostsWhoseReleasesCannotServeTogether(t *testing.T) {
	i := installed(t, twoServers, "6.4.0", newest())
	i.Hosts[0].Facts.Installed.Release = "6.2.0" // the application server lags
	i.Offer = ReadOffer(t.Context(), newest(), i.Site, "6.5.0", []string{"6.2.0", "6.4.0"})
	if r := resultOf(t, JudgeUpdate(i), "update/media1/way"); r.Status != Fail || !strings.Contains(r.Fix, "update app1") {
		t.Errorf("%+v", r)
	}
}

func TestOfferNamesTheImagesOfEachRole(t *testing.T) {
	o := ReadOffer(t.Context(), newest(), siteOf(t, oneServer), "", nil)
	if !slices.Equal(o.Images[site.App], []string{"web"}) || !slices.Equal(o.Images[site.Media], []string{"engine"}) || o.Err != nil || o.Channel != "stable" {
		t.Errorf("%+v", o)
	}
}
