package facts

import (
	"os"
	"path/filepath"
	"regexp"
)

// AgentFolder is where programs of ours stay on a host, each in a folder named by its
// SHA-256 (installer/remote).
const AgentFolder = "/var/lib/valtctl/agent"

var agentName = regexp.MustCompile(`^[0-9a-f]{64}$`)

// IsAgentFolder says whether a name in AgentFolder is a program's.
func IsAgentFolder(name string) bool { return agentName.MatchString(name) }

// agents lists the programs of ours that are whole.
func (h *host) agents() []string {
	entries, err := os.ReadDir(h.path(AgentFolder))
	if err != nil {
		return nil // there are none
	}
	var all []string
	for _, e := range entries {
		info, err := os.Lstat(h.path(filepath.Join(AgentFolder, e.Name(), "valtctl")))
		if err == nil && info.Mode().IsRegular() && agentName.MatchString(e.Name()) {
			all = append(all, e.Name())
		}
	}
	return all
}
