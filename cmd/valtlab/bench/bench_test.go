package bench

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"ipivs.com/valtctl/cmd/valtlab/scenario/cases"
)

const aSite = `site: practice
name: valt.lab.example
hosts:
- name: app1
  address: 10.123.0.10
  roles: [app]
- name: media1
  address: 10.123.0.21
  roles: [media]
  cameras: [10.123.0.101]
ssh:
  user: valt
  identity: id_ed25519
`

func seconds(all ...float64) []time.Duration {
	var list []time.Duration
	for _, s := range all {
		list = append(list, time.Duration(s*float64(time.Second)))
	}
	return list
}

func TestMedianIsNotMovedByOneSlowRun(t *testing.T) {
	for _, c := range []struct {
		all  []time.Duration
		want time.Duration
	}{
		{nil, 0},
		{seconds(3), 3 * time.Second},
		{seconds(9, 1, 2), 2 * time.Second},
		{seconds(100, 1, 2, 4), 3 * time.Second},
	} {
		if got := median(c.all); got != c.want {
			t.Errorf("median(%v) = %v, want %v", c.all, got, c.want)
		}
	}
}

func TestVerdict(t *testing.T) {
	fast := speed{ansible: seconds(50), valtctl: seconds(1)}
	for _, c := range []struct {
		name  string
		speed speed
		trips map[string]int
		want  []string // in the error; none: it holds
	}{
		{"just fast and near enough", fast, map[string]int{"app1": 15}, nil},
		{"too slow", speed{ansible: seconds(49), valtctl: seconds(1)}, map[string]int{"app1": 1}, []string{"49.0 times"}},
		{"too many round trips", fast, map[string]int{"app1": 15, "media1": 16}, []string{"16 round trips to media1"}},
		{"both", speed{ansible: seconds(1), valtctl: seconds(1)}, map[string]int{"app1": 20}, []string{"1.0 times", "20 round trips to app1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := verdict(c.speed, far{trips: c.trips})
			if (err == nil) != (c.want == nil) {
				t.Fatalf("verdict: %v", err)
			}
			for _, part := range c.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

func TestVerdictOfBundles(t *testing.T) {
	good := files{bytes: 1e9, openssl: time.Second, verify: 1250 * time.Millisecond, verifyAll: time.Second, create: 1300 * time.Millisecond, copied: time.Second}
	for name, c := range map[string]struct {
		change func(f *files, c *cases.Carry)
		want   string // in the error; none: it holds
	}{
		"just good enough":             {func(*files, *cases.Carry) {}, ""},
		"slow to verify":               {func(f *files, _ *cases.Carry) { f.openssl = 900 * time.Millisecond }, "0.72 times as fast as openssl"},
		"no faster with two":           {func(f *files, _ *cases.Carry) { f.verifyAll = f.verify }, "1.00 times as fast as with one"},
		"slow to make":                 {func(f *files, _ *cases.Carry) { f.create = 2 * time.Second }, "2.00 times as long as copying"},
		"more of the disk than lacked": {func(_ *files, c *cases.Carry) { c.Peak = 300 }, "3.00 times the disk"},
	} {
		f, carry := good, cases.Carry{Images: 3, Peak: 110, Lacked: 100, Kept: 12, OnlinePeak: 105}
		c.change(&f, &carry)
		err := judgeCarry(f, carry)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		var out strings.Builder
		if err := writeCarry(&out, f, carry); err != nil || !strings.Contains(out.String(), "docker save | gzip | ssh | docker load") || c.want == "" && !strings.Contains(out.String(), "without them it is 1.25 times") {
			t.Errorf("%s: %v: %s", name, err, out.String())
		}
	}
}

func TestInstallsAreSpreadOverTheRounds(t *testing.T) {
	sum := 0
	for round := range 3 {
		n := share(10, 3, round)
		if n < 3 || n > 4 {
			t.Errorf("round %d has %d of 10", round, n)
		}
		sum += n
	}
	if sum != 10 {
		t.Errorf("%d in all, want 10", sum)
	}
}

func TestRecap(t *testing.T) {
	const good = "PLAY RECAP ****\napp1    : ok=34   changed=0    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0\n" +
		"media1  : ok=28   changed=0    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0\n"
	tasks, err := parseRecap(good)
	if err != nil || !maps.Equal(tasks, map[string]int{"app1": 33, "media1": 27}) {
		t.Errorf("parseRecap: %v, %v", tasks, err)
	}
	for name, bad := range map[string]string{
		"changed": strings.Replace(good, "changed=0", "changed=1", 1),
		"failed":  strings.Replace(good, "failed=0", "failed=2", 1),
		"skipped": strings.Replace(good, "skipped=0", "skipped=1", 1),
		"no play": "ERROR! the playbook could not be found\n",
	} {
		if tasks, err := parseRecap(bad); err == nil {
			t.Errorf("%s: counted as %v", name, tasks)
		}
	}
}

func TestStepsAreReadFromTheProduct(t *testing.T) {
	steps, err := parseSteps([]byte(`{"kind":"install","result":{"hosts":[{"host":"app1","steps":33},{"host":"media1","steps":27}]}}`))
	if err != nil || !maps.Equal(steps, map[string]int{"app1": 33, "media1": 27}) {
		t.Errorf("parseSteps: %v, %v", steps, err)
	}
	if _, err := parseSteps([]byte("installed")); err == nil {
		t.Error("text was read as JSON")
	}
	hosts := []host{{Name: "app1"}}
	if err := sameWork(hosts, map[string]int{"app1": 32}, steps); err == nil || !strings.Contains(err.Error(), "32 tasks and the plan 33") {
		t.Errorf("a task that is missing was not told: %v", err)
	}
}

// TestPlaybookNamesWhatIsCollected keeps the playbook and the collected state together:
// a file that is compared and not there would fail far from here.
func TestPlaybookNamesWhatIsCollected(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join("..", "..", "..", "testdata", "bench", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for _, role := range []string{"app", "media"} {
		plays := read("site.yaml") + read(role+".yaml")
		for _, file := range wantedOf(role).files {
			if !strings.Contains(plays, file) {
				t.Errorf("%s: nothing compares %s", role, file)
			}
		}
		for _, service := range wantedOf(role).services {
			if !strings.Contains(plays, "container/"+service) {
				t.Errorf("%s: nothing looks at the container of %s", role, service)
			}
		}
	}
}

func TestDistantSiteKeepsItsAddresses(t *testing.T) {
	changed, err := withPorts([]byte(aSite), map[string]int{"app1": 4001, "media1": 4002})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Name  string
		Hosts []struct {
			Name, Address string
			Cameras       []string
			SSH           struct{ Port int }
		}
	}
	if err := yaml.Unmarshal(changed, &got); err != nil {
		t.Fatal(err)
	}
	if got.Name != "valt.lab.example" || len(got.Hosts) != 2 {
		t.Fatalf("something else changed: %s", changed)
	}
	if h := got.Hosts[1]; h.Address != "10.123.0.21" || h.SSH.Port != 4002 || len(h.Cameras) != 1 {
		t.Errorf("media1 became %+v", h)
	}
}

func TestSSHFindsTheRelays(t *testing.T) {
	hosts := []host{{Name: "app1", Address: "10.123.0.10"}, {Name: "media1", Address: "10.123.0.21"}}
	config := farConfig(hosts)
	if want := "Host 10.123.0.21\n  HostName 127.0.0.1\n"; !strings.Contains(config, want) {
		t.Errorf("%q lacks %q", config, want)
	}
	known := "10.123.0.10,app1 ssh-ed25519 AAAA\n10.123.0.21,media1 ssh-ed25519 BBBB\n10.123.0.150,extra ssh-ed25519 CCCC\n"
	want := "[127.0.0.1]:4001 ssh-ed25519 AAAA\n[127.0.0.1]:4002 ssh-ed25519 BBBB\n"
	if got := farKeys(known, hosts, map[string]int{"app1": 4001, "media1": 4002}); got != want {
		t.Errorf("known_hosts is %q, want %q", got, want)
	}
}

func TestReportTellsWhatWasMeasured(t *testing.T) {
	var out strings.Builder
	err := writeReport(&out, speed{ansible: seconds(30, 32, 31), valtctl: seconds(0.5, 0.4, 0.6),
		tasks: map[string]int{"app1": 33, "media1": 27}, steps: map[string]int{"app1": 33, "media1": 27}},
		far{took: 1500 * time.Millisecond, trips: map[string]int{"app1": 12}})
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"60 tasks", "60 steps", "31.000 s", "0.500 s", "62.0", "80 ms", "round trips to app1, connection included: 12"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("the report does not say %q:\n%s", part, out.String())
		}
	}
}

func TestSiteFileIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), siteName)
	if err := os.WriteFile(path, []byte(aSite), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := readSite(path)
	if err != nil || s.Name != "valt.lab.example" || s.SSH.User != "valt" || len(s.Hosts) != 2 || s.Hosts[0].Roles[0] != "app" {
		t.Errorf("readSite: %+v, %v", s, err)
	}
	if _, err := readHosts(filepath.Join(t.TempDir(), siteName)); err == nil || !strings.Contains(err.Error(), "valtlab up") {
		t.Errorf("a lab that is not up is told as %v", err)
	}
}
