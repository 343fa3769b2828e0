package step

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/testneeds"
)

// noted is the clock of these tests.
var noted = time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)

// rootMachine is a host whose files live in a temporary folder.
func rootMachine(t *testing.T, secrets map[string]string) *Machine {
	t.Helper()
	testneeds.Of(t, testneeds.Root) // it gives files to root
	return &Machine{
		Root: t.TempDir(),
		Run:  recordedRuns{},
		Now:  func() time.Time { return noted },
		Secret: func(name string) ([]byte, error) {
			s, ok := secrets[name]
			if !ok {
				return nil, errors.New("no secret " + name)
			}
			return []byte(s), nil
		},
	}
}

// recordedRuns lets every program succeed.
type recordedRuns map[string]int

func (r recordedRuns) Run(_ context.Context, c Command) (Output, error) {
	r[strings.Join(c.Argv, " ")]++
	return Output{}, nil
}

// place writes a file below a machine's root.
func place(t *testing.T, h *Machine, path, content string) {
	t.Helper()
	full := h.Path(path)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// makeStep builds a step as a host does, from JSON.
func makeStep(t *testing.T, k Kind, params any) Step {
	t.Helper()
	raw, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewRegistry([]Kind{k}).Make(Spec{ID: "it", Kind: k.Name, Params: raw})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// settles proves the contract of every step: a difference is found and told, nothing
// is changed by looking, Apply removes it, and a second look finds nothing.
func settles(t *testing.T, s Step, h *Machine) Finding {
	t.Helper()
	ctx := t.Context()
	first, err := s.Inspect(ctx, h)
	if err != nil {
		t.Fatalf("first look: %v", err)
	}
	if !first.Change || first.Diff == "" {
		t.Fatalf("first look found no difference to tell: %+v", first)
	}
	again, err := s.Inspect(ctx, h)
	if err != nil || again.Diff != first.Diff {
		t.Fatalf("looking changed something: %+v then %+v, %v", first, again, err)
	}
	for range 2 {
		if err := s.Apply(ctx, h); err != nil {
			t.Fatalf("applying: %v", err)
		}
		after, err := s.Inspect(ctx, h)
		if err != nil || after.Change || after.Diff != "" {
			t.Fatalf("after applying: %+v, %v", after, err)
		}
	}
	return first
}

func content(t *testing.T, h *Machine, path string) string {
	t.Helper()
	b, err := os.ReadFile(h.Path(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func mode(t *testing.T, h *Machine, path string) os.FileMode {
	t.Helper()
	info, err := os.Stat(h.Path(path))
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

func TestFileIsWrittenWithModeAndShownAsADiff(t *testing.T) {
	h := rootMachine(t, nil)
	place(t, h, "/etc/valt/web.conf", "a\nold\n")
	s := makeStep(t, FileKind(), FileParams{Path: "/etc/valt/web.conf", Mode: "0640", Content: "a\nnew\n"})
	found := settles(t, s, h)
	for _, want := range []string{"-old", "+new", "mode 0640"} {
		if !strings.Contains(found.Diff, want) {
			t.Errorf("diff lacks %q:\n%s", want, found.Diff)
		}
	}
	if got := content(t, h, "/etc/valt/web.conf"); got != "a\nnew\n" || mode(t, h, "/etc/valt/web.conf") != 0o640 {
		t.Errorf("got %q with mode %o", got, mode(t, h, "/etc/valt/web.conf"))
	}
}

func TestSecretFileIsNeverShown(t *testing.T) {
	h := rootMachine(t, map[string]string{"login": "hunter2-secret"})
	s := makeStep(t, FileKind(), FileParams{Path: "/root/login", Mode: "0600", Secret: "login"})
	found := settles(t, s, h)
	if strings.Contains(found.Diff, "hunter2") {
		t.Errorf("the diff shows the secret:\n%s", found.Diff)
	}
	if got := mode(t, h, "/root/login"); got != 0o600 {
		t.Errorf("mode %o", got)
	}
}

func TestBadParametersAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		kind   Kind
		params string
		want   string
	}{
		"unknown parameter":     {FileKind(), `{"path":"/a","mode":"0644","colour":1}`, "colour"},
		"relative path":         {FileKind(), `{"path":"a","mode":"0644"}`, "absolute"},
		"climbing path":         {FileKind(), `{"path":"/a/../b","mode":"0644"}`, "climb"},
		"mode of words":         {FileKind(), `{"path":"/a","mode":"rw"}`, "octal"},
		"open secret":           {FileKind(), `{"path":"/a","mode":"0644","secret":"s"}`, "open to everybody"},
		"content and secret":    {FileKind(), `{"path":"/a","mode":"0600","secret":"s","content":"c"}`, "not both"},
		"short password":        {PasswordKind(), `{"path":"/a","length":4}`, "too few"},
		"unit climbing":         {UnitKind(), `{"name":"a/b/c.service","content":""}`, "neither"},
		"dongle without vendor": {DongleKind(), `{"device":"/dev/bus/usb"}`, "vendor"},
		"directory mode":        {DirectoryKind(), `{"path":"/a","mode":"9"}`, "octal"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := c.kind.New(json.RawMessage(c.params)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
		})
	}
}

func TestDirectoryKeepsWhatIsInIt(t *testing.T) {
	h := rootMachine(t, nil)
	place(t, h, "/var/lib/valt/db/data", "rows")
	s := makeStep(t, DirectoryKind(), DirectoryParams{Path: "/var/lib/valt/db", Mode: "0700", UID: 101, GID: 102})
	settles(t, s, h)
	if content(t, h, "/var/lib/valt/db/data") != "rows" {
		t.Error("the folder's content changed")
	}
	place(t, h, "/srv/file", "")
	s = makeStep(t, DirectoryKind(), DirectoryParams{Path: "/srv/file", Mode: "0700"})
	if _, err := s.Inspect(t.Context(), h); err == nil || !strings.Contains(err.Error(), "not a folder") {
		t.Errorf("a file in the way: got %v", err)
	}
}

func TestPasswordIsMadeOnceAndKept(t *testing.T) {
	h := rootMachine(t, nil)
	s := makeStep(t, PasswordKind(), PasswordParams{Path: "/var/lib/valt/secrets/db"})
	found := settles(t, s, h)
	first := content(t, h, "/var/lib/valt/secrets/db")
	if len(first) != passwordLength || strings.Contains(found.Diff, first) {
		t.Errorf("password of %d characters; diff %q", len(first), found.Diff)
	}
	if err := s.Apply(t.Context(), h); err != nil || content(t, h, "/var/lib/valt/secrets/db") != first {
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
	good := makeStep(t, LicenceKind(), LicenceParams{Path: "/etc/valt/licence", Secret: "k"})
	settles(t, good, rootMachine(t, map[string]string{"k": "ENGM4-AAAAA-BBBBB-CCCCC\n"}))
	for name, key := range map[string]string{"empty": " \n", "several lines": "one\ntwo\n", "far too long": strings.Repeat("A", 5000)} {
		t.Run(name, func(t *testing.T) {
			h := rootMachine(t, map[string]string{"k": key})
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
			h := rootMachine(t, nil)
			place(t, h, "/proc/self/mountinfo", c.mounts)
			s := makeStep(t, RecordingsKind(), RecordingsParams{Path: "/srv/valt"})
			if c.want == "" {
				settles(t, s, h)
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

func TestDongleIsFoundBySysfs(t *testing.T) {
	h := rootMachine(t, nil)
	s := makeStep(t, DongleKind(), DongleParams{Vendor: "0529", Product: "0001", Device: "/dev/bus/usb"})
	place(t, h, "/sys/bus/usb/devices/1-1/idVendor", "0529\n")
	place(t, h, "/sys/bus/usb/devices/1-1/idProduct", "0600\n")
	if _, err := s.Inspect(t.Context(), h); problem.KindOf(err) != problem.Check {
		t.Errorf("another product was taken: %v", err)
	}
	place(t, h, "/sys/bus/usb/devices/1-1/idProduct", "0001\n")
	if err := s.Apply(t.Context(), h); err == nil {
		t.Error("a dongle without a device node was taken")
	}
	place(t, h, "/dev/bus/usb/001/002", "")
	if found, err := s.Inspect(t.Context(), h); err != nil || found.Change {
		t.Errorf("plugged in: %+v, %v", found, err)
	}
}

func TestUnitIsEnabledAndSystemdTold(t *testing.T) {
	h := rootMachine(t, nil)
	s := makeStep(t, UnitKind(), UnitParams{Name: "valt-x.service", Content: "[Service]\nExecStart=/bin/true\n", WantedBy: "multi-user.target"})
	settles(t, s, h)
	target, err := os.Readlink(h.Path("/etc/systemd/system/multi-user.target.wants/valt-x.service"))
	if err != nil || target != "/etc/systemd/system/valt-x.service" {
		t.Errorf("enabled as %q, %v", target, err)
	}
	if h.Run.(recordedRuns)["systemctl daemon-reload"] == 0 {
		t.Error("systemd was not told")
	}
	settles(t, makeStep(t, UnitKind(), UnitParams{Name: "docker.service.d/valt.conf", Content: "[Unit]\n"}), h)
}
