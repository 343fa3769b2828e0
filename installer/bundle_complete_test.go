package installer_test

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer"
	"ipivs.com/valtctl/installer/agent"
	"ipivs.com/valtctl/installer/event"
	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/fleet"
	"ipivs.com/valtctl/installer/host/hosttest"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/apt"
	"ipivs.com/valtctl/installer/step/docker"
	"ipivs.com/valtctl/repos/bundle"
	"ipivs.com/valtctl/repos/problem"
)

// file is a package's file of that content.
func file(name, content string) agent.PackageFile {
	sum := sha256.Sum256([]byte(content))
	return agent.PackageFile{Package: name, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(content))}
}

// half is a bundle with one package and images whose base is left out.
func half(t *testing.T, p *practice) (carrier *fleet.Carrier, base string) {
	t.Helper()
	c := &carried{contents: &bundle.Contents{Release: "6.4.3", Made: p.repo.Now(), Maker: "pat@laptop"}, blobs: map[string][]byte{}}
	measured(t, p, c)
	base = c.contents.Blobs[0].Digest // the layer that both images begin with
	c.contents.Left, c.contents.Blobs = c.contents.Blobs[:1:1], c.contents.Blobs[1:]
	c.file("apt/valt/pool/valt-host_6.4.3_amd64.deb", []byte("in the bundle"))
	return c.open(t), base
}

// taking has a host's apt want packages, and its images fetched.
func taking(h *hosttest.Host, files ...agent.PackageFile) {
	h.Takes = func(agent.ProveRequest) ([]agent.PackageFile, error) { return files, nil }
	h.Fetches = map[step.KindName]int64{docker.KindImage: 1000}
	h.Write("/var/lib/dpkg/status", "")
}

// TestABundleForOtherServersIsRefusedBeforeAnyChange names, for every host, what is missing.
func TestABundleForOtherServersIsRefusedBeforeAnyChange(t *testing.T) {
	p := newPractice(t)
	carrier, base := half(t, p)
	taking(p.hosts["app1"], file("valt-host:amd64=6.4.3", "in the bundle"), file("docker-ce:amd64=28", "not in it"))
	taking(p.hosts["media1"], file("valt-host:amd64=6.4.3", "in the bundle"))
	p.hosts["media1"].Facts.Engine = &facts.EngineFacts{Images: []facts.Image{{ID: "sha256:other", Layers: []string{"unpacked " + base, "unpacked others"}}}}
	for _, dry := range []bool{true, false} {
		_, err := p.try(from(carrier), func(o *installer.Options) { o.DryRun = dry })
		if problem.KindOf(err) != problem.Check || !strings.Contains(err.Error(), "app1: it lacks package docker-ce:amd64=28, image docker.ipivs.com/valt/web (1 of its blobs)") ||
			strings.Contains(err.Error(), "media1") || strings.Contains(err.Error(), "valt-host") {
			t.Errorf("got %v", err)
		}
	}
	p.untouched()
}

func TestABundleThatHasWhatIsLackedInstalls(t *testing.T) {
	p := newPractice(t)
	carrier, base := half(t, p)
	for _, h := range p.hosts {
		taking(h, file("valt-host:amd64=6.4.3", "in the bundle"))
		h.Facts.Engine = &facts.EngineFacts{Images: []facts.Image{{ID: "sha256:other", Layers: []string{"unpacked " + base}}}}
	}
	p.install(from(carrier))
	if !p.saw(event.Note, "planning its packages from the bundle") {
		t.Error("nobody was told what is waited for")
	}
	// Asked once, of all sources and packages together, and not again when nothing differs.
	for name, h := range p.hosts {
		if calls := h.Calls(); !slices.Equal(calls, []string{"facts", "inspect", "prove", "facts", "start", "follow"}) {
			t.Errorf("%s was called for %q", name, calls)
		}
	}
	p.install(from(carrier))
	p.calls("facts", "inspect")
}

// TestAptsRefusalIsToldBeforeAnyChange: its plan from the bundle is judged on the host.
func TestAptsRefusalIsToldBeforeAnyChange(t *testing.T) {
	p := newPractice(t)
	carrier, _ := half(t, p)
	var asked []step.KindName
	p.hosts["media1"].Takes = func(r agent.ProveRequest) ([]agent.PackageFile, error) {
		for _, s := range r.Steps {
			asked = append(asked, s.Kind)
		}
		return nil, &problem.Error{Kind: problem.Failed, Doing: "judging", Object: "apt's plan", Fix: "settle it"}
	}
	_, err := p.try(from(carrier))
	if err == nil || !strings.Contains(err.Error(), "media1: judging apt's plan") {
		t.Errorf("got %v", err)
	}
	p.untouched()
	if slices.Index(asked, apt.KindPackages) < 0 || slices.Index(asked, apt.KindSource) < 0 || len(slices.DeleteFunc(asked, func(k step.KindName) bool { return k == apt.KindPackages || k == apt.KindSource })) > 0 {
		t.Errorf("asked of steps %q", asked)
	}
}
