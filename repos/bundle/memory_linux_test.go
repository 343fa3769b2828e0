package bundle

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"ipivs.com/valtctl/repos/problem"
)

// mostMemory is what reading a bundle may take of a machine's memory, in bytes, the whole
// program included.
const mostMemory = 100 << 20

// readOnly in the environment makes this test program a reader of the bundle that it names.
const readOnly = "BUNDLE_TEST_READ"

func TestMain(m *testing.M) {
	if name := os.Getenv(readOnly); name != "" {
		os.Exit(readAlone(name))
	}
	os.Exit(m.Run())
}

// readAlone reads a bundle as a run does; 6: it is refused.
func readAlone(name string) int {
	key, err := ssh.NewPublicKey(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, ed25519.SeedSize)).Public())
	if err != nil {
		return 1
	}
	r, err := Open([]string{name}, []ssh.PublicKey{key})
	if err == nil {
		err = r.Verify(context.Background(), nil)
	}
	status, readErr := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "VmHWM:") { // in KiB (proc_pid_status(5)); Maxrss would be the parent's
			fmt.Println(line)
		}
	}
	switch {
	case readErr != nil:
		return 1
	case problem.KindOf(err) == problem.Trust && err != nil:
		return 6
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// TestReadingABundleTakesLittleMemory: of hostile lists as of the largest that is allowed.
// Each is read by a process of its own, whose largest size the kernel tells.
func TestReadingABundleTakesLittleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("it would measure the race detector's memory; make unit runs this without it")
	}
	largest := joined(t, resigned(t, func(c *Contents) { many(c, maxBlobs-len(c.Blobs)-len(c.Files)-len(c.Images)) }))
	for _, test := range []struct {
		name    string
		content []byte
		exit    int
	}{
		{"the largest list, of blobs that are none", largest, 6},
		{"a list at its cap by a stranger", listAlone(t, bytes.Repeat([]byte(" "), maxContents), maker(t, 2)), 6},
		{"a list at its cap of empty things", listAlone(t, emptyThings(`{},`), maker(t, 1)), 6},
		{"a list at its cap of nothings", listAlone(t, emptyThings(`null,`), maker(t, 1)), 6},
		{"a list at its cap of one word", listAlone(t, []byte(`{"schema":"`+strings.Repeat("x", maxContents-100)+`"}`), maker(t, 1)), 6},
		{"a list at its cap of one field", listAlone(t, []byte(`{"`+strings.Repeat("x", maxContents-100)+`":1}`), maker(t, 1)), 6},
		{"a list at its cap, of brackets", listAlone(t, bytes.Repeat([]byte("["), maxContents), maker(t, 1)), 6},
		{"a list of so many files", joined(t, resigned(t, allFiles)), 6},
	} {
		t.Run(test.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "site.bundle")
			if err := os.WriteFile(name, test.content, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(os.Args[0], "-test.run=^$")
			// The race detector has it sleep for a second before it ends, for races with C.
			cmd.Env = append(os.Environ(), readOnly+"="+name, "GORACE=atexit_sleep_ms=0")
			var said bytes.Buffer
			cmd.Stderr = &said
			out, _ := cmd.Output() // the exit code is judged below
			if got := cmd.ProcessState.ExitCode(); got != test.exit {
				t.Errorf("exit %d, want %d: %s", got, test.exit, said.String())
			}
			var used int64
			if _, err := fmt.Sscanf(string(out), "VmHWM: %d kB", &used); err != nil || used<<10 > mostMemory*raceFactor {
				t.Errorf("it took %d KiB of memory (%v)", used, err)
			}
			t.Logf("%d KiB", used)
		})
	}
}

// emptyThings is a list of as many as fit under the cap of its bytes.
func emptyThings(one string) []byte {
	start, end := `{"schema":"valtctl/bundle/v1","blobs":[`, `{}]}`
	return []byte(start + strings.Repeat(one, (maxContents-len(start)-len(end))/len(one)) + end)
}

func listAlone(t *testing.T, text []byte, key ssh.Signer) []byte {
	t.Helper()
	signature, err := sign(text, key)
	if err != nil {
		t.Fatal(err)
	}
	return joined(t, []entry{{name: nameLayout, data: []byte(layout)}, {name: nameIndex, data: []byte("{}")}, {name: nameContents, data: text}, {name: nameSignature, data: signature}})
}

// allFiles fills the list with files of one blob, whose last leads out.
func allFiles(c *Contents) {
	for n := len(c.Blobs) + len(c.Files) + len(c.Images); n < maxBlobs; n++ {
		c.Files = append(c.Files, File{fmt.Sprintf("apt/x/%06d", n), c.Blobs[0].Digest})
	}
	c.Files[len(c.Files)-1].Path = "apt/../../x"
	if text, err := json.Marshal(c); err != nil || len(text) > maxContents {
		panic(fmt.Sprintf("%d bytes: %v", len(text), err))
	}
}
