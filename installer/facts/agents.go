package facts

import (
	"os"
	"path/filepath"
	"regexp"
)

// agentFolder is where programs of ours stay on a host, each in a folder named by its
// SHA-256 (installer/remote).
const agentFolder = "/var/lib/valtctl/agent"

var agentName = regexp.MustCompile(`^[0-9a-f]{64}$`)

// agents lists the programs of ours that are whole.
func (h *host) agents() []string {
	entries, err := os.ReadDir(h.path(agentFolder))
	if err != nil {
		return nil // there are none
	}
	var all []string
	for _, e := range entries {
		info, err := os.Lstat(h.path(filepath.Join(agentFolder, e.Name(), "valtctl")))
		if err == nil && info.Mode().IsRegular() && agentName.MatchString(e.Name()) {
			all = append(all, e.Name())
		}
	}
	return all
}
