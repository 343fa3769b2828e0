package survey

import (
	"context"
	"errors"
	"strings"
)

// cgroups is which version of control groups the host has, by what is mounted: one of the first
// version beside one of the second is the first, since its controllers are there.
func (h *host) cgroups(context.Context) (answer, error) {
	mounts, err := h.read("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	found := Cgroups{Version: cgroupVersion(mounts)}
	if found.Version == 0 {
		return nil, errors.New("no control groups are mounted")
	}
	line, err := h.read("/proc/cmdline")
	for _, word := range strings.Fields(line) {
		if strings.HasPrefix(word, "systemd.unified_cgroup_hierarchy") || strings.HasPrefix(strings.ToUpper(word), "SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE") {
			found.Asked = append(found.Asked, word)
		}
	}
	return func(r *Reply) { r.Cgroups = found }, err
}

// cgroupVersion reads proc_pid_mountinfo(5): the type stands after " - ". 0: none is mounted.
func cgroupVersion(mounts string) int {
	version := 0
	for line := range strings.Lines(mounts) {
		_, after, _ := strings.Cut(line, " - ")
		switch kind, _, _ := strings.Cut(after, " "); kind {
		case "cgroup":
			return 1
		case "cgroup2":
			version = 2
		}
	}
	return version
}
