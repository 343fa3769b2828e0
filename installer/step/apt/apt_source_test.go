package apt

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/step/files"
	"ipivs.com/valtctl/installer/step/steptest"
	"ipivs.com/valtctl/repos/testneeds"
)

const ubuntuDefault = "Types: deb\nURIs: http://us.archive.ubuntu.com/ubuntu\nSuites: noble\nComponents: main\nSigned-By: /usr/share/keyrings/ubuntu-archive-keyring.gpg\n"

func ubuntuSource() SourceParams {
	return SourceParams{
		Name: "ubuntu", URI: "http://mirror.example/ubuntu", Suites: []string{"noble", "noble-updates"}, Components: []string{"main"},
		Keyring:  "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
		Replaces: []string{"/etc/apt/sources.list.d/ubuntu.sources", "/etc/apt/sources.list", "/etc/apt/sources.list.d/old.list"},
	}
}

func TestAptSourceReplacesTheDefaultsAndKeepsWhatTheyHeld(t *testing.T) {
	t.Parallel()
	h := steptest.RootMachine(t, nil)
	steptest.Place(t, h, "/usr/share/keyrings/ubuntu-archive-keyring.gpg", "k")
	steptest.Place(t, h, "/etc/apt/sources.list.d/ubuntu.sources", ubuntuDefault)
	steptest.Place(t, h, "/etc/apt/sources.list", "# old\ndeb http://us.archive.ubuntu.com/ubuntu noble main\n")
	steptest.Place(t, h, "/etc/apt/sources.list.d/old.list", "deb http://old.example/ x main\n")
	s := steptest.MakeStep(t, SourceKind(), ubuntuSource())
	found := steptest.Settles(t, s, h)
	for _, want := range []string{"-URIs: http://us.archive", "+URIs: http://mirror.example/ubuntu", "-deb http://us.archive", "-deb http://old.example"} {
		if !strings.Contains(found.Diff, want) {
			t.Errorf("the diff lacks %q:\n%s", want, found.Diff)
		}
	}
	if got := steptest.Content(t, h, "/etc/apt/sources.list.d/ubuntu.sources.valtctl.save"); got != ubuntuDefault {
		t.Errorf("saved %q", got)
	}
	if got := steptest.Content(t, h, "/etc/apt/sources.list.valtctl.save"); !strings.Contains(got, "deb http://us.archive") {
		t.Errorf("saved %q", got)
	}
	if strings.Contains(steptest.Content(t, h, "/etc/apt/sources.list"), "\ndeb") {
		t.Error("sources.list still lists something")
	}
	if _, err := os.Stat(h.Path("/etc/apt/sources.list.d/old.list")); err == nil {
		t.Error("old.list is still there")
	}

	// A package's upgrade brings a default back, first the same and then another.
	for _, back := range []string{ubuntuDefault, ubuntuDefault + "# new\n"} {
		steptest.Place(t, h, "/etc/apt/sources.list.d/ubuntu.sources", back)
		steptest.Settles(t, s, h)
	}
	if steptest.Content(t, h, "/etc/apt/sources.list.d/ubuntu.sources.valtctl.save") != ubuntuDefault ||
		!strings.HasSuffix(steptest.Content(t, h, "/etc/apt/sources.list.d/ubuntu.sources.2.valtctl.save"), "# new\n") {
		t.Error("what was saved first was lost")
	}

	// An older source of ours is no default of anybody.
	moved := ubuntuSource()
	moved.URI = "http://other.example/ubuntu"
	steptest.Settles(t, steptest.MakeStep(t, SourceKind(), moved), h)
	if _, err := os.Stat(h.Path("/etc/apt/sources.list.d/ubuntu.sources.3.valtctl.save")); err == nil {
		t.Error("our own file was kept as somebody's")
	}
}

