package facts

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/client"
	"github.com/google/go-cmp/cmp"
)

func clock() time.Time { return time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC) }

// socket serves a Docker engine with handler and returns its client.
func socket(t *testing.T, handler http.HandlerFunc) *client.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "docker.sock")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return dial(t, path)
}

func dial(t *testing.T, path string) *client.Client {
	t.Helper()
	c, err := client.NewClientWithOpts(client.WithHost("unix://"+path), client.WithAPIVersionNegotiation())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// engine answers as dockerd 27 does.
func engine(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", "1.47")
	w.Header().Set("Server", "Docker/27.3.1 (linux)")
	switch {
	case strings.HasSuffix(r.URL.Path, "/containers/json") && r.URL.Query().Get("all") == "1":
		_, _ = w.Write([]byte(`[
			{"Names":["/proxy/engine","/valt-engine"],"Image":"valt/engine","ImageID":"sha256:aa","State":"running","Status":"Up 2 hours (healthy)","Labels":{"com.ipivs.valtctl.service":"engine"}},
			{"Names":["/valt-web-old"],"Image":"sha256:bb","ImageID":"sha256:bb","State":"exited","Status":"Exited (0) 3 days ago"}]`))
	case strings.HasSuffix(r.URL.Path, "/images/json"):
		_, _ = w.Write([]byte(`[{"Id":"sha256:aa"}]`))
	case strings.HasSuffix(r.URL.Path, "/images/sha256:aa/json"):
		_, _ = w.Write([]byte(`{"Id":"sha256:aa","RootFS":{"Type":"layers","Layers":["sha256:l1","sha256:l2"]}}`))
	default:
		w.WriteHeader(http.StatusOK)
	}
}

func TestFactsOfAHost(t *testing.T) {
	got, err := Gather(t.Context(), Options{Root: filepath.Join("testdata", "host"), Docker: socket(t, engine), Now: clock, Full: true})
	if err != nil {
		t.Fatal(err)
	}
	if root := got.Filesystems[0]; root.Mount != "/" || root.Size <= 0 || root.Free <= 0 || root.Free > root.Size {
		t.Errorf("%+v", root)
	}
	// What is this machine's own and not of the files.
	got.Arch, got.Addresses, got.Clock.Synchronized = "", nil, false
	for i := range got.Filesystems {
		got.Filesystems[i].Size, got.Filesystems[i].Free = 0, 0
	}
	golden, err := os.ReadFile(filepath.Join("testdata", "host.json"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(got, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(golden), string(text)+"\n"); diff != "" {
		t.Error(diff)
	}
}

func TestAnEngineThatDoesNotNameItselfIsAsked(t *testing.T) {
	docker := socket(t, func(w http.ResponseWriter, r *http.Request) {
		answer := "[]"
		if strings.HasSuffix(r.URL.Path, "/version") {
			answer = `{"Version":"5.0"}`
		}
		_, _ = w.Write([]byte(answer))
	})
	got, err := Gather(t.Context(), Options{Root: filepath.Join("testdata", "host"), Docker: docker, Now: clock})
	if err != nil || got.Engine == nil || got.Engine.Version != "5.0" {
		t.Error(got.Engine, err)
	}
}

// What snapd installed is seen by either of its folders.
func TestDockerAsASnapIsSeen(t *testing.T) {
	for _, at := range []string{"/snap/docker/current/bin", "/var/lib/snapd/snaps/docker_2915.snap"} {
		root := t.TempDir()
		if err := os.MkdirAll(filepath.Join(root, at), 0o755); err != nil {
			t.Fatal(err)
		}
		f, _ := Gather(t.Context(), Options{Root: root, Now: clock}) // the rest is not there
		if f.SnapDocker == "" || !strings.HasPrefix(at, f.SnapDocker) {
			t.Errorf("%s: seen as %q", at, f.SnapDocker)
		}
	}
}

func TestPackagesAreReadOnlyWhenAskedFor(t *testing.T) {
	got, err := Gather(t.Context(), Options{Root: filepath.Join("testdata", "host"), Now: clock})
	if err != nil || got.Packages != nil || got.Engine != nil {
		t.Error(got.Packages, got.Engine, err)
	}
}

func TestFactsOfThisMachine(t *testing.T) {
	got, err := Gather(t.Context(), Options{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	if got.Hostname == "" || got.CPUs < 1 || got.MemoryBytes < 1<<20 || got.BootID == "" || got.Kernel == "" || got.Arch != dpkgArch(runtime.GOARCH) {
		t.Errorf("%+v", got)
	}
	again, err := BootID("")
	if err != nil || again != got.BootID {
		t.Error("the boot id changes without a boot:", again, got.BootID, err)
	}
}

func TestNoEngineIsNoError(t *testing.T) {
	got, err := Gather(t.Context(), Options{Root: filepath.Join("testdata", "host"), Now: clock, Docker: dial(t, filepath.Join(t.TempDir(), "none.sock"))})
	if err != nil || got.Engine != nil {
		t.Error(got.Engine, err)
	}
}

func TestAnEngineThatDoesNotAnswerIsAnErrorBesideTheRest(t *testing.T) {
	hang := make(chan struct{})
	docker := socket(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	defer close(hang)
	got, err := Gather(t.Context(), Options{Root: filepath.Join("testdata", "host"), Now: clock, Docker: docker, EngineWithin: 50 * time.Millisecond})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "Docker engine") {
		t.Error(err)
	}
	if got.Engine != nil || got.Hostname != "media1" {
		t.Errorf("%+v", got)
	}
}

func TestWhatIsWrongIsToldBesideTheRest(t *testing.T) {
	root := t.TempDir()
	for path, content := range map[string]string{
		"/proc/sys/kernel/hostname":       "bare\n",
		"/usr/lib/os-release":             "ID=ubuntu\n",
		"/proc/1/stat":                    "1 (init) S 0\n",
		"/proc/sys/kernel/random/boot_id": "x\n",
		"/proc/self/mountinfo":            "rubbish\n",
		"/var/lib/valtctl/host.json":      "{",
	} {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, path), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Gather(t.Context(), Options{Root: root, Now: clock, Full: true})
	if got.Hostname != "bare" || got.OS.ID != "ubuntu" || err == nil {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, want := range []string{"/proc/1/stat", "mounted file systems", "host.json", "installed packages"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %q", want, err)
		}
	}
}

func TestVirtualizationHasSystemdsWords(t *testing.T) {
	for name, c := range map[string]struct{ path, content, want string }{
		"container":   {"/run/systemd/container", "docker\n", "docker"},
		"docker":      {"/.dockerenv", "", "docker"},
		"vmware":      {"/sys/class/dmi/id/sys_vendor", "VMware, Inc.\n", "vmware"},
		"hyper-v":     {"/sys/class/dmi/id/product_name", "Virtual Machine\n", "microsoft"},
		"a real box":  {"/sys/class/dmi/id/product_name", "PowerEdge R650\n", "none"},
		"says little": {"/etc/hostname", "x", "none"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			if err := os.MkdirAll(filepath.Join(root, filepath.Dir(c.path)), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(root, c.path), []byte(c.content), 0o644); err != nil {
				t.Fatal(err)
			}
			if got := (&host{root: root}).virtualization(); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func TestHealthIsTheWordInTheStatus(t *testing.T) {
	for status, want := range map[string]string{
		"Up 2 hours (healthy)": "healthy", "Up 1 second (health: starting)": "starting",
		"Up 9 days (unhealthy)": "unhealthy", "Up 2 hours": "", "Exited (1) 3 days ago": "",
	} {
		if got := health(status); got != want {
			t.Errorf("%q: %q, want %q", status, got, want)
		}
	}
}

func FuzzOSRelease(f *testing.F) {
	f.Add("ID=ubuntu\nVERSION_ID=\"24.04\"\n")
	f.Add("=\n\"\nA='\n")
	f.Fuzz(func(t *testing.T, content string) {
		for name := range osRelease(content) {
			if strings.ContainsAny(name, "\n=") {
				t.Errorf("a name that cannot be: %q", name)
			}
		}
	})
}

func BenchmarkGatherThisMachine(b *testing.B) {
	docker, err := client.NewClientWithOpts(client.WithHost("unix:///var/run/docker.sock"), client.WithAPIVersionNegotiation())
	if err != nil {
		b.Fatal(err)
	}
	defer docker.Close()
	for b.Loop() {
		if _, err := Gather(b.Context(), Options{Docker: docker, Now: clock}); err != nil {
			b.Fatal(err)
		}
	}
}

func TestServersThatChronyAsksWithKeysAreSeen(t *testing.T) {
	root := t.TempDir()
	for file, content := range map[string]string{
		"/etc/chrony/chrony.conf":                        "pool ntp.example iburst\n# server no nts\nserver 1.example iburst nts\n",
		"/etc/chrony/sources.d/ubuntu-ntp-pools.sources": "pool 2.example nts maxsources 1\npool 2.example nts\n",
	} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(root+file), 0o755), os.WriteFile(root+file, []byte(content), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if f, _ := Gather(t.Context(), Options{Root: root, Now: clock}); len(f.Clock.NTS) != 0 || f.Clock.Service != "" {
		t.Errorf("chrony does not run, and asks %v", f.Clock.NTS)
	}
	if err := errors.Join(os.MkdirAll(root+"/run/systemd/units", 0o755), os.Symlink("id", root+"/run/systemd/units/invocation:chrony.service")); err != nil {
		t.Fatal(err)
	}
	for _, program := range []string{"/usr/lib/systemd/systemd-timesyncd", "/usr/sbin/chronyd"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(root+program), 0o755), os.WriteFile(root+program, nil, 0o755)); err != nil {
			t.Fatal(err)
		}
		f, _ := Gather(t.Context(), Options{Root: root, Now: clock})
		if strings.Join(f.Clock.NTS, " ") != "1.example 2.example" || !strings.HasPrefix(filepath.Base(program), f.Clock.Service) || f.Clock.Service == "" {
			t.Errorf("%s: it asks %v", f.Clock.Service, f.Clock.NTS)
		}
	}
}

func TestHostKeysAreToldByTheirFingerprints(t *testing.T) {
	root := t.TempDir()
	const key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJhRoJDAzhRkVvbSmOZpzY4sCWdjDCM2PRlmnQ2JXxQn root@valt\n"
	if err := errors.Join(os.MkdirAll(root+"/etc/ssh", 0o755), os.WriteFile(root+"/etc/ssh/ssh_host_ed25519_key.pub", []byte(key), 0o644)); err != nil {
		t.Fatal(err)
	}
	f, _ := Gather(t.Context(), Options{Root: root, Now: clock}) // the rest is not there
	if len(f.HostKeys) != 1 || !strings.HasPrefix(f.HostKeys[0], "SHA256:") {
		t.Errorf("%q", f.HostKeys)
	}
	if err := os.WriteFile(root+"/etc/ssh/ssh_host_rsa_key.pub", []byte("nonsense\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Gather(t.Context(), Options{Root: root, Now: clock}); err == nil || !strings.Contains(err.Error(), "ssh_host_rsa_key.pub") {
		t.Errorf("a key that cannot be read is %v", err)
	}
}
