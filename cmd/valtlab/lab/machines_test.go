package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// A host whose setup failed runs and greets, and lets nobody in: that is told in the setup's own words.
func TestAHostWhoseSetupFailedSaysSo(t *testing.T) {
	for failed, want := range map[string]string{
		"exit 0": "valtlab-setup failed:\nusermod: cannot lock /etc/passwd\nrunning\n",
		"exit 1": "running\n",
	} {
		programs := t.TempDir()
		for name, script := range map[string]string{
			"systemctl":  "#!/bin/sh\nif [ $1 = is-failed ]; then " + failed + "; fi\necho running\n",
			"journalctl": "#!/bin/sh\necho usermod: cannot lock /etc/passwd\n",
		} {
			if err := os.WriteFile(filepath.Join(programs, name), []byte(script), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		ask := exec.Command("/bin/sh", "-c", askState)
		ask.Env = []string{"PATH=" + programs + ":/usr/bin:/bin"}
		if got, err := ask.CombinedOutput(); err != nil || string(got) != want {
			t.Errorf("a host where is-failed says %q is told as %q (%v), not %q", failed, got, err, want)
		}
	}
}
