package schedule

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
	"ipivs.com/valtctl/repos/testneeds"
)

// apt itself says what unattended-upgrades is told.
func TestUnattendedUpgradesLeavesHostAndEngineAlone(t *testing.T) {
	testneeds.Of(t, testneeds.Program("apt-config", "apt"))
	dir := t.TempDir()
	// The name sorts after the package's own file, which a site may have changed.
	for name, text := range map[string]string{"50unattended-upgrades": "Unattended-Upgrade::Automatic-Reboot \"true\";\nUnattended-Upgrade::Package-Blacklist { \"linux-\"; };\n",
		filepath.Base(aptFile): aptText} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("apt-config", "-o", "Dir::Etc::parts="+dir, "dump", "Unattended-Upgrade")
	config := filepath.Join(t.TempDir(), "apt.conf")
	if err := os.WriteFile(config, []byte("Dir::Etc::main \"/dev/null\";\nDir::Etc::parts \""+dir+"\";\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "APT_CONFIG="+config)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{`Unattended-Upgrade::Automatic-Reboot "false";`, `Unattended-Upgrade::Package-Blacklist:: "linux-";`,
		`Unattended-Upgrade::Package-Blacklist:: "docker";`, `Unattended-Upgrade::Package-Blacklist:: "containerd";`, `Unattended-Upgrade::Package-Blacklist:: "runc";`} {
		if !strings.Contains(string(out), want) {
			t.Errorf("apt does not read %s in:\n%s", want, out)
		}
	}
}

func TestWhatCannotBeLookedAfterIsRefused(t *testing.T) {
	const minimal = "site: a\nssl: true\nclients: [10.0.0.0/16]\nhosts:\n  - {name: valt, address: 10.0.4.10, roles: [app, media]}\n"
	for updates, why := range map[string]string{
		"": "updates.windows",
		"updates: {source: bundle, timezone: UTC, windows: ['Sun 02:00-05:00']}\n":                       "updates.source",
		"release: {version: 6.4.2}\nupdates: {timezone: UTC, windows: ['Sun 02:00-05:00']}\n":            "release.version",
		"updates: {timezone: UTC, windows: ['Sun 02:00-05:00'], blackouts: ['2026-12-20/2027-01-03']}\n": "",
	} {
		s, err := site.Parse("site.yaml", []byte(minimal+updates), "")
		if err != nil {
			t.Fatal(err)
		}
		err = fits(s)
		if (why == "") != (err == nil) || err != nil && (problem.KindOf(err) != problem.Input || !strings.Contains(err.Error(), why)) {
			t.Errorf("with %q: %v, want …%s…", updates, err, why)
		}
	}
}
