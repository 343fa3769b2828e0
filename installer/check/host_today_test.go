package check

import (
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/step/apt"
	"ipivs.com/valtctl/installer/survey"
	"ipivs.com/valtctl/repos/release"
)

func TestTodaysOddities(t *testing.T) {
	for name, odd := range todayOddities() {
		t.Run(name, func(t *testing.T) { expect(t, odd, JudgeHosts) })
	}
}

// clashing is a host on which two files list Docker's repository with different keys.
func clashing(s *survey.Reply) {
	s.Sources.Unreadable = "E: Conflicting values set for option Signed-By regarding source https://download.docker.com/linux/ubuntu/ noble: a != b\nE: The list of sources could not be read."
	s.Sources.Clash = []apt.Listing{{File: "/etc/apt/sources.list.d/docker.list", URI: "https://download.docker.com/linux/ubuntu", Suite: "noble", SignedBy: "/a.gpg"},
		{File: "/etc/apt/sources.list.d/docker.sources", URI: "https://download.docker.com/linux/ubuntu", Suite: "noble", SignedBy: "/b.gpg", Ours: true}}
}

func unanswered(q survey.Question) func(*Input, *facts.Facts, *survey.Reply) {
	return func(_ *Input, _ *facts.Facts, s *survey.Reply) {
		s.Problems = map[survey.Question]string{q: "fork: no memory"}
	}
}

func outdated(all ...survey.Outdated) func(*Input, *facts.Facts, *survey.Reply) {
	return func(_ *Input, f *facts.Facts, s *survey.Reply) {
		f.Engine, s.Outdated = &facts.EngineFacts{Version: "26.1.4"}, all
	}
}

