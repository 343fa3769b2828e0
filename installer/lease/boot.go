package lease

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/facts"
)

// BootClock is the boot clock of the host below root: which boot it is, and for how long
// it has run (proc_uptime(5): suspended time included).
func BootClock(root string) func() (string, time.Duration, error) {
	return func() (string, time.Duration, error) {
		id, err := facts.BootID(root)
		if err != nil {
			return "", 0, err
		}
		text, err := os.ReadFile(filepath.Join(root, "/proc/uptime"))
		if err != nil {
			return "", 0, err
		}
		word, _, _ := strings.Cut(string(text), " ")
		seconds, err := strconv.ParseFloat(word, 64)
		if err != nil {
			return "", 0, fmt.Errorf("reading /proc/uptime: %w", err)
		}
		return id, time.Duration(seconds * float64(time.Second)), nil
	}
}
