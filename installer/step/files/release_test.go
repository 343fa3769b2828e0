package files

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
	"ipivs.com/valtctl/repos/problem"
)

// releaseSteps are the steps whose paths a release names, at a path.
func releaseSteps(t *testing.T, p string) map[string]step.Step {
	t.Helper()
	return map[string]step.Step{
		"file":      steptest.MakeStep(t, FileKind(), FileParams{Path: p, Mode: "0644", UID: os.Getuid(), GID: os.Getgid(), Content: "x", Release: NamedFile}),
		"site file": steptest.MakeStep(t, FileKind(), FileParams{Path: p, Mode: "0644", UID: os.Getuid(), GID: os.Getgid(), Content: "x", Release: NamedSite}),
		"folder":    steptest.MakeStep(t, DirectoryKind(), DirectoryParams{Path: p, Mode: "0755", UID: os.Getuid(), GID: os.Getgid(), Release: true}),
		"password":  steptest.MakeStep(t, PasswordKind(), PasswordParams{Path: p, UID: os.Getuid(), GID: os.Getgid(), Release: true}),
	}
}

// wantRefused wants Inspect and Apply to refuse, and what is at the path to stay.
func wantRefused(t *testing.T, h *step.Machine, name string, s step.Step, watched string) {
	t.Helper()
	before, _ := os.ReadDir(h.Path(watched))
	_, looked := s.Inspect(t.Context(), h)
	for what, err := range map[string]error{"Inspect": looked, "Apply": s.Apply(t.Context(), h)} {
		if problem.KindOf(err) != problem.Trust {
			t.Errorf("%s of a %s: %v", what, name, err)
		}
	}
	if after, _ := os.ReadDir(h.Path(watched)); len(after) != len(before) {
		t.Errorf("a %s left %v in %s", name, after, watched)
	}
}

func TestAHostWritesNothingOfAReleaseBesideItsFolders(t *testing.T) {
	for _, p := range []string{"/etc/passwd", "/usr/bin/sudo", "/etc/sudoers.d/x", "/root/.ssh/authorized_keys", "/var/lib/valtctl/tuf/state.json", "/etc/valt/hooks/x", "/var/run/valt/x"} {
		h := &step.Machine{Root: t.TempDir()}
		for name, s := range releaseSteps(t, p) {
			wantRefused(t, h, name+" "+p, s, "/")
		}
	}
}

// The words are right and the path leads elsewhere: by the folder, or by the last name.
func TestAHostFollowsLinksBeforeItWrites(t *testing.T) {
	for link, to := range map[string]string{"/etc/valt/x": "/root", "/etc/valt": "/root", "/etc/valt/x/y": "../../../root/y"} {
		for name, s := range releaseSteps(t, "/etc/valt/x/y") {
			h := &step.Machine{Root: t.TempDir()}
			for _, folder := range []string{"/root", filepath.Dir(link)} {
				if err := os.MkdirAll(h.Path(folder), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Symlink(to, h.Path(link)); err != nil {
				t.Fatal(err)
			}
			wantRefused(t, h, name+" below a link at "+link, s, "/root")
		}
	}
}

func TestAHostWritesWhatAReleaseMayHave(t *testing.T) {
	for name, s := range releaseSteps(t, "/etc/valt/x/y") {
		h := &step.Machine{Root: t.TempDir()}
		steptest.Settles(t, s, h)
		if _, err := os.Stat(h.Path("/etc/valt/x/y")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What valtctl writes itself is nobody's wish, and goes where it belongs.
	h := &step.Machine{Root: t.TempDir()}
	steptest.Settles(t, steptest.MakeStep(t, FileKind(), FileParams{Path: "/etc/apt/apt.conf.d/zz-valtctl", Mode: "0440", UID: os.Getuid(), GID: os.Getgid(), Content: "x"}), h)
}

func TestAFolderThatHoldsVALTsOthersStaysRoots(t *testing.T) {
	s := steptest.MakeStep(t, DirectoryKind(), DirectoryParams{Path: "/etc/valt", Mode: "0755", UID: 999, Release: true})
	if _, err := s.Inspect(t.Context(), &step.Machine{Root: t.TempDir()}); err == nil || !strings.Contains(err.Error(), "root's alone") {
		t.Error(err)
	}
}

func TestTheRecordingsFolderIsNoLink(t *testing.T) {
	h := &step.Machine{Root: t.TempDir()}
	for _, folder := range []string{"/srv/valt", "/proc/self", "/root"} {
		if err := os.MkdirAll(h.Path(folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(h.Path("/proc/self/mountinfo"), []byte("36 35 98:0 / /srv/valt rw,noatime master:1 - ext4 /dev/sdb rw\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/root", h.Path("/srv/valt/recordings")); err != nil {
		t.Fatal(err)
	}
	wantRefused(t, h, "recordings", steptest.MakeStep(t, RecordingsKind(), RecordingsParams{Path: "/srv/valt"}), "/root")
}
