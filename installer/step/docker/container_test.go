package docker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/docker/docker/api/types/container"

	"ipivs.com/valtctl/installer/sockets"
	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/testdraw"
)

func TestContainerIsMadeAsWanted(t *testing.T) {
	h := engineMachine(nil)
	n, second := networkFor(t, "in"), networkFor(t, "out")
	p := containerFor(t, load(t, probeImage(t, "")))
	secret := filepath.Join(t.TempDir(), "db")
	if err := os.WriteFile(secret, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	steptest.Settles(t, steptest.MakeStep(t, NetworkKind(), n), h)
	steptest.Settles(t, steptest.MakeStep(t, NetworkKind(), second), h)
	p.Spec = ContainerSpec{
		Command: []string{"listen", ":8080"}, Env: map[string]string{"B": "2", "A": "1"}, Restart: "on-failure:3",
		Networks: []ContainerNetwork{{Name: n.Name, Aliases: []string{"web"}}, {Name: second.Name}},
		Ports:    []ContainerPort{{HostIP: "127.0.0.1", Published: freePort(t), Target: 8080, Protocol: "tcp"}},
		Mounts:   []ContainerMount{{Type: "bind", Source: secret, Target: "/run/secrets/db", ReadOnly: true}},
		Tmpfs:    map[string]string{"/tmp": "size=1m"}, ReadOnly: true, CapDrop: []string{"ALL"},
		Health: &ContainerHealth{Test: []string{"CMD", "/probe", "ok"}, Interval: "100ms", Retries: 1},
	}
	first := steptest.Settles(t, steptest.MakeStep(t, ContainerKind(), p), h)
	if first.Disrupts != step.Nothing {
		t.Errorf("making the first container disrupts %s", first.Disrupts)
	}
	if !first.Admits {
		t.Error("nobody is told that it serves from then on")
	}
	if !strings.Contains(first.Diff, `+    "A": "1"`) {
		t.Errorf("the diff does not show what is made:\n%s", first.Diff)
	}
	got := inspect(t, p.Name)
	if got.State.Health.Status != container.Healthy {
		t.Errorf("health %s", got.State.Health.Status)
	}
	if got.Image != idOf(t, p.Image) || got.HostConfig.RestartPolicy.Name != "on-failure" || len(got.NetworkSettings.Networks) != 2 {
		t.Errorf("image %s, restart %v, networks %v", got.Image, got.HostConfig.RestartPolicy, got.NetworkSettings.Networks)
	}
	for label, want := range map[string]string{
		"com.docker.compose.project": p.Name, "com.docker.compose.service": "web", "com.docker.compose.oneoff": "False",
		"com.docker.compose.container-number": "1", "com.docker.compose.project.working_dir": "/etc/valt/compose",
		LabelSite: "st-marys", LabelRole: "app", LabelRelease: "6.4.1",
	} {
		if got.Config.Labels[label] != want {
			t.Errorf("label %s is %q, not %q", label, got.Config.Labels[label], want)
		}
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func TestContainerIsReplacedWhenItsSpecChanges(t *testing.T) {
	t.Parallel()
	h := engineMachine(nil)
	p := containerFor(t, load(t, probeImage(t, "")))
	steptest.Settles(t, steptest.MakeStep(t, ContainerKind(), p), h)
	before := inspect(t, p.Name).ID

	p.Release = "6.4.2"
	if f, err := steptest.MakeStep(t, ContainerKind(), p).Inspect(t.Context(), h); err != nil || f.Change {
		t.Errorf("a release that changes nothing of the container replaces it: %+v, %v", f, err)
	}
	p.Spec.Env = map[string]string{"MODE": "new"}
	found := steptest.Settles(t, steptest.MakeStep(t, ContainerKind(), p), h)
	if found.Disrupts != step.Container || found.Admits || !strings.Contains(found.Diff, `+    "MODE": "new"`) {
		t.Errorf("disrupts %s:\n%s", found.Disrupts, found.Diff)
	}
	if after := inspect(t, p.Name); after.ID == before {
		t.Error("the container was not replaced")
	}
	if states := ofProject(t, p.Project); len(states) != 1 {
		t.Errorf("left behind: %v", states)
	}
}

func TestContainerIsReplacedWhenItsImageChanges(t *testing.T) {
	t.Parallel()
	h := engineMachine(nil)
	one, two := load(t, probeImage(t, "one")), load(t, probeImage(t, "two"))
	p := containerFor(t, one)
	steptest.Settles(t, steptest.MakeStep(t, ContainerKind(), p), h)
	p.Image = two
	p.Disrupts = step.Engine
	if found := steptest.Settles(t, steptest.MakeStep(t, ContainerKind(), p), h); found.Disrupts != step.Engine || !strings.Contains(found.Diff, p.Image.Config) {
		t.Errorf("disrupts %s:\n%s", found.Disrupts, found.Diff)
	}
}

func TestContainerIsReplacedWhenAWatchedFileChanges(t *testing.T) {
	t.Parallel()
	h := engineMachine(nil)
	p := containerFor(t, load(t, probeImage(t, "")))
	dir := t.TempDir()
	bound, watched := filepath.Join(dir, "nginx.conf"), filepath.Join(dir, "cert.pem")
	for _, f := range []string{bound, watched} {
		if err := os.WriteFile(f, []byte("one"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.Spec.Mounts = []ContainerMount{{Type: "bind", Source: bound, Target: "/etc/nginx.conf"}, {Type: "bind", Source: dir, Target: "/tls"}}
	p.Watch = []string{watched}
	steptest.Settles(t, steptest.MakeStep(t, ContainerKind(), p), h)
	for _, f := range []string{bound, watched} {
		if err := os.WriteFile(f, []byte("two"), 0o600); err != nil {
			t.Fatal(err)
		}
		if found := steptest.Settles(t, steptest.MakeStep(t, ContainerKind(), p), h); !strings.Contains(found.Diff, f) || found.Disrupts != step.Container {
			t.Errorf("disrupts %s:\n%s", found.Disrupts, found.Diff)
		}
	}
}

// Whatever was done last, the next run ends with the one wanted container, and in between
// an engine restart never brings two up.
func TestContainerReplacementSurvivesAKillAtEveryPoint(t *testing.T) {
	t.Parallel()
	one, two := load(t, probeImage(t, "one")), load(t, probeImage(t, "two"))
	p := containerFor(t, one)
	for point := range testdraw.Points(t) {
		p.Image = one
		if err := steptest.MakeStep(t, ContainerKind(), p).Apply(t.Context(), engineMachine(nil)); err != nil {
			t.Fatal(err)
		}
		p.Image = two
		s := steptest.MakeStep(t, ContainerKind(), p)
		killed := s.Apply(t.Context(), cutEngine(t, point))
		mayComeUp(t, p, point)
		if err := s.Apply(t.Context(), engineMachine(nil)); err != nil {
			t.Fatalf("going on after a kill at point %d: %v", point, err)
		}
		if f, err := s.Inspect(t.Context(), engineMachine(nil)); err != nil || f.Change {
			t.Fatalf("after a kill at point %d: %+v, %v", point, f, err)
		}
		if states := ofProject(t, p.Project); len(states) != 1 || states[p.Name] != "running" {
			t.Fatalf("after a kill at point %d: %v", point, states)
		}
		if killed == nil {
			if point < 6 && testdraw.IsWhole() {
				t.Errorf("only %d changes: the kills missed something", point)
			}
			testdraw.Tried(t, point, "kills")
			return
		}
	}
}

// mayComeUp fails where more than one container would run after an engine restart.
func mayComeUp(t *testing.T, p ContainerParams, point int) {
	t.Helper()
	var up []string
	for name, state := range ofProject(t, p.Project) {
		policy := inspect(t, name).HostConfig.RestartPolicy.Name
		if state == "running" || policy != container.RestartPolicyDisabled {
			up = append(up, fmt.Sprintf("%s (%s, %s)", name, state, policy))
		}
	}
	if len(up) > 1 {
		t.Errorf("after a kill at point %d more than one can run: %v", point, up)
	}
}

func TestContainerThatDoesNotGetHealthyKeepsTheOldAside(t *testing.T) {
	t.Parallel()
	h := engineMachine(nil)
	p := containerFor(t, load(t, probeImage(t, "")))
	steptest.Settles(t, steptest.MakeStep(t, ContainerKind(), p), h)
	old := inspect(t, p.Name).ID

	bad := p
	bad.Within = "1s"
	bad.Spec.Health = &ContainerHealth{Test: []string{"CMD", "/probe", "fail", "no database"}, Interval: "100ms", Retries: 1}
	// On a busy machine the first second may end before the first check does.
	err := steptest.MakeStep(t, ContainerKind(), bad).Apply(t.Context(), h)
	for range 60 {
		if err == nil || strings.Contains(err.Error(), "no database") {
			break
		}
		err = steptest.MakeStep(t, ContainerKind(), bad).Apply(t.Context(), h)
	}
	var told *problem.Error
	if !errors.As(err, &told) || !strings.Contains(err.Error(), "no database") || !strings.Contains(told.Fix, "valtctl logs") {
		t.Errorf("the error does not say what the check answered: %v", err)
	}
	aside := inspect(t, p.Name+"-old")
	if aside == nil || aside.ID != old || aside.HostConfig.RestartPolicy.Name != "no" || aside.State.Running {
		t.Fatalf("the container that served is not kept aside: %+v", aside)
	}
	if f, err := steptest.MakeStep(t, ContainerKind(), bad).Inspect(t.Context(), h); err != nil || !f.Change || f.Disrupts != step.Nothing {
		t.Errorf("an unhealthy container counts as done: %+v, %v", f, err)
	}

	p.Spec.Env = map[string]string{"FIXED": "yes"}
	steptest.Settles(t, steptest.MakeStep(t, ContainerKind(), p), h)
	if states := ofProject(t, p.Project); len(states) != 1 {
		t.Errorf("left behind: %v", states)
	}
}

func TestContainerThatTheEngineCallsUnhealthyIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	p := containerFor(t, load(t, probeImage(t, "")))
	p.Within = "1h" // longer than any test may take
	p.Spec.Health = &ContainerHealth{Test: []string{"CMD", "/probe", "fail", "no database"}, Interval: "100ms", Retries: 2}
	if err := steptest.MakeStep(t, ContainerKind(), p).Apply(t.Context(), engineMachine(nil)); err == nil || !strings.Contains(err.Error(), "its health check fails") {
		t.Errorf("an ill container: %v", err)
	}
}

func TestContainerThatEndsIsToldWithItsExitCode(t *testing.T) {
	t.Parallel()
	p := containerFor(t, load(t, probeImage(t, "")))
	p.Spec.Restart, p.Spec.Command = "no", []string{"fail", "x"}
	p.Spec.Health = &ContainerHealth{Test: []string{"CMD", "/probe", "ok"}, Interval: "1m"}
	if err := steptest.MakeStep(t, ContainerKind(), p).Apply(t.Context(), engineMachine(nil)); err == nil || !strings.Contains(err.Error(), "exit code 1") {
		t.Error(err)
	}
}

func TestContainerWhosePortIsTaken(t *testing.T) {
	h := engineMachine(nil)
	n := networkFor(t, "in")
	steptest.Settles(t, steptest.MakeStep(t, NetworkKind(), n), h)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	p := containerFor(t, load(t, probeImage(t, "")))
	p.Spec.NetworkMode, p.Spec.Networks = "", []ContainerNetwork{{Name: n.Name}}
	p.Spec.Ports = []ContainerPort{{HostIP: "127.0.0.1", Published: taken.Addr().(*net.TCPAddr).Port, Target: 80, Protocol: "tcp"}}
	err = steptest.MakeStep(t, ContainerKind(), p).Apply(t.Context(), h)
	var told *problem.Error
	if !errors.As(err, &told) || !strings.Contains(told.Fix, "another port") {
		t.Fatalf("no way out is told: %v", err)
	}
	if !strings.Contains(err.Error(), heldByThisTest(taken)) {
		t.Errorf("it does not say who holds the port: %v", err)
	}
	taken.Close()
	steptest.Settles(t, steptest.MakeStep(t, ContainerKind(), p), h)
}

// heldByThisTest is how a listener of this process is told.
func heldByThisTest(taken net.Listener) string {
	return fmt.Sprintf("port %d is held by %s, process %d", taken.Addr().(*net.TCPAddr).Port, sockets.Program("", os.Getpid()), os.Getpid())
}

// A container that is in the host's network opens its ports itself, and the engine starts it again
// and again. Who is in its way is told at once, and one that has gone by then is not.
func TestAContainerInTheHostsNetworkTellsWhoHoldsItsPort(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	p := containerFor(t, load(t, probeImage(t, "")))
	p.Spec.NetworkMode, p.Spec.Command = "host", []string{"listen", taken.Addr().String()}
	p.Spec.Health = &ContainerHealth{Test: []string{"CMD", "/probe", "ok"}, Interval: "1s"}
	err = steptest.MakeStep(t, ContainerKind(), p).Apply(t.Context(), engineMachine(nil))
	if err == nil || !strings.Contains(err.Error(), heldByThisTest(taken)) {
		t.Fatalf("it does not say who holds the port: %v", err)
	}
	taken.Close()
	again := steptest.MakeStep(t, ContainerKind(), p)
	if err := again.Apply(t.Context(), engineMachine(nil)); err != nil { // the engine may have started it by itself already
		t.Fatal(err)
	}
	if f, err := again.Inspect(t.Context(), engineMachine(nil)); err != nil || f.Change {
		t.Errorf("%+v, %v", f, err)
	}
}

// Programs name the port that they did not get in their own words.
func TestTakenPortsAreReadFromWhatProgramsSay(t *testing.T) {
	for said, want := range map[string][]uint16{
		"opening the version port: listen tcp :8086: bind: address already in use":                                {8086},
		"bind() to 0.0.0.0:443 failed (98: Address already in use)":                                               {443},
		"Error: listen EADDRINUSE: address already in use :::8080":                                                {8080},
		"Can't start server: Bind on TCP/IP port: Address already in use; is another running on port: 3306 ?":     {3306},
		"Bind for 0.0.0.0:80 failed: port is already allocated":                                                   {80},
		"listen tcp [::]:1935: bind: address already in use\nlisten tcp [::]:444: bind: address already in use\n": {444, 1935},
		"connect to 10.0.0.1:3306: connection refused":                                                            nil,
		"address already in use: 99999999":                                                                        nil,
	} {
		if got := takenPorts(said); !slices.Equal(got, want) {
			t.Errorf("%q: %v, not %v", said, got, want)
		}
	}
}

// A process is told by the group that it is in, however many of them are around that one.
func TestAHolderIsToldByItsInnermostGroup(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	for lines, want := range map[string]string{
		"0::/system.slice/leftover.service\n":                                                    "leftover.service",
		"4:memory:/\n3:pids:/docker/" + id + "\n1:name=systemd:/docker/" + id + "/a/b.service\n": "b.service",
		"0::/system.slice/docker-" + id + ".scope\n":                                             "docker-" + id + ".scope",
	} {
		if got := deepestGroup(lines); got != want {
			t.Errorf("%q: %q, not %q", lines, got, want)
		}
	}
}

func TestContainerNameTakenByOthers(t *testing.T) {
	p := containerFor(t, load(t, probeImage(t, "")))
	engine := dockerOf(t, engineMachine(nil))
	made, err := engine.ContainerCreate(t.Context(), &container.Config{Image: idOf(t, p.Image)}, nil, nil, nil, p.Name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.ContainerRemove(context.WithoutCancel(t.Context()), made.ID, container.RemoveOptions{Force: true}); err != nil {
			t.Errorf("removing the test's container: %v", err)
		}
	})
	s := steptest.MakeStep(t, ContainerKind(), p)
	if _, err := s.Inspect(t.Context(), engineMachine(nil)); err == nil || !strings.Contains(err.Error(), p.Name) || problem.KindOf(err) != problem.Check {
		t.Errorf("inspecting: %v", err)
	}
	if err := s.Apply(t.Context(), engineMachine(nil)); err == nil || inspect(t, p.Name) == nil {
		t.Errorf("a container of others was touched: %v", err)
	}
}

// Nothing that serves is stopped for what cannot start.
func TestContainerIsNotStoppedForAnImageThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	h := engineMachine(nil)
	p := containerFor(t, load(t, probeImage(t, "")))
	steptest.Settles(t, steptest.MakeStep(t, ContainerKind(), p), h)
	missing := ImageDigests{Manifest: "sha256:" + strings.Repeat("a", 64), Config: "sha256:" + strings.Repeat("b", 64)}
	for name, c := range map[string]struct {
		image ImageDigests
		want  string
	}{
		"missing":          {missing, "image of docker.ipivs.com/valt/web is gone"},
		"anonymous volume": {load(t, probeImage(t, "volume", "/data")), "volume at /data"},
	} {
		changed := p
		changed.Image = c.image
		if err := steptest.MakeStep(t, ContainerKind(), changed).Apply(t.Context(), h); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if got := inspect(t, p.Name); !got.State.Running || got.HostConfig.RestartPolicy.Name != "always" {
			t.Errorf("%s: the container that serves was stopped", name)
		}
	}
}

func TestContainerDriftIsRepairedWithoutReplacing(t *testing.T) {
	t.Parallel()
	h := engineMachine(nil)
	p := containerFor(t, load(t, probeImage(t, "")))
	steptest.Settles(t, steptest.MakeStep(t, ContainerKind(), p), h)
	before, engine := inspect(t, p.Name).ID, dockerOf(t, h)
	if _, err := engine.ContainerUpdate(t.Context(), p.Name, container.UpdateConfig{RestartPolicy: container.RestartPolicy{Name: "no"}}); err != nil {
		t.Fatal(err)
	}
	if err := engine.ContainerStop(t.Context(), p.Name, container.StopOptions{}); err != nil {
		t.Fatal(err)
	}
	found := steptest.Settles(t, steptest.MakeStep(t, ContainerKind(), p), h)
	if found.Disrupts != step.Nothing || !strings.Contains(found.Diff, "restart policy always") || inspect(t, p.Name).ID != before {
		t.Errorf("disrupts %s:\n%s", found.Disrupts, found.Diff)
	}
}

func TestContainerBeforeThereIsAnEngine(t *testing.T) {
	p := ContainerParams{Name: "valt-web", Disrupts: step.Engine, Image: ImageDigests{Manifest: "sha256:m", Config: "sha256:c"}}
	f, err := steptest.MakeStep(t, ContainerKind(), p).Inspect(t.Context(), steptest.RootMachine(t, nil))
	if err != nil || !f.Change || f.Disrupts != step.Nothing {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestContainerParametersThatAreRefused(t *testing.T) {
	good := ContainerParams{Name: "valt-web", Disrupts: step.Container, Image: ImageDigests{Manifest: "sha256:m", Config: "sha256:c"}}
	for name, spoil := range map[string]func(*ContainerParams){
		"no image":         func(p *ContainerParams) { p.Image = ImageDigests{} },
		"no disruption":    func(p *ContainerParams) { p.Disrupts = step.Nothing },
		"anonymous volume": func(p *ContainerParams) { p.Spec.Mounts = []ContainerMount{{Type: "volume", Target: "/data"}} },
		"relative bind":    func(p *ContainerParams) { p.Spec.Mounts = []ContainerMount{{Type: "bind", Source: "x", Target: "/x"}} },
		"restart policy":   func(p *ContainerParams) { p.Spec.Restart = "sometimes" },
		"interval":         func(p *ContainerParams) { p.Spec.Health = &ContainerHealth{Interval: "5"} },
		"patience":         func(p *ContainerParams) { p.Within = "long" },
	} {
		p := good
		spoil(&p)
		if _, err := newContainer(p); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := newContainer(good); err != nil {
		t.Error(err)
	}
}
