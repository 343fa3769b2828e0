package remote_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/remote"
)

// A login may make what it uploaded a link, just before root takes it: to what only root may read, or to what has no end.
func TestRootReadsAnUploadAsTheLoginThatMadeIt(t *testing.T) {
	startSSHD(t) // for its logins
	for name, c := range map[string]struct {
		target string
		size   int
	}{"what only root reads": {"/root/secret", 6}, "what has no end": {"/dev/zero", 6}} {
		t.Run(name, func(t *testing.T) {
			bare(t)
			if c.target == "/root/secret" {
				write(t, c.target, "secret")
				if err := os.Chmod(c.target, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			planted := "/home/free/.valtctl-planted.part"
			_ = os.Remove(planted)
			if err := os.Symlink(c.target, planted); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = os.Remove(planted) })
			sum := sha256.Sum256([]byte("secret"))
			hash := hex.EncodeToString(sum[:])
			run := exec.Command("sh", "-c", remote.InstallScript, "valtctl", "nonce", hash, fmt.Sprint(c.size), planted)
			run.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "SUDO_UID=61000", "SUDO_GID=61000"}
			out, err := run.CombinedOutput()
			if err == nil {
				t.Errorf("it was taken: %s", out)
			}
			found, _ := filepath.Glob(remote.AgentRoot + "/*/valtctl")
			parts, _ := filepath.Glob(remote.AgentRoot + "/.*.part")
			for _, file := range append(found, parts...) {
				if text, _ := os.ReadFile(file); strings.Contains(string(text), "secret") || len(text) > c.size {
					t.Errorf("%s holds %d bytes of it (%s)", file, len(text), out)
				}
			}
		})
	}
}
