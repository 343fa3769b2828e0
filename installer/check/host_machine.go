package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/site"
)

// What one role needs to run well. The vendor's page names no sizes; these are ours
// (docs/assumptions.md). A host with both roles needs both. Below half it fails.
const (
	roleCPUs   = 4
	roleMemory = 8 << 30
	// The kernel keeps some of what the machine has to itself.
	memorySlack = 7 // percent
)

// Before the end of support this long it is spoken of.
const supportNotice = 90 * day

const day = 24 * time.Hour

func judgeUbuntu(v view) finding {
	os := v.Facts.OS
	f := finding{subject: "the system of " + v.Host.Name, status: Fail, evidence: []string{fmt.Sprintf("%s (%s %s)", os.Pretty, os.ID, os.VersionID)}}
	lts := isLTS(os.VersionID)
	switch m := v.in.Manifest; {
	case os.ID != "ubuntu":
		f.cause, f.fix = "it is not Ubuntu", "install Ubuntu Server LTS on it"
	case m != nil && !slices.Contains(m.Ubuntu, os.VersionID):
		f.cause, f.fix = fmt.Sprintf("release %s is not made for it", m.Version), "use a server with Ubuntu "+strings.Join(m.Ubuntu, " or ")
	case !lts:
		f.cause, f.fix = "it is no LTS release, and gets updates for nine months only", "install an LTS release of Ubuntu Server"
	case m == nil:
		f.status, f.cause, f.fix = Unknown, "no release of VALT could be read, so what it is made for is not known", "run valtctl check again where the release repository can be reached"
	default:
		f.status = Pass
	}
	return f
}

// isLTS goes by Ubuntu's numbers: April of even years (ubuntu.com/about/release-cycle).
func isLTS(version string) bool {
	year, month, _ := strings.Cut(version, ".")
	return month == "04" && year != "" && strings.ContainsRune("02468", rune(year[len(year)-1]))
}

func judgeSupport(v view) finding {
	s := v.Survey.Support
	if v.Facts.OS.ID != "ubuntu" {
		return finding{}
	}
	subject := "Ubuntu's support on " + v.Host.Name
	if s == nil {
		return finding{subject: subject, status: Unknown, cause: "its end is not known", fix: "look it up at ubuntu.com/about/release-cycle"}
	}
	f := finding{subject: subject, evidence: []string{fmt.Sprintf("until %s, says %s", date(s.Until), s.Source)},
		fix: "plan the move to a newer LTS release that VALT is made for"}
	if !s.Paid.IsZero() {
		f.evidence = append(f.evidence, "with Ubuntu Pro until "+date(s.Paid))
	}
	switch now := v.in.Now; {
	case now.After(s.Until) && !now.Before(s.Paid):
		f.status, f.cause = Fail, "it ended on "+date(s.Until)
	case now.After(s.Until):
		f.status, f.cause = Warn, fmt.Sprintf("it ended on %s; only Ubuntu Pro has updates still", date(s.Until))
	case s.Until.Sub(now) <= supportNotice:
		f.status, f.cause = Warn, "it ends on "+date(s.Until)
	default:
		return pass(subject, f.evidence...)
	}
	return f
}

func date(t time.Time) string { return t.UTC().Format(time.DateOnly) }

func judgeArchitecture(v view) finding {
	f := finding{subject: "the processor of " + v.Host.Name, evidence: []string{v.Facts.Arch}, status: Pass}
	m := v.in.Manifest
	if m == nil {
		if v.Facts.Arch != "amd64" {
			f.status, f.cause, f.fix = Unknown, "no release of VALT could be read, so what it is made for is not known", "run valtctl check again where the release repository can be reached"
		}
		return f
	}
	var without []string
	for name, image := range m.Images {
		if _, ok := image.Platforms["linux/"+v.Facts.Arch]; !ok {
			without = append(without, name)
		}
	}
	if len(without) > 0 {
		slices.Sort(without)
		f.status, f.cause = Fail, fmt.Sprintf("release %s has no %s for %s", m.Version, list(without), v.Facts.Arch)
		f.fix = "use a server of another architecture: amd64 is the usual one"
	}
	return f
}

func judgeVirtualization(v view) finding {
	subject := "the machine below " + v.Host.Name
	switch kind := v.Facts.Virtualization; kind {
	case "", "none":
		return pass(subject, "no virtual machine")
	case "docker", "lxc", "lxc-libvirt", "podman", "systemd-nspawn", "openvz", "container-other", "wsl", "rkt", "proot", "pouch":
		return finding{subject: subject, status: Warn, cause: "it is a container (" + kind + "), which is good for practice only", evidence: []string{kind},
			fix: "use a virtual or physical machine for a site that serves"}
	default:
		return pass(subject, "virtual machine: "+kind)
	}
}

func judgeCPUs(v view) finding {
	return enough(v, finding{subject: "processors of " + v.Host.Name, evidence: []string{fmt.Sprintf("%d processors", v.Facts.CPUs)}},
		int64(v.Facts.CPUs), roleCPUs, func(n int64) string { return fmt.Sprintf("%d processors", n) })
}

