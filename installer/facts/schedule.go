package facts

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"path"
	"strings"
)

// Where a host keeps what belongs to unattended runs.
const (
	// ScheduleKey is the key that the host which runs them reaches the others with.
	ScheduleKey = "/var/lib/valtctl/schedule/id_ed25519"
	// Restricted is what a host judges that key's requests by: its own copy of the site file
	// and of what that names, and what it has verified of the releases.
	Restricted = "/var/lib/valtctl/restricted"
	// RestrictedKey says which key a host takes for unattended runs (KeyID). While there is none it
	// takes no key.
	RestrictedKey = Restricted + "/key"
	// KeyUses is the record of what that key did and tried (package keyuse). It outlives the key and what
	// it was judged by: whoever takes it away for its misuse will want to know of that.
	KeyUses = "/var/lib/valtctl/key-uses"
	// RevokedKeys are those that it does not take any more, whoever hands them out again, a line each.
	RevokedKeys = "/var/lib/valtctl/revoked-keys"
)

// KeyID is the name of a public key, as authorized_keys(5) of sshd(8) writes it: half of its
// SHA-256, in hex, since it stands in sudoers(5). Empty: it is no key.
func KeyID(public string) string {
	for word := range strings.FieldsSeq(public) {
		blob, err := base64.StdEncoding.DecodeString(word)
		if err == nil && len(blob) > 32 {
			sum := sha256.Sum256(blob)
			return hex.EncodeToString(sum[:sha256.Size/2])
		}
	}
	return ""
}

// SiteFolder is where a host keeps what it knows of a site as its controller.
func SiteFolder(site string) string { return path.Join("/var/lib/valtctl/site", site) }

// ScheduleFolder holds the copy of a site that unattended runs work from.
func ScheduleFolder(site string) string { return path.Join(SiteFolder(site), "schedule") }

// The files of unattended runs: that they are enabled, what they remember, and a person's
// word that nothing is to be begun.
func ScheduleEnabled(site string) string { return path.Join(ScheduleFolder(site), "enabled.json") }

// ScheduleState is what they remember.
func ScheduleState(site string) string { return path.Join(SiteFolder(site), "schedule.json") }

// ScheduleNotices are those that could not be delivered yet.
func ScheduleNotices(site string) string { return path.Join(SiteFolder(site), "notices.json") }

// SchedulePause is a person's word that nothing is to be begun.
func SchedulePause(site string) string { return path.Join(SiteFolder(site), "pause.json") }
