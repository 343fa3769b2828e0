package containers

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestMachineIsWholeButNotPrivileged(t *testing.T) {
	spec := Spec{
		Name: "lab-app1", Lab: "lab", Kind: "host", Image: "root", Network: "lab", Machine: true,
		Address: netip.MustParseAddr("10.123.0.10"),
		Volumes: []Volume{{Name: "lab-app1-recordings", Target: "/srv/valt"}},
	}
	host := spec.hostConfig()
	if host.Privileged {
		t.Error("privileged containers do not start where a capability is withheld")
	}
	if !slices.Contains(host.CapAdd, "SYS_ADMIN") || slices.Contains(host.CapAdd, "SYS_RESOURCE") {
		t.Errorf("capabilities are %v", host.CapAdd)
	}
	if host.RestartPolicy.Name != "always" {
		t.Errorf("a machine that reboots stays off: %v", host.RestartPolicy)
	}
	if host.Tmpfs["/run"] != "exec" {
		t.Errorf("/run is %q", host.Tmpfs["/run"])
	}
	config := spec.config()
	if _, ok := config.Volumes["/var/lib/docker"]; !ok {
		t.Error("a nested engine has no volume to keep overlay2 on")
	}
	if !slices.Equal([]string(config.Cmd), []string{"/sbin/init"}) || config.Labels[Label] != "lab" {
		t.Errorf("runs %v with labels %v", config.Cmd, config.Labels)
	}
	if got := host.Mounts[0].VolumeOptions.Labels[Label]; got != "lab" {
		t.Errorf("the volume's label is %q: down would leave it behind", got)
	}
	if got := spec.endpoint().EndpointsConfig["lab"].IPAMConfig.IPv4Address; got != "10.123.0.10" {
		t.Errorf("the address is %q", got)
	}
}

func TestMachineWithUnifiedGroupsHasAGroupOfItsOwn(t *testing.T) {
	spec := Spec{Name: "lab-media1", Lab: "lab", Kind: "host", Image: "root", Network: "lab", Machine: true, Unified: "/somewhere/cgroup2"}
	host := spec.hostConfig()
	if !slices.Contains(host.Binds, "/somewhere/cgroup2:/sys/fs/cgroup:rw") || !host.CgroupnsMode.IsHost() {
		t.Errorf("binds %v, control groups as seen by %q", host.Binds, host.CgroupnsMode)
	}
	if host.ReadonlyPaths == nil || len(host.ReadonlyPaths) != 0 {
		t.Errorf("what is read-only below /proc keeps an engine inside from setting networks up: %v", host.ReadonlyPaths)
	}
	if command := strings.Join(spec.config().Cmd, " "); !strings.Contains(command, "$tree/lab-media1.") || !strings.Contains(command, "exec /sbin/init") {
		t.Errorf("process 1 is %s", command)
	}
}

func TestOrdinaryContainerGetsNothingSpecial(t *testing.T) {
	spec := Spec{Name: "lab-client", Lab: "lab", Kind: "client", Image: "root", Command: []string{"sleep", "infinity"}, Init: true}
	host := spec.hostConfig()
	if len(host.CapAdd)+len(host.SecurityOpt)+len(host.Binds) != 0 || host.RestartPolicy.Name != "" {
		t.Errorf("got %+v", host)
	}
	if host.Init == nil || !*host.Init {
		t.Error("there is no process 1 that reaps")
	}
	if spec.endpoint() != nil {
		t.Error("a container without a network got one")
	}
}

func TestArchiveIsTheSameEveryTime(t *testing.T) {
	files := []File{
		{Path: "/etc/b", Content: []byte("b"), Mode: 0o600},
		{Path: "/etc/a", Link: "/dev/null"},
		{Path: "/etc/d", Dir: true},
	}
	first, err := Archive(files)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(files)
	second, err := Archive(files)
	if err != nil || !bytes.Equal(first, second) {
		t.Fatalf("the order of the files shows (%v)", err)
	}
	var names []string
	for r := tar.NewReader(bytes.NewReader(first)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		if h.Name == "etc/b" && h.Mode != 0o600 {
			t.Errorf("mode is %o", h.Mode)
		}
	}
	if want := []string{"etc/a", "etc/b", "etc/d/"}; !slices.Equal(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

func TestContainerInsideAnotherHasNoNetworkOfItsOwn(t *testing.T) {
	spec := Spec{Name: "lab-scanner", Lab: "lab", Kind: "peer", Image: "root", Network: "container:lab-media1"}
	if got := spec.hostConfig().NetworkMode; got != "container:lab-media1" || spec.endpoint() != nil {
		t.Errorf("its network is %q, with an end at %v", got, spec.endpoint())
	}
}

func TestEnginesErrorIsToldInItsWords(t *testing.T) {
	err := readProgress(strings.NewReader(`{"status":"Importing"}{"errorDetail":{"message":"no space"},"error":"write /bin/x: no space left on device"}`))
	if err == nil || err.Error() != "the engine said last:\n  Importing\n  write /bin/x: no space left on device" {
		t.Errorf("an import that failed: %v", err)
	}
	if err := readProgress(strings.NewReader(`{"status":"sha256:0123"}` + "\n")); err != nil {
		t.Errorf("one that did not: %v", err)
	}
	if err := readProgress(strings.NewReader(`{"status":`)); err == nil {
		t.Error("one that was cut off is taken as done")
	}
}
