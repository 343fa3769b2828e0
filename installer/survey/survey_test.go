package survey

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/apt"
	"ipivs.com/valtctl/repos/testneeds"
)

func noted() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// programs answers for programs by their first arguments: "apt-config dump Acquire".
type programs map[string]string

func (p programs) Run(_ context.Context, c step.Command) (step.Output, error) {
	line := strings.Join(c.Argv, " ")
	for start, text := range p {
		if !strings.HasPrefix(line, start) {
			continue
		}
		if why, failed := strings.CutPrefix(text, "fails: "); failed {
			return step.Output{Code: 100, Stderr: []byte(why)}, fmt.Errorf("running %s: exit status 100: %s", c.Argv[0], why)
		}
		return step.Output{Stdout: []byte(text)}, nil
	}
	return step.Output{}, nil
}

// hostOf is a host in a folder, with these files.
func hostOf(t *testing.T, run step.Runner, files map[string]string) Env {
	t.Helper()
	root, err := os.MkdirTemp("", "survey") // short enough for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(root) })
	put := map[string]string{"/etc/os-release": "ID=ubuntu\nVERSION_ID=\"24.04\"\n", "/proc/net/tcp": "", "/proc/net/route": "", "/var/lib/dpkg/status": "",
		"/proc/self/mountinfo": "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"}
	for path, content := range files {
		put[path] = content
	}
	for path, content := range put {
		at := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link(t, root, "/proc/self/ns/pid", ownProcesses)
	return Env{Machine: &step.Machine{Root: root, Run: run, Now: noted}, Within: 30 * time.Second}
}

// ownProcesses is the namespace of a host's own processes.
const ownProcesses = "pid:[4026531836]"

// link makes one of the links that the kernel shows.
func link(t *testing.T, root, at, to string) {
	t.Helper()
	at = filepath.Join(root, at)
	if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.Symlink(to, at)); err != nil {
		t.Fatal(err)
	}
}

