package survey

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/dns/dnsmessage"
)

func TestControlGroupsAreToldByWhatIsMounted(t *testing.T) {
	const one = "31 30 0:27 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n"
	const two = "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n"
	for mounts, want := range map[string]int{one: 1, two: 2, two + one: 1, one + two: 1} {
		reply := take(t, hostOf(t, programs{}, map[string]string{"/proc/self/mountinfo": mounts, "/proc/cmdline": "ro systemd.unified_cgroup_hierarchy=0 quiet\n"}), Request{})
		if reply.Cgroups.Version != want || !slices.Equal(reply.Cgroups.Asked, []string{"systemd.unified_cgroup_hierarchy=0"}) {
			t.Errorf("%s: %+v", mounts, reply.Cgroups)
		}
	}
	if reply := take(t, hostOf(t, programs{}, map[string]string{"/proc/self/mountinfo": "1 1 8:1 / / rw - ext4 /dev/sda1 rw\n"}), Request{}); reply.Problems[AskCgroups] == "" {
		t.Error("none that can be seen is a version")
	}
}

// process puts one into a host's /proc.
func process(t *testing.T, root, pid, space, program, exe, group, maps string) {
	t.Helper()
	link(t, root, "/proc/"+pid+"/ns/pid", space)
	if exe != "" {
		link(t, root, "/proc/"+pid+"/exe", exe)
	}
	for name, content := range map[string]string{"comm": program + "\n", "cgroup": group, "maps": maps} {
		if err := os.WriteFile(filepath.Join(root, "proc", pid, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestProcessesOnReplacedFilesAreFound(t *testing.T) {
	const code, data = "7f01-7f02 r-xp 00001000 08:01 77 /usr/lib/x86_64-linux-gnu/libssl.so.3", "7f01-7f02 rw-p 00001000 08:01 77 /usr/lib/x86_64-linux-gnu/libssl.so.3"
	e := hostOf(t, programs{}, nil)
	for pid, p := range map[string]struct{ space, program, exe, group, maps string }{
		"2":  {ownProcesses, "kthreadd", "", "0::/\n", ""},
		"10": {ownProcesses, "cron", "/usr/sbin/cron", "0::/system.slice/cron.service\n", code + "\n" + code + " (deleted)\n"},
		"11": {ownProcesses, "dockerd", "/usr/bin/dockerd (deleted)", "12:pids:/x\n1:name=systemd:/docker/ab/system.slice/docker.service\n", ""},
		"12": {ownProcesses, "bash", "/usr/bin/bash", "0::/user.slice/user-1000.slice/session-3.scope\n", code + " (deleted)\n"},
		"13": {ownProcesses, "well", "/usr/bin/well", "0::/system.slice/well.service\n", code + "\n" + data + " (deleted)\n7f-80 r-xp 0 0:1 9 /memfd:jit.so (deleted)\n"},
		"14": {"pid:[4026532999]", "mariadbd", "/usr/sbin/mariadbd (deleted)", "0::/system.slice/docker-ab.scope\n", code + " (deleted)\n"},
		"15": {ownProcesses, "valtctl", "/var/lib/valtctl/agent/x/valtctl (deleted)", "0::/\n", ""},
	} {
		process(t, e.Machine.Root, pid, p.space, p.program, p.exe, p.group, p.maps)
	}
	reply := take(t, e, Request{})
	want := []Outdated{
		{PID: 10, Program: "cron", Unit: "cron.service", File: "/usr/lib/x86_64-linux-gnu/libssl.so.3"},
		{PID: 11, Program: "dockerd", Unit: "docker.service", File: "/usr/bin/dockerd", Whole: true},
		{PID: 12, Program: "bash", Unit: "session-3.scope", File: "/usr/lib/x86_64-linux-gnu/libssl.so.3"},
	}
	if diff := cmp.Diff(want, reply.Outdated); diff != "" || reply.Problems[AskOutdated] != "" {
		t.Error(diff, reply.Problems)
	}
}

// A process that ended while it was looked at is no trouble; one that may not be looked at is.
func TestProcessThatMayNotBeLookedAtIsNoGoodOne(t *testing.T) {
	e := hostOf(t, programs{}, nil)
	process(t, e.Machine.Root, "10", ownProcesses, "cron", "/usr/sbin/cron", "", "")
	if err := os.Remove(filepath.Join(e.Machine.Root, "/proc/10/maps")); err != nil {
		t.Fatal(err)
	}
	if reply := take(t, e, Request{}); reply.Problems[AskOutdated] != "" {
		t.Error(reply.Problems)
	}
	if err := os.Mkdir(filepath.Join(e.Machine.Root, "/proc/10/maps"), 0o755); err != nil { // reading it fails
		t.Fatal(err)
	}
	if reply := take(t, e, Request{}); reply.Problems[AskOutdated] == "" {
		t.Error("nothing is said")
	}
}

// nameServer answers for one name, and says of others that they do not exist; it is silent where told.
func nameServer(t *testing.T, knows string, silent bool) net.Addr {
	t.Helper()
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || silent {
				continue
			}
			m.Response, m.RCode = true, dnsmessage.RCodeNameError
			if q := m.Questions[0]; q.Name.String() == knows+"." {
				m.RCode = dnsmessage.RCodeSuccess
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET},
					Body: &dnsmessage.AResource{A: [4]byte{192, 0, 2, 7}}}}
			}
			if packed, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(packed, from)
			}
		}
	}()
	return conn.LocalAddr()
}

