package facts

import "path"

// Where a host keeps what belongs to unattended runs.
const (
	// ScheduleKey is the key that the host which runs them reaches the others with.
	ScheduleKey = "/var/lib/valtctl/schedule/id_ed25519"
	// Restricted is what a host judges that key's requests by: its own copy of the site file
	// and of what that names, and what it has verified of the releases.
	Restricted = "/var/lib/valtctl/restricted"
)

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
