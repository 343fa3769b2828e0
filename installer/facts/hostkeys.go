package facts

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// hostKeys are the fingerprints of the public keys that sshd shows, where OpenSSH keeps them
// (sshd_config(5), HostKey). A file that holds none is told.
func (h *host) hostKeys() []string {
	files, err := filepath.Glob(h.path("/etc/ssh/ssh_host_*_key.pub"))
	h.keep(err)
	var all []string
	for _, file := range files {
		name := strings.TrimPrefix(file, h.root)
		key, _, _, _, err := ssh.ParseAuthorizedKey(h.read(name))
		if err != nil {
			h.keep(fmt.Errorf("reading the SSH host key %s: %w", name, err))
			continue
		}
		all = append(all, ssh.FingerprintSHA256(key))
	}
	slices.Sort(all)
	return all
}