func take(t *testing.T, e Env, r Request) Reply {
	t.Helper()
	reply, err := Take(t.Context(), e, r)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

func TestRealMachineAnswersEveryQuestionAndKeepsNothing(t *testing.T) {
	testneeds.Of(t, testneeds.Root, testneeds.Program("apt-get", "apt"))
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	folder := t.TempDir()
	reply := take(t, Env{Machine: &step.Machine{Run: step.Exec{}, Now: time.Now}, Within: time.Minute},
		Request{Folders: []string{folder, folder + "/not/there"}, Certificates: []string{folder + "/none.pem"}})
	if strings.Contains(reply.Problems[AskOutdated], "permission denied") {
		delete(reply.Problems, AskOutdated) // where tests run process 1 may be out of root's reach
	}
	if len(reply.Problems) > 0 {
		t.Errorf("problems: %v", reply.Problems)
	}
	port := uint16(listener.Addr().(*net.TCPAddr).Port)
	at := slices.IndexFunc(reply.Listeners, func(l Listener) bool { return l.Port == port })
	if at < 0 {
		t.Fatalf("our own listener on %d is not seen", port)
	}
	if l := reply.Listeners[at]; l.PID != os.Getpid() || l.Program == "" || !l.Address.IsLoopback() || l.Protocol != "tcp" {
		t.Errorf("our own listener is told as %+v", l)
	}
	ignoring := take(t, Env{Machine: &step.Machine{Run: step.Exec{}, Now: time.Now}, Within: time.Minute, Ignore: os.Getpid()}, Request{})
	if slices.ContainsFunc(ignoring.Listeners, func(l Listener) bool { return l.Port == port }) {
		t.Error("a listener of the process that does not count is told")
	}
	if len(reply.Inodes) != 2 || reply.Inodes[0].Total != reply.Inodes[1].Total {
		t.Errorf("inodes %+v", reply.Inodes)
	}
	if len(reply.Certificates) != 1 || !reply.Certificates[0].Missing {
		t.Errorf("certificates %+v", reply.Certificates)
	}
	if len(reply.Resolvers) == 0 {
		t.Error("no name server is seen")
	}
}

func TestSettingsOfAHost(t *testing.T) {
	reply := take(t, hostOf(t, programs{
		"chronyc -n -c tracking":  "C0A80001,192.168.0.1,3,1780000000.1,0.0001,0.0,0.0,1.0,0.0,0.1,0.01,0.001,64.2,Normal\n",
		"apt-config dump Acquire": "Acquire::http::Proxy \"http://user:secret@proxy:3128/\";\nAcquire::http::Proxy::127.0.0.1 \"DIRECT\";\n",
		"apt-config dump APT::Periodic": "APT::Periodic::Unattended-Upgrade \"1\";\nUnattended-Upgrade::Automatic-Reboot \"true\";\nUnattended-Upgrade::Automatic-Reboot-Time \"02:00\";\n" +
			"Unattended-Upgrade::Package-Blacklist \"\";\nUnattended-Upgrade::Package-Blacklist:: \"docker\";\nUnattended-Upgrade::Package-Blacklist:: \"run\";\n",
	}, map[string]string{
		"/run/reboot-required":                            "*** System restart required ***\n",
		"/run/reboot-required.pkgs":                       "linux-image\nlibc6\nlinux-image\n",
		"/etc/ufw/ufw.conf":                               "# on?\nENABLED=yes\n",
		"/usr/sbin/ufw":                                   "",
		"/etc/environment":                                "PATH=\"/usr/bin\"\nhttps_proxy=\"http://proxy:3128\"\n",
		"/run/systemd/resolve/resolv.conf":                "nameserver 10.0.0.53\nnameserver 10.0.0.54\nsearch example\n",
		"/etc/resolv.conf":                                "nameserver 127.0.0.53\n",
		"/etc/chrony/chrony.conf":                         "pool ntp.ubuntu.com iburst\n# server no\n",
		"/etc/chrony/sources.d/a.sources":                 "server 10.0.0.1 iburst\n",
		"/run/systemd/units/invocation:chrony.service":    "",
		"/run/systemd/units/invocation:firewalld.service": "",
		"/etc/systemd/system/docker.service.d/proxy.conf": "[Service]\nEnvironment=\"HTTP_PROXY=http://old:8080\"\n",
	}), Request{})
	if len(reply.Problems) > 0 {
		t.Errorf("problems: %v", reply.Problems)
	}
	if is := reply.Time.Synchronized; is == nil || !*is {
		t.Error("chrony is not believed")
	}
	reply.Time.Synchronized = nil
	got := []any{reply.Reboot, reply.Firewalls, reply.Proxies, reply.Resolvers, reply.Time, reply.Support.Until.Year(), reply.Support.LTS}
	want := []any{Reboot{Required: true, Packages: []string{"libc6", "linux-image"}, Automatic: true, At: "02:00", Engine: []string{"containerd.io", "containerd"}}, []string{"ufw", "firewalld"},
		[]Proxy{{"apt", "http://proxy:3128"}, {"/etc/environment", "http://proxy:3128"}, {"/etc/systemd/system/docker.service.d/proxy.conf", "http://old:8080"}},
		[]string{"10.0.0.53", "10.0.0.54"}, TimeService{Name: "chrony", Servers: []string{"ntp.ubuntu.com", "10.0.0.1"}}, 2029, true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestQuestionThatFailsLeavesTheOthers(t *testing.T) {
	e := hostOf(t, programs{"apt-config": "fails: no such program"}, map[string]string{"/etc/resolv.conf": "nameserver 10.0.0.53\n", "/run/reboot-required": ""})
	if err := os.Remove(e.Machine.Root + "/proc/net/route"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(e.Machine.Root+"/proc/net/route", 0o755); err != nil {
		t.Fatal(err)
	}
	reply := take(t, e, Request{})
	for _, q := range []Question{AskRoutes, AskReboot, AskProxy, AskSources} {
		if reply.Problems[q] == "" {
			t.Errorf("nothing is said of %s", q)
		}
	}
	if len(reply.Problems) != 4 || !reply.Reboot.Required || len(reply.Resolvers) != 1 {
		t.Errorf("%+v", reply)
	}
}

// stuck is a program that never ends.
type stuck struct{}

func (stuck) Run(ctx context.Context, _ step.Command) (step.Output, error) {
	<-ctx.Done()
	time.Sleep(time.Millisecond) // its end is not waited for
	return step.Output{Code: -1}, ctx.Err()
}

func TestProgramThatNeverEndsIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := hostOf(t, stuck{}, map[string]string{"/etc/resolv.conf": "nameserver 10.0.0.53\n"})
		reply := take(t, e, Request{})
		if reply.Problems[AskPackages] == "" || len(reply.Resolvers) != 1 {
			t.Errorf("%+v", reply)
		}
		time.Sleep(time.Second) // the programs end at last
	})
}

func TestSurveyNeedsAMachine(t *testing.T) {
	if _, err := Take(t.Context(), Env{}, Request{}); err == nil {
		t.Error("a survey of nothing is answered")
	}
}

func TestDownloadIsReckonedAlsoWhereAListIsOld(t *testing.T) {
	argv := strings.Join(apt.Question("--print-uris", "-y", "--allow-downgrades", "install"), " ")
	reply := take(t, hostOf(t, programs{
		argv + " valt-host=2":        "fails: E: Version '2' for 'valt-host' was not found",
		argv + " valt-host nftables": "'http://a/valt-host_1_all.deb' valt-host_1_all.deb 1000 SHA256:aa\n'http://a/nftables_1.deb' nftables_1_amd64.deb 500 \n",
		"apt-cache":                  " valt-host | 1 | http://a noble/main amd64 Packages\n  nftables | 1.0.9-1 | http://a noble/main amd64 Packages\n",
	}, nil), Request{Packages: []string{"valt-host=2", "nftables", "nosuch"}})
	want := &Download{Bytes: 1500, Packages: []string{"valt-host_1_all", "nftables_1_amd64"}, Unknown: []string{"valt-host=2", "nosuch"}}
	if diff := cmp.Diff(want, reply.Download); diff != "" {
		t.Error(diff, reply.Problems)
	}
}

// withEngine serves a Docker engine below the host's root.
func withEngine(t *testing.T, e Env, answers map[string]string) {
	t.Helper()
	path := filepath.Join(e.Machine.Root, "/var/run/docker.sock")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Api-Version", "1.41")
		for end, text := range answers {
			if strings.HasSuffix(r.URL.Path, end) {
				fmt.Fprint(w, text)
				return
			}
		}
		if !strings.HasSuffix(r.URL.Path, "/_ping") {
			http.Error(w, `{"message":"broken"}`, http.StatusInternalServerError)
		}
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
}

const tableHead = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

// listening is a line of /proc/net/tcp for 0.0.0.0 and a port in hex.
func listening(port string) string {
	return "   0: 00000000:" + port + " 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0\n"
}

func TestPortsOfContainersAreTheContainers(t *testing.T) {
	id := strings.Repeat("ab", 32)
	e := hostOf(t, programs{}, map[string]string{
		"/proc/net/tcp": tableHead + listening("01BB") + listening("1F97"),
		"/proc/net/udp": tableHead + strings.Replace(listening("0035"), " 0A ", " 07 ", 1),
		"/proc/77/comm": "java\n", "/proc/77/cgroup": "0::/system.slice/docker-" + id + ".scope\n",
		"/proc/net/route": "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n" +
			"ens3\t00000000\t0104000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\nens3\t0004000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n",
	})
	if err := errors.Join(os.MkdirAll(e.Machine.Root+"/proc/77/fd", 0o755), os.Symlink("socket:[4711]", e.Machine.Root+"/proc/77/fd/3")); err != nil {
		t.Fatal(err)
	}
	withEngine(t, e, map[string]string{
		"/containers/json": `[{"Id":"` + id + `","Names":["/valt-engine"],"Labels":{"com.ipivs.valtctl.site":"st-marys"},"Ports":[]},
			{"Id":"cd","Names":["/wiki"],"Labels":{},"Ports":[{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":9090,"Type":"tcp"}]}]`,
		"/networks":    `[{"Name":"bridge","IPAM":{"Config":[{"Subnet":"172.17.0.0/16"}]}},{"Name":"none","IPAM":{"Config":[]}}]`,
		"/images/json": `[{"Id":"sha256:aa"},{"Id":"sha256:bb"}]`,
		"/info":        `{"DriverStatus":[["Backing Filesystem","extfs"]]}`,
	})
	reply := take(t, e, Request{})
	if len(reply.Problems) > 0 {
		t.Errorf("problems: %v", reply.Problems)
	}
	var told []string
	for _, l := range reply.Listeners {
		told = append(told, fmt.Sprintf("%s/%d %s %q %s %s", l.Protocol, l.Port, l.Address, l.Program, l.Container, l.Site))
	}
	want := []string{`tcp/443 0.0.0.0 "java" valt-engine st-marys`, `tcp/8087 0.0.0.0 "java" valt-engine st-marys`, `udp/53 0.0.0.0 "java" valt-engine st-marys`, `tcp/9090 0.0.0.0 "" wiki `}
	if !slices.Equal(told, want) {
		t.Errorf("listeners %q", told)
	}
	subnets := fmt.Sprint(reply.Subnets)
	for _, want := range []string{"{10.0.4.0/24 ens3  }", "{172.17.0.0/16  bridge }"} {
		if !strings.Contains(subnets, want) || len(reply.Subnets) != 2 {
			t.Errorf("subnets %s", subnets)
		}
	}
	if !slices.Equal(reply.Images, []string{"sha256:aa", "sha256:bb"}) {
		t.Errorf("images %v", reply.Images)
	}
}

func TestBrokenEngineIsAProblemAndNoEngineIsNone(t *testing.T) {
	e := hostOf(t, programs{}, nil)
	if reply := take(t, e, Request{}); len(reply.Problems) > 0 {
		t.Errorf("without an engine: %v", reply.Problems)
	}
	withEngine(t, e, nil)
	reply := take(t, e, Request{})
	for _, q := range []Question{AskListeners, AskNetworks, AskImages} {
		if !strings.Contains(reply.Problems[q], "broken") {
			t.Errorf("%s: %q", q, reply.Problems[q])
		}
	}
}
