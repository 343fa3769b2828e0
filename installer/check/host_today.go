package check

import (
	"fmt"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/step/apt"
	"ipivs.com/valtctl/installer/survey"
)

// judgeCgroups: systemd of Ubuntu 26.04 knows control groups of version 2 alone, and its upgrade refuses
// hosts that are set to the first one (its release notes).
func judgeCgroups(v view) finding {
	f := pass("control groups of " + v.Host.Name)
	g := v.Survey.Cgroups
	if g.Version == 2 {
		f.evidence = []string{"version 2"}
		return f
	}
	f.evidence = slices.Clone(g.Asked)
	f.status, f.cause = Warn, "they are of version 1: Ubuntu 26.04 does not start on such a host, and its upgrade refuses it"
	f.fix = "take systemd.unified_cgroup_hierarchy and SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE out of the kernel's command line (GRUB_CMDLINE_LINUX in /etc/default/grub, " +
		"then: sudo update-grub), and reboot it when nothing is recorded; in a container the machine below decides"
	return f
}

// judgeSources: what is installed looks well on a host whose apt reads no sources, and nothing can be
// installed or updated there. What an installation replaces it mends by itself.
func judgeSources(v view) finding {
	f := pass("the package sources of " + v.Host.Name)
	s := v.Survey.Sources
	if s.Unreadable == "" {
		return f
	}
	f.status, f.evidence = Fail, strings.Split(s.Unreadable, "\n")
	f.cause = "apt reads none of them: " + f.evidence[0]
	f.fix = "on the host: correct or remove the file that apt names, until sudo apt-get update is content"
	if len(s.Clash) == 2 {
		f.cause = fmt.Sprintf("apt reads none of them, since two files list %s %s with different keys: %s, and %s", s.Clash[0].URI, s.Clash[0].Suite, s.Clash[0], s.Clash[1])
		f.fix = apt.ClashFix(s.Clash)
	}
	for _, file := range v.replaced() {
		if len(s.Clash) == 2 && (s.Clash[0].File == file || s.Clash[1].File == file) {
			f.status, f.fix = Warn, "valtctl install and valtctl update replace "+file+"; until then: "+f.fix
		}
	}
	return f
}

// replaced lists the source files that the release's own take the place of.
func (v view) replaced() []string {
	var all []string
	if v.in.Manifest != nil {
		for _, s := range v.in.Manifest.Apt {
			all = append(all, s.Replaces...)
		}
	}
	return all
}

// judgeVariants: a release is tried with the files that everybody has.
func judgeVariants(v view) finding {
	f := pass("the package variants of " + v.Host.Name)
	if takes := v.Survey.Sources.Variants; len(takes) > 0 {
		f.status, f.fix = Fail, apt.VariantsFix
		f.cause = "apt is set to take " + list(takes) + ": other files than those that releases are tried with, under the same names and versions"
		f.evidence = []string{"APT::Architecture-Variants: " + list(takes)}
		return f
	}
	f.evidence = []string{"none"}
	return f
}

// engineProgram says whether a process is the engine itself: those that hold containers up live as long
// as these, by design.
func engineProgram(o survey.Outdated) bool {
	return o.Program == "dockerd" || o.Program == "containerd"
}

func containersOwn(o survey.Outdated) bool {
	return strings.HasPrefix(o.Program, "containerd-shim") || o.Program == "docker-proxy" || o.Program == "docker-init"
}

// judgeEngineCurrent looks for an engine that was upgraded under its own feet: what runs is the former one,
// with its faults, and any restart of the host brings the other.
func judgeEngineCurrent(v view) finding {
	f := pass("the engine that runs on " + v.Host.Name)
	var units []string
	for _, o := range v.Survey.Outdated {
		if !engineProgram(o) {
			continue
		}
		f.evidence = append(f.evidence, replacedText(o))
		units = append(units, unitOr(o, o.Program))
	}
	if len(units) == 0 {
		return f
	}
	slices.Sort(units)
	units = slices.Compact(units)
	version := ""
	if v.Facts.Engine != nil {
		version = " (version " + v.Facts.Engine.Version + ")"
	}
	f.status, f.cause = Warn, "it was upgraded and not restarted: what runs still"+version+" is older than its installed package"
	f.fix = "when nothing is recorded on it: sudo systemctl restart " + strings.Join(units, " ")
	return f
}

