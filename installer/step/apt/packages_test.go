package apt

import (
	"errors"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
	"ipivs.com/valtctl/repos/problem"
)

// aptHost is a host whose only source is a repository of these packages, added by
// the apt-source step itself.
func aptHost(t *testing.T, all ...deb) *aptRoot {
	t.Helper()
	r := newAptRoot(t)
	r.repo = newAptRepo(t)
	r.repo.add(all...)
	if err := steptest.MakeStep(t, SourceKind(), r.repo.source()).Apply(t.Context(), r.Machine); err != nil {
		t.Fatal(err)
	}
	return r
}

// wanting makes a packages step; words are "name" or "name=version". It looks at locks often.
func wanting(t *testing.T, words ...string) *packages {
	t.Helper()
	p, err := newPackages(PackagesParams{Packages: wanted(words)}, waiting{locks: 10 * time.Minute, poll: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func wanted(words []string) []PackageWanted {
	var all []PackageWanted
	for _, w := range words {
		name, version, _ := strings.Cut(w, "=")
		all = append(all, PackageWanted{name, version})
	}
	return all
}

// have puts packages on the host before the test.
func (r *aptRoot) have(words ...string) {
	r.T.Helper()
	if err := wanting(r.T, words...).Apply(r.T.Context(), r.Machine); err != nil {
		r.T.Fatal(err)
	}
}

// in runs a program on the host that must succeed.
func (r *aptRoot) in(argv ...string) string {
	r.T.Helper()
	out, err := r.Run(r.T.Context(), step.Command{Argv: argv, Env: Environment()})
	if err != nil {
		r.T.Fatal(err)
	}
	return string(out.Stdout)
}

// version is what dpkg itself says is installed.
func (r *aptRoot) version(name string) string {
	r.T.Helper()
	out, err := r.Run(r.T.Context(), step.Command{Argv: []string{"dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Version}", name}})
	if err != nil {
		return ""
	}
	return string(out.Stdout)
}

// refused applies a step that must not go through, and returns what it says and advises.
func refused(t *testing.T, r *aptRoot, p *packages) string {
	t.Helper()
	err := p.Apply(t.Context(), r.Machine)
	var told *problem.Error
	if !errors.As(err, &told) || told.Fix == "" {
		t.Fatalf("got %v, want a problem with a fix", err)
	}
	return err.Error()
}

func TestPackagesInstallsExactVersionsAndNothingTwice(t *testing.T) {
	t.Parallel()
	r := aptHost(t,
		deb{name: "valt-host", version: "6.4.1-1", files: map[string]string{"/opt/valt": "old"}},
		deb{name: "valt-host", version: "6.4.2-1", files: map[string]string{"/opt/valt": "new"}, fields: "Depends: valt-base (>= 1:2)\n"},
		deb{name: "valt-base", version: "1:2.0", files: map[string]string{"/opt/base": strings.Repeat("x", 100_000)}})
	first := steptest.Settles(t, wanting(t, "valt-host=6.4.1-1"), r.Machine)
	if !strings.Contains(first.Diff, "+ valt-host 6.4.1-1") || r.version("valt-host") != "ii 6.4.1-1" {
		t.Errorf("%s installed after %q", r.version("valt-host"), first.Diff)
	}
	second := steptest.Settles(t, wanting(t, "valt-host=6.4.2-1", "valt-base"), r.Machine)
	for _, want := range []string{"- valt-host 6.4.1-1\n+ valt-host 6.4.2-1\n", "+ valt-base (newest)\n"} {
		if !strings.Contains(second.Diff, want) {
			t.Errorf("the diff lacks %q:\n%s", want, second.Diff)
		}
	}
	if steptest.Content(t, r.Machine, "/opt/valt") != "new" || r.version("valt-base") != "ii 1:2.0" {
		t.Errorf("valt-base is %q", r.version("valt-base"))
	}
	if n := len(r.Runs("update --error-on=any")); n != 1 {
		t.Errorf("the lists were refreshed %d times for the same sources", n)
	}
}

func TestPackagesGivesMaintainerScriptsAnOutput(t *testing.T) {
	t.Parallel()
	// A write to a standard output that is closed fails, and with it the script.
	r := aptHost(t, deb{name: "talkative", version: "1", postinst: "echo to the output\necho to the errors >&2\n"})
	r.have("talkative")
	if got := r.version("talkative"); got != "ii 1" {
		t.Errorf("it is %q", got)
	}
}

func TestPackagesTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	r := aptHost(t, deb{name: "big", version: "1", files: map[string]string{"/opt/big": strings.Repeat("x", 300_000)}})
	r.have("big")
	var bytes, percent bool
	for _, p := range r.Told {
		bytes = bytes || p.Total > 300_000 && p.Done > 0 && p.Done <= p.Total
		percent = percent || strings.Contains(p.Text, "big") && strings.HasSuffix(p.Text, "%)")
	}
	if !bytes || !percent {
		t.Errorf("bytes %v, percent %v in %+v", bytes, percent, r.Told)
	}
}

func TestPackagesAlreadyThereRunsNoProgram(t *testing.T) {
	t.Parallel()
	r := newAptRoot(t)
	steptest.Place(t, r.Machine, dpkgStatus, "Package: chrony\nStatus: install ok installed\nArchitecture: amd64\nVersion: 4.5-1\n")
	found, err := wanting(t, "chrony").Inspect(t.Context(), r.Machine)
	if err != nil || found.Change || len(r.Ran) != 0 {
		t.Errorf("%+v, %v, ran %q", found, err, r.Ran)
	}
}

func TestPackagesLeavesAnInstalledOneAtItsVersion(t *testing.T) {
	t.Parallel()
	r := aptHost(t, deb{name: "chrony", version: "4.5-1"})
	r.have("chrony")
	r.repo.add(deb{name: "chrony", version: "4.6-1"}, deb{name: "nftables", version: "1.0"})
	r.Memo.Delete(listsMemo)
	r.have("chrony", "nftables")
	if r.version("chrony") != "ii 4.5-1" || r.version("nftables") != "ii 1.0" {
		t.Errorf("chrony %s, nftables %s", r.version("chrony"), r.version("nftables"))
	}
}

func TestPackagesRefusesWhatNobodyAskedFor(t *testing.T) {
	t.Parallel()
	r := aptHost(t,
		deb{name: "app", version: "1"}, deb{name: "app", version: "2"}, deb{name: "app", version: "3", fields: "Conflicts: other\n"},
		deb{name: "other", version: "1"})
	r.have("app=2", "other")
	for name, c := range map[string]struct{ ask, want string }{
		"downgrade":        {"app=1", "take app back from 2 to 1"},
		"unlisted removal": {"app=3", "remove other 1"},
		"no such version":  {"app=9", "Version '9' for 'app' was not found"},
	} {
		t.Run(name, func(t *testing.T) {
			if said := refused(t, r, wanting(t, c.ask)); !strings.Contains(said, c.want) {
				t.Errorf("said %q, not %q", said, c.want)
			}
			if r.version("app") != "ii 2" || r.version("other") != "ii 1" {
				t.Error("something was changed all the same")
			}
		})
	}
	r.in("apt-mark", "hold", "app")
	if said := refused(t, r, wanting(t, "app=3")); !strings.Contains(said, "app, which is held") {
		t.Errorf("a held package: %q", said)
	}
	r.in("apt-mark", "unhold", "app")
	p := wanting(t, "app=3")
	p.AllowRemoval = []string{"other"}
	steptest.Settles(t, p, r.Machine)
	if r.version("app") != "ii 3" || strings.HasPrefix(r.version("other"), "i") {
		t.Errorf("a listed removal: app %s, other %s", r.version("app"), r.version("other"))
	}
}

func TestPackagesNeverRemovesWhatIsEssential(t *testing.T) {
	t.Parallel()
	r := aptHost(t, deb{name: "base", version: "1", fields: "Essential: yes\n"})
	r.have("base")
	// apt's own solver does not go this far by itself, so its plan is made up.
	r.Fake["apt-get"] = func([]string) (string, error) { return "Remv base [1]\nInst app (1 x [all])\n", nil }
	p := wanting(t, "app")
	p.AllowRemoval = []string{"base"}
	if said := refused(t, r, p); !strings.Contains(said, "remove base, which is essential") {
		t.Errorf("said %q", said)
	}
}

func TestPackagesOfARunningEngineNeedAStepOfTheEngine(t *testing.T) {
	t.Parallel()
	r := aptHost(t, deb{name: "containerd.io", version: "1"}, deb{name: "containerd.io", version: "2"},
		deb{name: "tool", version: "1", fields: "Depends: containerd.io (>= 2)\n"})
	r.have("containerd.io=1")
	engine := wanting(t, "containerd.io=2")
	engine.Engine = true
	found, err := engine.Inspect(t.Context(), r.Machine)
	if err != nil || found.Disrupts != step.Nothing {
		t.Errorf("no engine runs: %+v, %v", found, err)
	}
	steptest.Place(t, r.Machine, "/run/docker.pid", "4242")
	steptest.Place(t, r.Machine, "/proc/4242/comm", "dockerd\n")
	if found, err = engine.Inspect(t.Context(), r.Machine); err != nil || found.Disrupts != step.Engine {
		t.Errorf("an engine runs: %+v, %v", found, err)
	}
	if said := refused(t, r, wanting(t, "tool")); !strings.Contains(said, "containerd.io, which the running Docker engine needs") {
		t.Errorf("an ordinary step changes the engine: %q", said)
	}
	steptest.Settles(t, engine, r.Machine)
	if found, err = engine.Inspect(t.Context(), r.Machine); err != nil || found.Disrupts != step.Nothing {
		t.Errorf("nothing to change: %+v, %v", found, err)
	}
}

func TestPackagesKeepsChangedConfigurationAndSaysSo(t *testing.T) {
	t.Parallel()
	r := aptHost(t,
		deb{name: "conf", version: "1", files: map[string]string{"/etc/conf": "a\n"}, conffiles: "/etc/conf\n"},
		deb{name: "conf", version: "2", files: map[string]string{"/etc/conf": "b\n"}, conffiles: "/etc/conf\n"})
	r.have("conf=1")
	steptest.Place(t, r.Machine, "/etc/conf", "mine\n")
	p := wanting(t, "conf=2")
	steptest.Settles(t, p, r.Machine)
	if got := steptest.Content(t, r.Machine, "/etc/conf"); got != "mine\n" {
		t.Errorf("the file is %q", got)
	}
	r.have("conf=2")
	if got := steptest.Content(t, r.Machine, "/etc/conf.dpkg-dist"); got != "b\n" {
		t.Errorf("the package's file is %q", got)
	}
}

func TestPackagesNotesWhatAPersonShouldKnow(t *testing.T) {
	t.Parallel()
	r := aptHost(t,
		deb{name: "conf", version: "1", files: map[string]string{"/etc/conf": "a\n"}, conffiles: "/etc/conf\n"},
		deb{name: "conf", version: "2", files: map[string]string{"/etc/conf": "b\n"}, conffiles: "/etc/conf\n",
			postinst: "touch /run/reboot-required; echo linux-image >/run/reboot-required.pkgs\n"})
	r.have("conf=1")
	steptest.Place(t, r.Machine, "/etc/conf", "mine\n")
	p := wanting(t, "conf=2")
	if err := p.Apply(t.Context(), r.Machine); err != nil {
		t.Fatal(err)
	}
	found, err := p.Inspect(t.Context(), r.Machine)
	if err != nil {
		t.Fatal(err)
	}
	notes := strings.Join(found.Notes, "\n")
	for _, want := range []string{"/etc/conf.dpkg-dist: ", "the host asks for a restart: linux-image"} {
		if strings.Count(notes, want) != 1 {
			t.Errorf("the notes lack %q or repeat it:\n%s", want, notes)
		}
	}
}

func TestPackagesTrustsNoFileThatIsNotTheListed(t *testing.T) {
	t.Parallel()
	r := aptHost(t, deb{name: "valt-host", version: "1", files: map[string]string{"/opt/valt": "good"}})
	evil := deb{name: "valt-host", version: "1", files: map[string]string{"/opt/valt": "evil"}}.build(t)
	steptest.Place(t, r.Machine, archives+"/valt-host_1_"+debArch+".deb", readText(t, evil))
	r.have("valt-host=1")
	if got := steptest.Content(t, r.Machine, "/opt/valt"); got != "good" {
		t.Errorf("a planted file was installed: %q", got)
	}
	r.repo.add(deb{name: "valt-host", version: "2", files: map[string]string{"/opt/valt": "good"}})
	r.repo.write("pool/valt-host_2_"+debArch+".deb", []byte(readText(t, evil)))
	r.Memo.Delete(listsMemo)
	refused(t, r, wanting(t, "valt-host=2"))
	if got := r.version("valt-host"); got != "ii 1" {
		t.Errorf("a spoiled mirror gave %s", got)
	}
}

func TestPackagesAcceptsNoStaleOrUnsignedLists(t *testing.T) {
	t.Parallel()
	r := aptHost(t, deb{name: "a1", version: "1"})
	r.have("a1")
	r.repo.write("dists/stable/InRelease", []byte("Origin: nobody\n"))
	r.Memo.Delete(listsMemo)
	if said := refused(t, r, wanting(t, "a2")); !strings.Contains(said, "refreshing apt's lists") {
		t.Errorf("said %q", said)
	}
}

func TestPackagesRefusesNamesThatAreOptions(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "a", "-o", "docker-ce-", "Docker", "a b", "x=1", "a/b", "../x"} {
		if _, err := newPackages(PackagesParams{Packages: []PackageWanted{{Name: name}}}, waiting{}); err == nil {
			t.Errorf("%q was taken for a package", name)
		}
	}
	for _, name := range []string{"docker-ce", "containerd.io", "g++", "libstdc++6", "php8.3-fpm"} {
		if _, err := newPackages(PackagesParams{Packages: []PackageWanted{{Name: name}}}, waiting{}); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := newPackages(PackagesParams{Packages: []PackageWanted{{"docker-ce", "1 2"}}}, waiting{}); err == nil {
		t.Error("a version of two words was taken")
	}
	if _, err := newPackages(PackagesParams{}, waiting{}); err == nil {
		t.Error("a step of no packages was taken")
	}
}
