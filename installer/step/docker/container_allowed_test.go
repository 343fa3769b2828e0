package docker

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/release/allowed"
)

// asked is a container step for a host whose recordings are at /srv/valt.
func asked(spec ContainerSpec) ContainerParams {
	return ContainerParams{Name: "valt-engine", Disrupts: step.Engine, Image: ImageDigests{Config: "sha256:c"}, Spec: spec, Own: allowed.Site{Recordings: "/srv/valt"}}
}

// rooted is a host in a folder, with a folder at each of the paths.
func rooted(t *testing.T, folders ...string) *step.Machine {
	t.Helper()
	h := &step.Machine{Root: t.TempDir()}
	for _, f := range folders {
		if err := os.MkdirAll(h.Path(f), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// refusedBy wants Inspect and Apply to refuse, for that reason, before the engine is asked: there
// is none.
func refusedBy(t *testing.T, h *step.Machine, p ContainerParams, reason string) {
	t.Helper()
	made := steptest.MakeStep(t, ContainerKind(), p)
	_, looked := made.Inspect(t.Context(), h)
	for what, err := range map[string]error{"Inspect": looked, "Apply": made.Apply(t.Context(), h)} {
		if err == nil || !strings.Contains(err.Error(), reason) || problem.KindOf(err) != problem.Trust {
			t.Errorf("%s does not refuse for %q: %v", what, reason, err)
		}
	}
}

// A plan that came from anywhere asks a host for nothing that no release may have.
func TestAHostRefusesWhatNoReleaseMayAskFor(t *testing.T) {
	bind := func(source string) ContainerSpec {
		return ContainerSpec{Mounts: []ContainerMount{{Type: "bind", Source: source, Target: "/x"}}}
	}
	for name, test := range map[string]struct {
		spec   ContainerSpec
		reason string
	}{
		"the host":             {bind("/proc/1/root"), "power over the host"},
		"Docker's socket":      {bind("/var/run/docker.sock"), "is /run/docker.sock"},
		"another's recordings": {bind("/srv/other"), "power over the host"},
		"a capability":         {ContainerSpec{CapAdd: []string{"SYS_ADMIN"}}, "SYS_ADMIN gives the container power"},
		"a disk":               {ContainerSpec{Devices: []ContainerDevice{{Source: "/dev/sda", Target: "/dev/sda"}}}, "/dev/sda gives"},
		"all devices":          {ContainerSpec{DeviceCgroupRules: []string{"a *:* rwm"}}, "opens devices"},
		"logs elsewhere":       {ContainerSpec{LogDriver: "syslog"}, "syslog"},
		"the host's kernel":    {ContainerSpec{Sysctls: map[string]string{"kernel.panic": "1"}}, "setting of the host"},
		"no confinement":       {ContainerSpec{SecurityOpt: []string{"seccomp:unconfined"}}, "keeps the container in"},
		"another's network":    {ContainerSpec{NetworkMode: "container:x"}, "another container's"},
		"a label of ours":      {ContainerSpec{Labels: map[string]string{LabelSite: "x"}}, "own"},
	} {
		t.Run(name, func(t *testing.T) { refusedBy(t, rooted(t), asked(test.spec), test.reason) })
	}
}

// What a path leads to counts, on the host and now: a link that somebody planted where the words
// are right is refused.
func TestAHostFollowsLinksBeforeItBinds(t *testing.T) {
	for name, test := range map[string]struct {
		bind, link, to, reason string
		device                 bool
	}{
		"the recordings are a link":    {"/srv/valt/recordings", "/srv/valt", "/etc", "leads by a link to /etc/recordings", false},
		"a folder in the recordings":   {"/srv/valt/recordings", "/srv/valt/recordings", "../../root/.ssh", "leads by a link to /root/.ssh", false},
		"a link in VALT's own folder":  {"/var/lib/valt/web/x", "/var/lib/valt/web", "/var/lib/valtctl", "leads by a link to /var/lib/valtctl/x", false},
		"a link to a link":             {"/var/lib/valt/a", "/var/lib/valt/a", "/var/lib/valt/b", "leads by a link to /run/docker.sock", false},
		"a link to what root runs":     {"/var/lib/valt/a", "/var/lib/valt/a", "/etc/valt/hooks", "leads by a link to /etc/valt/hooks", false},
		"a device that is another one": {"/dev/dri/card0", "/dev/dri/card0", "/dev/sda", "leads by a link to /dev/sda", true},
	} {
		t.Run(name, func(t *testing.T) {
			h := rooted(t, filepath.Dir(test.link), "/etc", "/root/.ssh", "/run")
			spec := ContainerSpec{Mounts: []ContainerMount{{Type: "bind", Source: test.bind, Target: "/x"}}}
			if test.device {
				spec = ContainerSpec{Devices: []ContainerDevice{{Source: test.bind, Target: test.bind}}}
			}
			c, err := newContainer(asked(spec))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.allowed(h); err != nil {
				t.Errorf("refused without a link: %v", err)
			}
			for from, to := range map[string]string{test.link: test.to, "/var/lib/valt/b": "/run/docker.sock"} {
				if err := os.MkdirAll(filepath.Dir(h.Path(from)), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(to, h.Path(from)); err != nil {
					t.Fatal(err)
				}
			}
			refusedBy(t, h, asked(spec), test.reason)
		})
	}
}

// A link within what a release may have harms nobody, nor do the host's time zone and the
// recordings.
func TestAHostGivesWhatAReleaseMayHave(t *testing.T) {
	h := rooted(t, "/var/lib/valt/real", "/etc", "/usr/share/zoneinfo/Europe", "/srv/valt/recordings")
	for from, to := range map[string]string{"/var/lib/valt/a": "real", "/etc/localtime": "/usr/share/zoneinfo/Europe/Vienna"} {
		if err := os.Symlink(to, h.Path(from)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := newContainer(asked(ContainerSpec{NetworkMode: "host", Mounts: []ContainerMount{
		{Type: "bind", Source: "/var/lib/valt/a", Target: "/a"}, {Type: "bind", Source: "/etc/localtime", Target: "/etc/localtime", ReadOnly: true},
		{Type: "bind", Source: "/srv/valt/recordings", Target: "/recordings"}, {Type: "volume", Source: "valt_x", Target: "/v"},
	}}))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.allowed(h); err != nil {
		t.Error(err)
	}
}

// A link that appears between the look and the making is met by the look right before.
func TestALinkThatAppearsBeforeTheContainerIsMadeIsRefused(t *testing.T) {
	p := containerFor(t, load(t, probeImage(t, "")))
	dir := t.TempDir()
	p.Own, p.Spec.Mounts = allowed.Site{Recordings: dir}, []ContainerMount{{Type: "bind", Source: filepath.Join(dir, "a"), Target: "/a"}}
	if err := os.Mkdir(filepath.Join(dir, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	h := engineMachine(nil)
	made := steptest.MakeStep(t, ContainerKind(), p)
	if f, err := made.Inspect(t.Context(), h); err != nil || !f.Change {
		t.Fatalf("%+v, %v", f, err)
	}
	if err := os.Remove(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	c, err := newContainer(p)
	if err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"Apply": made.Apply(t.Context(), h), "create": c.create(t.Context(), h, dockerOf(t, h), nil)} {
		if problem.KindOf(err) != problem.Trust || !strings.Contains(err.Error(), "leads by a link to /etc") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if states := ofProject(t, p.Project); len(states) != 0 {
		t.Errorf("made: %v", states)
	}
}

// One that was made, and whose folder became a link before it is started, is not started.
func TestALinkThatAppearsBeforeTheContainerStartsIsRefused(t *testing.T) {
	p := containerFor(t, load(t, probeImage(t, "")))
	dir := t.TempDir()
	p.Own, p.Spec.Mounts = allowed.Site{Recordings: dir}, []ContainerMount{{Type: "bind", Source: filepath.Join(dir, "a"), Target: "/a"}}
	if err := os.Mkdir(filepath.Join(dir, "a"), 0o755); err != nil {
		t.Fatal(err)
	}
	h := engineMachine(nil)
	engine := dockerOf(t, h)
	c, err := newContainer(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.create(t.Context(), h, engine, nil); err != nil {
		t.Fatal(err)
	}
	if err := engine.ContainerRename(t.Context(), c.nextName(), c.Name); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(dir, "a")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.start(t.Context(), h, engine); problem.KindOf(err) != problem.Trust {
		t.Errorf("started: %v", err)
	}
	if inspect(t, p.Name).State.Running {
		t.Error("it runs")
	}
}
