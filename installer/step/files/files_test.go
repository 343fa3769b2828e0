package files

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/step"
	"ipivs.com/valtctl/installer/step/steptest"
	"ipivs.com/valtctl/repos/problem"
)

func TestFileIsWrittenWithModeAndShownAsADiff(t *testing.T) {
	h := steptest.RootMachine(t, nil)
	steptest.Place(t, h, "/etc/valt/web.conf", "a\nold\n")
	s := steptest.MakeStep(t, FileKind(), FileParams{Path: "/etc/valt/web.conf", Mode: "0640", Content: "a\nnew\n"})
	found := steptest.Settles(t, s, h)
	for _, want := range []string{"-old", "+new", "mode 0640"} {
		if !strings.Contains(found.Diff, want) {
			t.Errorf("diff lacks %q:\n%s", want, found.Diff)
		}
	}
	if got := steptest.Content(t, h, "/etc/valt/web.conf"); got != "a\nnew\n" || steptest.Mode(t, h, "/etc/valt/web.conf") != 0o640 {
		t.Errorf("got %q with mode %o", got, steptest.Mode(t, h, "/etc/valt/web.conf"))
	}
}

func TestSecretFileIsNeverShown(t *testing.T) {
	h := steptest.RootMachine(t, map[string]string{"login": "hunter2-secret"})
	s := steptest.MakeStep(t, FileKind(), FileParams{Path: "/root/login", Mode: "0600", Secret: "login"})
	found := steptest.Settles(t, s, h)
	if strings.Contains(found.Diff, "hunter2") {
		t.Errorf("the diff shows the secret:\n%s", found.Diff)
	}
	if got := steptest.Mode(t, h, "/root/login"); got != 0o600 {
		t.Errorf("mode %o", got)
	}
}

func TestBadParametersAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		kind   step.Kind
		params string
		want   string
	}{
		"unknown parameter":  {FileKind(), `{"path":"/a","mode":"0644","colour":1}`, "colour"},
		"relative path":      {FileKind(), `{"path":"a","mode":"0644"}`, "absolute"},
		"climbing path":      {FileKind(), `{"path":"/a/../b","mode":"0644"}`, "climb"},
		"mode of words":      {FileKind(), `{"path":"/a","mode":"rw"}`, "octal"},
		"open secret":        {FileKind(), `{"path":"/a","mode":"0644","secret":"s"}`, "open to everybody"},
		"content and secret": {FileKind(), `{"path":"/a","mode":"0600","secret":"s","content":"c"}`, "not both"},
		"short password":     {PasswordKind(), `{"path":"/a","length":4}`, "too few"},
		"directory mode":     {DirectoryKind(), `{"path":"/a","mode":"9"}`, "octal"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := c.kind.New(json.RawMessage(c.params)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestDirectoryKeepsWhatIsInIt(t *testing.T) {
	h := steptest.RootMachine(t, nil)
	steptest.Place(t, h, "/var/lib/valt/db/data", "rows")
	s := steptest.MakeStep(t, DirectoryKind(), DirectoryParams{Path: "/var/lib/valt/db", Mode: "0700", UID: 101, GID: 102})
	steptest.Settles(t, s, h)
	if steptest.Content(t, h, "/var/lib/valt/db/data") != "rows" {
		t.Error("the folder's content changed")
	}
	steptest.Place(t, h, "/srv/file", "")
	s = steptest.MakeStep(t, DirectoryKind(), DirectoryParams{Path: "/srv/file", Mode: "0700"})
	if _, err := s.Inspect(t.Context(), h); err == nil || !strings.Contains(err.Error(), "not a folder") {
		t.Errorf("a file in the way: got %v", err)
	}
}

func TestPasswordIsMadeOnceAndKept(t *testing.T) {
	h := steptest.RootMachine(t, nil)
	s := steptest.MakeStep(t, PasswordKind(), PasswordParams{Path: "/var/lib/valt/secrets/db"})
	found := steptest.Settles(t, s, h)
	first := steptest.Content(t, h, "/var/lib/valt/secrets/db")
	if len(first) != passwordLength || strings.Contains(found.Diff, first) {
		t.Errorf("password of %d characters; diff %q", len(first), found.Diff)
	}
	if err := s.Apply(t.Context(), h); err != nil || steptest.Content(t, h, "/var/lib/valt/secrets/db") != first {
		t.Errorf("the password changed (%v)", err)
	}
	if err := os.Truncate(h.Path("/var/lib/valt/secrets/db"), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Inspect(t.Context(), h); err == nil {
		t.Error("a lost password was not noticed")
	}
	if err := s.Apply(t.Context(), h); err == nil {
		t.Error("a lost password was replaced by another")
	}
}

func TestLicenceMustLookLikeAKey(t *testing.T) {
	good := steptest.MakeStep(t, LicenceKind(), LicenceParams{Path: "/etc/valt/licence", Secret: "k"})
	steptest.Settles(t, good, steptest.RootMachine(t, map[string]string{"k": "ENGM4-AAAAA-BBBBB-CCCCC\n"}))
	for name, key := range map[string]string{"empty": " \n", "several lines": "one\ntwo\n", "far too long": strings.Repeat("A", 5000)} {
		t.Run(name, func(t *testing.T) {
			h := steptest.RootMachine(t, map[string]string{"k": key})
			if err := good.Apply(t.Context(), h); err == nil {
				t.Error("accepted")
			}
			if _, err := os.Stat(h.Path("/etc/valt/licence")); err == nil {
				t.Error("written all the same")
			}
		})
	}
}

func TestRecordingsNeedAWritableMount(t *testing.T) {
	line := "36 35 98:0 / /srv/valt %s,noatime shared:1 - ext4 /dev/sdb1 rw\n"
	for name, c := range map[string]struct{ mounts, want string }{
		"mounted":     {strings.ReplaceAll(line, "%s", "rw"), ""},
		"not mounted": {"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n", "no file system is mounted"},
		"read-only":   {strings.ReplaceAll(line, "%s", "ro"), "read-only"},
	} {
		t.Run(name, func(t *testing.T) {
			h := steptest.RootMachine(t, nil)
			steptest.Place(t, h, "/proc/self/mountinfo", c.mounts)
			s := steptest.MakeStep(t, RecordingsKind(), RecordingsParams{Path: "/srv/valt"})
			if c.want == "" {
				steptest.Settles(t, s, h)
				return
			}
			_, err := s.Inspect(t.Context(), h)
			if err == nil || !strings.Contains(err.Error(), c.want) || problem.KindOf(err) != problem.Check {
				t.Errorf("got %v", err)
			}
			if err := s.Apply(t.Context(), h); err == nil {
				t.Error("applied without the disk")
			}
		})
	}
}