func TestAptSourceShowsTheKeyByItsFingerprint(t *testing.T) {
	t.Parallel()
	h := steptest.RootMachine(t, nil)
	one, two := newAptRepo(t), newAptRepo(t)
	p := one.source()
	found := steptest.Settles(t, steptest.MakeStep(t, SourceKind(), p), h)
	if !strings.Contains(found.Diff, "+ /etc/apt/keyrings/practice.gpg key ") {
		t.Errorf("diff:\n%s", found.Diff)
	}
	p.Key = two.armoured()
	found = steptest.Settles(t, steptest.MakeStep(t, SourceKind(), p), h)
	if !strings.Contains(found.Diff, "- /etc/apt/keyrings/practice.gpg key ") || steptest.Mode(t, h, "/etc/apt/keyrings/practice.gpg") != 0o644 {
		t.Errorf("diff:\n%s", found.Diff)
	}
}

func TestAptSourceNotesAnotherFileWithTheSameAddress(t *testing.T) {
	t.Parallel()
	h := steptest.RootMachine(t, nil)
	steptest.Place(t, h, "/etc/apt/sources.list.d/mirror.list", "deb [signed-by=/x.gpg] http://mirror.example/ubuntu/ noble main\n")
	steptest.Place(t, h, "/etc/apt/sources.list.d/comment.list", "# deb http://mirror.example/ubuntu noble main\n")
	steptest.Place(t, h, ubuntuSource().Keyring, "keys")
	s := steptest.MakeStep(t, SourceKind(), ubuntuSource())
	if first := steptest.Settles(t, s, h); len(first.Notes) != 0 {
		t.Errorf("noted before it is known what other steps replace: %q", first.Notes)
	}
	found, err := s.Inspect(t.Context(), h)
	if err != nil || len(found.Notes) != 1 || !strings.Contains(found.Notes[0], "mirror.list") {
		t.Errorf("%q, %v", found.Notes, err)
	}
}

func TestAptSourceNeedsItsKeyring(t *testing.T) {
	t.Parallel()
	if err := steptest.MakeStep(t, SourceKind(), ubuntuSource()).Apply(t.Context(), steptest.RootMachine(t, nil)); err == nil || !strings.Contains(err.Error(), "ubuntu-archive-keyring") {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*SourceParams){
		"neither key":       func(p *SourceParams) { p.Keyring = "" },
		"both keys":         func(p *SourceParams) { p.Key = "x" },
		"a climbing name":   func(p *SourceParams) { p.Name = "../x" },
		"replacing a file":  func(p *SourceParams) { p.Replaces = []string{"/etc/passwd"} },
		"an address of two": func(p *SourceParams) { p.URI = "http://x y" },
	} {
		p := ubuntuSource()
		spoil(&p)
		if _, err := newAptSource(p); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestQuietFilesAreUnderstoodByTheirPrograms(t *testing.T) {
	testneeds.Of(t, testneeds.Program("perl", "perl"), testneeds.Program("apt-config", "apt"))
	t.Parallel()
	h := steptest.RootMachine(t, nil)
	for _, f := range QuietFiles() {
		steptest.Settles(t, steptest.MakeStep(t, files.FileKind(), f), h)
	}
	if out, err := exec.Command("perl", "-Mstrict", "-e", "our %nrconf; eval do { local(@ARGV, $/) = shift; <> }; die $@ if $@; print grep { 'docker.service' =~ /$_/ } keys %{$nrconf{override_rc}}",
		h.Path("/etc/needrestart/conf.d/valtctl.conf")).CombinedOutput(); err != nil || len(out) == 0 {
		t.Errorf("needrestart's settings: %v\n%s", err, out)
	}
	out, err := exec.Command("apt-config", "-c", h.Path("/etc/apt/apt.conf.d/zz-valtctl-reboot"), "shell", "it", "Unattended-Upgrade::Automatic-Reboot").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "it='false'" {
		t.Errorf("apt's settings: %v\n%s", err, out)
	}
	out, err = exec.Command("apt-config", "-c", h.Path("/etc/apt/apt.conf.d/zz-valtctl-reboot"), "dump", "Unattended-Upgrade::Package-Blacklist").CombinedOutput()
	for _, name := range []string{"docker-ce", "docker.io", "containerd.io", "containerd", "runc"} {
		if err != nil || !Kept(string(out), name) {
			t.Errorf("unattended-upgrades may upgrade %s: %v\n%s", name, err, out)
		}
	}
	if Kept(string(out), "libc6") {
		t.Errorf("unattended-upgrades may not upgrade libc6:\n%s", out)
	}
}
