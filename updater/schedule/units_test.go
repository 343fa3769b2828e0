package schedule

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"ipivs.com/valtctl/repos/testneeds"
)

// written writes the units for this test's own program and site, and returns their files.
func written(t *testing.T) (service, timer string) {
	t.Helper()
	dir := t.TempDir()
	program, err := exec.LookPath("true")
	if err != nil {
		t.Fatal(err)
	}
	s, tm, err := Units(program, "st-marys")
	if err != nil {
		t.Fatal(err)
	}
	service, timer = filepath.Join(dir, UnitName+".service"), filepath.Join(dir, UnitName+".timer")
	for file, text := range map[string]string{service: s, timer: tm} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return service, timer
}

func TestUnitsNameTheProgramAndTheSite(t *testing.T) {
	service, _, err := Units("/var/lib/valtctl/agent/0a/valtctl", "st-marys")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"ExecStart=/var/lib/valtctl/agent/0a/valtctl schedule run --site /var/lib/valtctl/site/st-marys/schedule/site.yaml\n",
		"ConditionPathExists=/var/lib/valtctl/site/st-marys/schedule/site.yaml\n",
	} {
		if !strings.Contains(service, want) {
			t.Errorf("the service lacks %q", want)
		}
	}
	if strings.Contains(service, "SITE") || strings.Contains(service, samplePath) {
		t.Errorf("the example's paths are left:\n%s", service)
	}
	if _, _, err := Units("/opt/my tools/valtctl", "st-marys"); err == nil {
		t.Error("a path with a space is taken")
	}
}

func TestSystemdTakesTheUnitsWithoutAWord(t *testing.T) {
	testneeds.Of(t, testneeds.Program("systemd-analyze", "systemd"))
	service, timer := written(t)
	out, err := exec.Command("systemd-analyze", "verify", "--man=no", service, timer).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// mostExposed is systemd's measure of what a service could do if it were taken over, from 0
// to 10; what the unit leaves open has its reason there.
const mostExposed = 3.0

func TestTheServiceIsShutIn(t *testing.T) {
	testneeds.Of(t, testneeds.Program("systemd-analyze", "systemd"))
	service, _ := written(t)
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", service).CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-analyze security: %v\n%s", err, out)
	}
	found := regexp.MustCompile(`Overall exposure level .*: ([0-9.]+)`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("it says no level:\n%s", out)
	}
	level, err := strconv.ParseFloat(string(found[1]), 64)
	if err != nil || level > mostExposed {
		t.Errorf("the exposure is %s, and at most %.1f is wanted (%v)\n%s", found[1], mostExposed, err, out)
	}
}
