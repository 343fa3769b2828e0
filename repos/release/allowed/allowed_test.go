package allowed

import (
	"path"
	"strings"
	"testing"
)

func TestPathsHaveOneName(t *testing.T) {
	for p, want := range map[string]string{
		"/": "/", "//etc///passwd": "/etc/passwd", "/var/lib/valt/../../../etc": "/etc", "/..": "/",
		"/var/run/docker.sock": "/run/docker.sock", "/var/./run": "/run", "/var/running": "/var/running", "/bin/sh": "/usr/bin/sh",
		"/proc/1/root": "/", "/proc/self/root/etc": "/etc", "/proc/1/cwd/x": "/x", "/proc/1/task/1/root/var/run/x": "/run/x",
		"/proc/self/root/proc/1/root/etc": "/etc", "/proc/1/environ": "/proc/1/environ", "/proc/1": "/proc/1", "/dev/fd/3": "/proc/self/fd/3",
	} {
		if got := Plain(p); got != want {
			t.Errorf("%s is %s, want %s", p, got, want)
		}
	}
}

func TestTheSitesOwnChoicesCount(t *testing.T) {
	site := Site{Recordings: "/mnt/disk", Programs: []string{"/var/lib/valt/page"}}
	for _, test := range []struct {
		use  Use
		path string
		ok   bool
	}{
		{Bind, "/mnt/disk", true}, {Bind, "/mnt/disk/recordings", true}, {ReadBind, "/mnt/disk/x", true},
		{Bind, "/mnt/disk2", false}, {Bind, "/mnt", false}, {File, "/mnt/disk/x", false}, {Secret, "/mnt/disk/x", false},
		{Bind, "/var/lib/valt/page", false}, {Bind, "/var/lib/valt", false}, {File, "/var/lib/valt/page", false}, {Bind, "/var/lib/valt/pages", true},
	} {
		if err := site.Path(test.use, test.path); (err == nil) != test.ok {
			t.Errorf("use %d of %s: %v", test.use, test.path, err)
		}
	}
	if (Site{}).Path(Bind, "/mnt/disk") == nil || (Site{Recordings: "/"}).Path(Bind, "/") == nil {
		t.Error("what no site has chosen is allowed")
	}
}

func TestEveryRefusalSaysWhatToWrite(t *testing.T) {
	var all []error
	for use := Bind; use <= SiteFile; use++ {
		all = append(all, Site{}.Path(use, "/etc"), Site{}.Path(use, "x"), Site{}.Path(use, "~"), Site{}.Path(use, "/etc/../etc/valt/x"), Site{}.Path(use, "/\n"))
	}
	all = append(all, Capability("X"), Dropped("-"), Device("/dev/sda"), DevicePermissions("x"), DeviceRule("a"), LogDriver("x"), LogOption("x", ""),
		Sysctl("x", "1", false), Sysctl("net.core.somaxconn", "a b", false), SecurityOption("x"), Target("x", ""), Target("/proc", ""), Propagation("x"), Tmpfs("/x", "suid"),
		ExtraHost("a", "b"), HostAddress("x"), User("-"), Group("docker"), Label("com.docker.x"), Label("-"), Ulimit("x", 1, 1), Ulimit("nofile", 2, 1), NetworkMode("x"),
		Subnet("0.0.0.0/0"), Subnet("10.0.0.1/24"), Port(22), ControlPort(22), Archive("x"), Keyring("x"), Replaced("x"), Suite("-x"), Package("x-"), Repository("x"), HealthURL("x"),
		HealthAt("x"), Mode("7777"), Mode("0002"), Owner("/etc/valt", 1, 0, "0755"))
	for i, err := range all {
		if err == nil {
			t.Errorf("number %d is allowed", i)
		} else if !Refused(err) || Instead(err) == "" {
			t.Errorf("%v: says nothing to do", err)
		}
	}
}

// Whatever path is taken is below a folder that is listed, by whatever name it was asked for.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{"/var/lib/valt/x", "/proc/1/root/etc", "//", "/var/run/../run/valt/x", "/srv/valt/../../etc"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, p string) {
		if (Site{Recordings: "/srv/valt"}).Path(Bind, p) != nil {
			return
		}
		if path.Clean(p) != p || !path.IsAbs(p) {
			t.Errorf("%q was taken", p)
		}
		for _, place := range append(own(), USB, "/srv/valt") {
			if p == place || strings.HasPrefix(p, place+"/") {
				return
			}
		}
		t.Errorf("%q was taken", p)
	})
}