func judgeMemory(v view) finding {
	return enough(v, finding{subject: "memory of " + v.Host.Name, evidence: []string{gib(v.Facts.MemoryBytes)}},
		v.Facts.MemoryBytes*100/(100-memorySlack), roleMemory, gib)
}

// enough compares what a host has with what its roles need together.
func enough(v view, f finding, has, forRole int64, text func(int64) string) finding {
	need := forRole * int64(max(1, len(v.Host.Roles)))
	f.status, f.fix = Pass, fmt.Sprintf("give the machine %s for %s", text(need), roleNames(v.Host))
	switch {
	case has == 0:
		f.status, f.cause, f.fix = Unknown, "the host does not tell", "look at the machine itself"
	case has < need/2:
		f.status, f.cause = Fail, fmt.Sprintf("it is less than half of %s, which %s should have", text(need), roleNames(v.Host))
	case has < need:
		f.status, f.cause = Warn, fmt.Sprintf("%s should have %s", roleNames(v.Host), text(need))
	default:
		f.fix = ""
	}
	return f
}

func roleNames(h site.Host) string {
	names := site.ShortNames(slices.DeleteFunc(site.Roles(), func(r site.Role) bool { return !h.Has(r) }))
	article := "a"
	if len(names) > 0 && strings.ContainsRune("aeiou", rune(names[0][0])) {
		article = "an"
	}
	return fmt.Sprintf("%s %s server", article, strings.Join(names, " and "))
}

func judgeReboot(v view) finding {
	subject := "a reboot that " + v.Host.Name + " waits for"
	if !v.Survey.Reboot.Required && !v.Facts.RebootRequired {
		return pass(subject, "none")
	}
	f := finding{subject: subject, status: Warn, cause: "updates of Ubuntu take effect only after a reboot", fix: "reboot it when nothing is recorded: sudo systemctl reboot"}
	if len(v.Survey.Reboot.Packages) > 0 {
		f.evidence = []string{"because of " + list(v.Survey.Reboot.Packages)}
	}
	return f
}

func judgeAutomaticReboot(v view) finding {
	subject := "reboots that " + v.Host.Name + " makes by itself"
	r := v.Survey.Reboot
	if !r.Automatic {
		return pass(subject, "none")
	}
	return finding{subject: subject, status: Warn, cause: fmt.Sprintf("unattended-upgrades reboots it (%s), whether or not a recording runs", r.At),
		evidence: []string{"Unattended-Upgrade::Automatic-Reboot is true"},
		fix:      `write Unattended-Upgrade::Automatic-Reboot "false"; into /etc/apt/apt.conf.d/99-no-reboot on the host`}
}

// judgeAutomaticEngine: an installation writes which packages are left alone, so before one there is
// nothing to say.
func judgeAutomaticEngine(v view) finding {
	subject := "upgrades of Docker that " + v.Host.Name + " makes by itself"
	if v.Facts.Installed == nil {
		return pass(subject, "an installation keeps it from any")
	}
	may := v.Survey.Reboot.Engine
	if len(may) == 0 {
		return pass(subject, "none")
	}
	return finding{subject: subject, status: Warn, cause: fmt.Sprintf("unattended-upgrades may upgrade %s, which restarts the engine whether or not a recording runs", list(may)),
		evidence: []string{"Unattended-Upgrade::Package-Blacklist does not name them"},
		fix:      "valtctl update writes the settings of its own anew; look for a file of /etc/apt/apt.conf.d that clears the list"}
}

func judgeDongle(v view) finding {
	if v.Host.Wowza.License != site.Physical || !v.Host.HasEngine() {
		return finding{}
	}
	f := finding{subject: "the USB licence key of " + v.Host.Name, status: Pass}
	if v.in.Manifest == nil {
		f.status, f.cause, f.fix = Unknown, "no release of VALT could be read, so what the key looks like is not known", "run valtctl check again where the release repository can be reached"
		return f
	}
	want := v.in.Manifest.Dongle
	at := slices.IndexFunc(v.Facts.USB, func(d facts.USBDevice) bool {
		return d.Vendor == want.Vendor && (want.Product == "" || d.Product == want.Product)
	})
	if at >= 0 {
		d := v.Facts.USB[at]
		f.evidence = []string{strings.TrimSpace(fmt.Sprintf("%s:%s %s", d.Vendor, d.Product, d.Name))}
		return f
	}
	f.status, f.cause = Fail, "no device of vendor "+want.Vendor+" is plugged in"
	for _, d := range v.Facts.USB {
		f.evidence = append(f.evidence, strings.TrimSpace(fmt.Sprintf("plugged in: %s:%s %s", d.Vendor, d.Product, d.Name)))
	}
	f.fix = "plug it in (in a virtual machine: pass it through), or write license: electronic"
	return f
}