func replacedText(o survey.Outdated) string {
	return fmt.Sprintf("%s (process %d): %s was replaced since it started", o.Program, o.PID, o.File)
}

func unitOr(o survey.Outdated, other string) string {
	if o.Unit == "" {
		return other
	}
	return o.Unit
}

// judgeOutdated looks for programs whose libraries were replaced: what an update mended is not mended in them.
// Logins end by themselves.
func judgeOutdated(v view) finding {
	f := pass("programs that run on replaced files on " + v.Host.Name)
	var restart, reboot []string
	for _, o := range v.Survey.Outdated {
		if engineProgram(o) || containersOwn(o) {
			continue
		}
		f.evidence = append(f.evidence, replacedText(o))
		switch unit := o.Unit; {
		case strings.HasPrefix(unit, "session-") || strings.HasPrefix(unit, "user@"):
		case o.PID == 1 || unit == "" || unit == "dbus.service" || unit == "init.scope":
			reboot = append(reboot, unitOr(o, o.Program))
		default:
			restart = append(restart, unit)
		}
	}
	slices.Sort(restart)
	restart = slices.Compact(restart)
	if len(restart)+len(reboot) == 0 {
		return f
	}
	f.status, f.cause = Warn, "they run on files that an update replaced, and so without what it mended: "+list(append(slices.Clone(restart), reboot...))
	switch {
	case len(reboot) > 0:
		f.fix = "reboot it when nothing is recorded: sudo systemctl reboot"
	default:
		f.fix = "sudo systemctl restart " + strings.Join(restart, " ")
	}
	return f
}

// judgeForward: a packet to or from a container passes every chain that anybody put in its way.
func judgeForward(v view) finding {
	f := pass("packets to and from containers on " + v.Host.Name)
	if len(v.Survey.Forward) == 0 {
		return f
	}
	f.status = Warn
	var causes, undo []string
	for _, b := range v.Survey.Forward {
		causes = append(causes, b.Where+": "+b.Why)
		undo = append(undo, b.Undo)
		if b.Sure {
			f.status = Fail
		}
	}
	f.evidence, f.cause = causes, "rules of another firewall or of an engine before may drop them: "+strings.Join(causes, "; ")
	if f.status == Fail {
		f.cause = "rules of another firewall or of an engine before drop them: " + strings.Join(causes, "; ")
	}
	f.fix = "if nothing on the host needs them: " + strings.Join(undo, "; ") + "; and take them out of what loads them at boot (/etc/nftables.conf, /etc/iptables)"
	return f
}

// judgeInside: containers ask by the engine, from networks of their own.
func judgeInside(v view) finding {
	f := pass("the names that containers on " + v.Host.Name + " need")
	if len(v.Survey.Inside) == 0 {
		return finding{} // none runs that has a network of its own
	}
	var bad []string
	for _, c := range v.Survey.Inside {
		about := fmt.Sprintf("%s, network %s, by %s", c.Container, c.Network, list(c.Servers))
		f.evidence = append(f.evidence, about)
		f.evidence = append(f.evidence, c.Failed...)
		if len(c.Failed) > 0 {
			bad = append(bad, fmt.Sprintf("%s does not resolve %s", c.Container, c.Failed[0]))
		}
	}
	if len(bad) == 0 {
		return f
	}
	f.status, f.cause = Fail, strings.Join(bad, "; ")
	f.fix = "let containers reach the host's name servers (udp/53, tcp/53; sudo nft list ruleset); if /etc/resolv.conf changed since they started: restart them when nothing is recorded"
	if v.Names != nil && v.Names.Verdict == probe.Works {
		f.cause += ", though the host itself does"
	}
	return f
}