func todayOddities() map[string]oddity {
	const ssl = "/usr/lib/x86_64-linux-gnu/libssl.so.3"
	return map[string]oddity{
		"control groups of version 1": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) { s.Cgroups = survey.Cgroups{Version: 1} },
			id: "hosts/valt/control-groups", status: Warn, cause: "26.04", fix: "GRUB_CMDLINE_LINUX"},
		"control groups not seen": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) {
			s.Problems = map[survey.Question]string{survey.AskCgroups: "no control groups are mounted"}
		}, id: "hosts/valt/control-groups", status: Unknown, cause: "no control groups are mounted"},
		"sources that apt cannot read": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) { clashing(s) },
			id: "hosts/valt/sources", status: Fail, cause: "docker.list with Signed-By /a.gpg, and /etc/apt/sources.list.d/docker.sources with Signed-By /b.gpg",
			fix: "keep /etc/apt/sources.list.d/docker.sources"},
		"sources that an installation replaces": {make: func(in *Input, _ *facts.Facts, s *survey.Reply) {
			clashing(s)
			in.Manifest.Apt = []release.AptSource{{Replaces: []string{"/etc/apt/sources.list.d/docker.list"}}}
		}, id: "hosts/valt/sources", status: Warn, fix: "replace /etc/apt/sources.list.d/docker.list"},
		"sources that are nonsense": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) {
			s.Sources.Unreadable = "E: Malformed entry 1 in list file /etc/apt/sources.list.d/own.list (Suite)"
		}, id: "hosts/valt/sources", status: Fail, cause: "own.list", fix: "apt-get update"},
		"sources not asked for": {make: unanswered(survey.AskSources), id: "hosts/valt/sources", status: Unknown, cause: "no memory"},
		"package variants": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) { s.Sources.Variants = []string{"amd64v3"} },
			id: "hosts/valt/package-variants", status: Fail, cause: "amd64v3", fix: "Architecture-Variants"},
		"the engine was upgraded under its feet": {make: outdated(survey.Outdated{PID: 9, Program: "dockerd", Unit: "docker.service", File: "/usr/bin/dockerd", Whole: true}),
			id: "hosts/valt/engine-current", status: Warn, cause: "26.1.4", fix: "systemctl restart docker.service"},
		"shims live as long as containers": {make: outdated(survey.Outdated{PID: 9, Program: "containerd-shim", Unit: "containerd.service", File: "/usr/bin/containerd-shim-runc-v2"}),
			id: "hosts/valt/engine-current", status: Pass},
		"the engine not looked at": {make: unanswered(survey.AskOutdated), id: "hosts/valt/engine-current", status: Unknown},
		"programs on replaced libraries": {make: outdated(survey.Outdated{PID: 9, Program: "cron", Unit: "cron.service", File: ssl}, survey.Outdated{PID: 10, Program: "cron", Unit: "cron.service", File: ssl},
			survey.Outdated{PID: 11, Program: "bash", Unit: "session-3.scope", File: ssl}),
			id: "hosts/valt/replaced-files", status: Warn, cause: "cron.service", fix: "sudo systemctl restart cron.service"},
		"systemd on replaced libraries": {make: outdated(survey.Outdated{PID: 1, Program: "systemd", Unit: "init.scope", File: ssl}),
			id: "hosts/valt/replaced-files", status: Warn, fix: "sudo systemctl reboot"},
		"a login on replaced libraries": {make: outdated(survey.Outdated{PID: 11, Program: "bash", Unit: "session-3.scope", File: ssl}),
			id: "hosts/valt/replaced-files", status: Pass},
		"rules that drop all that is forwarded": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) {
			s.Forward = []survey.ForwardBlock{{Where: "table inet old, chain forward", Why: "its policy is drop", Sure: true, Undo: "sudo nft delete table inet old"}}
		}, id: "hosts/valt/forwarding", status: Fail, cause: "table inet old", fix: "nft delete table inet old"},
		"rules that may drop": {make: func(_ *Input, _ *facts.Facts, s *survey.Reply) {
			s.Forward = []survey.ForwardBlock{{Where: "table inet old, chain forward", Why: "it has a rule that drops packets", Undo: "sudo nft delete table inet old"}}
		}, id: "hosts/valt/forwarding", status: Warn, cause: "may drop"},
		"rules not seen": {make: unanswered(survey.AskForward), id: "hosts/valt/forwarding", status: Unknown},
		"containers that resolve nothing": {make: func(in *Input, _ *facts.Facts, s *survey.Reply) {
			in.Hosts[0].Names = &probe.Outcome{Verdict: probe.Works}
			s.Inside[0].Failed = []string{"apt.ipivs.com: no answer comes back"}
		}, id: "hosts/valt/container-names", status: Fail, cause: "valt-web does not resolve apt.ipivs.com: no answer comes back, though the host itself does", fix: "udp/53"},
		"chrony says that it is synchronised": {make: func(_ *Input, f *facts.Facts, s *survey.Reply) {
			yes := true
			f.Clock.Synchronized, s.Time.Synchronized = false, &yes
		}, id: "hosts/valt/time-service", status: Pass},
		"chrony waits for keys": {make: func(_ *Input, f *facts.Facts, s *survey.Reply) {
			no := false
			f.Clock.Synchronized, f.Clock.NTS, s.Time.Synchronized = false, []string{"1.ntp.ubuntu.com"}, &no
		}, id: "hosts/valt/time-service", status: Warn, cause: "not synchronised", fix: "chronyc -n authdata; those with NTS need TCP 4460"},
		"copied with its machine-id": {site: twoServers, make: func(in *Input, f *facts.Facts, _ *survey.Reply) { f.MachineID = in.Hosts[0].Facts.MachineID },
			id: "hosts/site/clones", status: Warn, cause: "app1 and media1", fix: "systemd-machine-id-setup"},
		"copied with its SSH host key": {site: twoServers, make: func(in *Input, f *facts.Facts, _ *survey.Reply) {
			f.HostKeys = append(f.HostKeys, in.Hosts[0].Facts.HostKeys...)
		}, id: "hosts/site/clones", status: Fail, cause: "app1 and media1", fix: "dpkg-reconfigure openssh-server"},
	}
}

// Both are told where both are so.
func TestAServerCopiedWithEverythingIsToldBoth(t *testing.T) {
	r := expect(t, oddity{site: twoServers, make: func(in *Input, f *facts.Facts, _ *survey.Reply) {
		f.MachineID, f.HostKeys = in.Hosts[0].Facts.MachineID, in.Hosts[0].Facts.HostKeys
	}, id: "hosts/site/clones", status: Fail, cause: "SSH host key"}, JudgeHosts)
	if !strings.Contains(r.Cause, "machine-id") || !strings.Contains(r.Fix, "systemd-machine-id-setup") {
		t.Errorf("%+v", r)
	}
}