func TestNamesAreAskedForFromInsideAContainer(t *testing.T) {
	for name, c := range map[string]struct {
		silent bool
		names  []string
		failed string
	}{
		"well":            {names: []string{"valt.example"}},
		"a name unknown":  {names: []string{"valt.example", "apt.example"}, failed: "apt.example: it does not exist"},
		"nobody answers":  {silent: true, names: []string{"valt.example"}, failed: "valt.example: no answer comes back"},
		"nobody is asked": {},
	} {
		t.Run(name, func(t *testing.T) {
			server := nameServer(t, "valt.example", c.silent)
			e := hostOf(t, programs{}, map[string]string{"/data/resolv.conf": "nameserver 127.0.0.11\noptions ndots:0\n"})
			withEngine(t, e, map[string]string{
				"/containers/json": `[{"Id":"aa","Names":["/valt-web"],"HostConfig":{"NetworkMode":"valt"},"NetworkSettings":{"Networks":{"valt":{}}}},
					{"Id":"ab","Names":["/valt-db"],"HostConfig":{"NetworkMode":"valt"},"NetworkSettings":{"Networks":{"valt":{}}}},
					{"Id":"ac","Names":["/valt-engine"],"HostConfig":{"NetworkMode":"host"},"NetworkSettings":{"Networks":{"host":{}}}}]`,
				"/containers/aa/json": `{"Id":"aa","State":{"Pid":77},"ResolvConfPath":"/data/resolv.conf"}`,
				"/networks":           `[]`, "/images/json": `[]`,
			})
			var asking sync.Mutex
			var asked []string
			h := &host{Machine: e.Machine, dial: func(ctx context.Context, namespace, network, address string) (net.Conn, error) {
				asking.Lock()
				defer asking.Unlock()
				asked = append(asked, strings.TrimPrefix(namespace, e.Machine.Root)+" "+address)
				return (&net.Dialer{}).DialContext(ctx, network, server.String())
			}}
			fill, err := h.inside(t.Context(), c.names)
			if err != nil {
				t.Fatal(err)
			}
			if len(c.names) == 0 {
				if fill != nil || asked != nil {
					t.Error("somebody is asked without need")
				}
				return
			}
			var reply Reply
			fill(&reply)
			if len(reply.Inside) != 1 || reply.Inside[0].Container != "valt-web" || reply.Inside[0].Network != "valt" || strings.Join(reply.Inside[0].Failed, "; ") != c.failed {
				t.Errorf("%+v", reply.Inside)
			}
			if asked[0] != "/proc/77/ns/net 127.0.0.11:53" {
				t.Errorf("asked %q", asked)
			}
		})
	}
}

// A container that cannot be looked at is not one that resolves.
func TestContainerThatCannotBeEnteredIsAProblem(t *testing.T) {
	e := hostOf(t, programs{}, nil)
	withEngine(t, e, map[string]string{
		"/containers/json": `[{"Id":"aa","Names":["/valt-web"],"HostConfig":{"NetworkMode":"valt"},"NetworkSettings":{"Networks":{"valt":{}}}}]`,
		"/networks":        `[]`, "/images/json": `[]`,
	})
	if reply := take(t, e, Request{Names: []string{"valt.example"}}); reply.Problems[AskInside] == "" || len(reply.Inside) != 0 {
		t.Errorf("%+v %v", reply.Inside, reply.Problems)
	}
}

func TestChronyIsAskedItself(t *testing.T) {
	const synced = "C0A80001,192.168.0.1,3,1780000000.1,0.0001,0.0,0.0,1.0,0.0,0.1,0.01,0.001,64.2,"
	files := map[string]string{"/run/systemd/units/invocation:chrony.service": "", "/etc/chrony/chrony.conf": "pool ntp.example nts iburst\n"}
	for told, want := range map[string]string{synced + "Normal\n": "yes", synced + "Insert second\n": "yes", synced + "Not synchronised\n": "no",
		"506 Cannot talk to daemon\n": "unknown", "fails: not found": "unknown"} {
		reply := take(t, hostOf(t, programs{"chronyc -n -c tracking": told}, files), Request{})
		got := "unknown"
		if is := reply.Time.Synchronized; is != nil {
			got = map[bool]string{true: "yes", false: "no"}[*is]
		}
		if got != want || (want == "unknown") != (reply.Problems[AskTime] != "") || reply.Time.Name != "chrony" {
			t.Errorf("%q: %s, %v", told, got, reply.Problems)
		}
	}
}
