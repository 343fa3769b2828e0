package check

import (
	"fmt"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/installer/survey"
	"ipivs.com/valtctl/repos/release"
)

// What an update takes on the disk: an image its compressed size and three times that
// unpacked (as the step that pulls it reckons), a package as much, and something is to be
// left for the host itself (docs/assumptions.md).
const (
	unpacked    = 4
	updateLeave = 2 << 30
)

// updateChecks lists what is asked of a host that is to be updated.
func updateChecks() []hostCheck {
	return []hostCheck{
		{"ubuntu", judgeUbuntu, nil},
		{"architecture", judgeArchitecture, nil},
		{"way", judgeWay, nil},
		{"download", judgeDownload, []survey.Question{survey.AskImages, survey.AskDownload}},
		{"space", judgeSpace, []survey.Question{survey.AskImages, survey.AskDownload}},
		{"packages", judgePackages, []survey.Question{survey.AskPackages}},
		{"sources", judgeSources, []survey.Question{survey.AskSources}},
		{"package-variants", judgeVariants, []survey.Question{survey.AskSources}},
		{"reboot", judgeReboot, []survey.Question{survey.AskReboot}},
	}
}

// JudgeUpdate answers the topic update: whether there is something newer, and what each
// host that lacks it would need. Nothing is fetched for it.
func JudgeUpdate(in Input) []Result {
	all := hostCheck{"release", judgeOffer, nil}.add(nil, Update, view{in: in})
	wanted := in.Offer.wanted()
	if wanted == nil {
		return all
	}
	in.Manifest = wanted
	for _, h := range in.Hosts {
		checks := updateChecks()
		if h.Facts != nil && !behind(h, wanted.Version) {
			checks = []hostCheck{{"installed", judgeInstalled, nil}}
		}
		all = append(all, judgeHost(in, h, Update, checks)...)
	}
	return all
}

// wanted is the manifest of the offer; nil: none could be read.
func (o Offer) wanted() *release.Manifest {
	for _, m := range o.Releases {
		if m.Version == o.Wanted {
			return m
		}
	}
	return nil
}

// behind says whether a host has an older release than the wanted one.
func behind(h HostSeen, wanted string) bool {
	was := h.Facts.Installed
	return was != nil && was.Release != wanted && release.Newest([]string{was.Release, wanted}) == wanted
}

// judgeOffer says whether the channel or the given version is newer than what the hosts
// have.
func judgeOffer(v view) finding {
	o := v.in.Offer
	subject := "release " + o.Wanted
	if o.Channel != "" {
		subject = "the newest release of channel " + o.Channel
	}
	f := finding{subject: subject}
	if o.Err != nil || o.wanted() == nil {
		f.status, f.cause, f.fix = Unknown, "the release repository did not tell", "see whether the network lets it through: valtctl check network"
		if o.Err != nil {
			f.cause = o.Err.Error()
		}
		return f
	}
	var older []string
	for _, h := range v.in.Hosts {
		if h.Facts != nil && behind(h, o.Wanted) {
			older = append(older, fmt.Sprintf("%s has %s", h.Host.Name, h.Facts.Installed.Release))
		}
	}
	if len(older) == 0 {
		return pass(subject, "nothing newer than "+o.Wanted+" for any host that was asked")
	}
	return pass(subject, append([]string{o.Wanted + " is newer than what is installed"}, older...)...)
}

// judgeInstalled is the one result of a host that needs no update.
func judgeInstalled(v view) finding {
	f := pass("the release on " + v.Host.Name)
	was := v.Facts.Installed
	switch wanted := v.in.Offer.Wanted; {
	case was == nil:
		f.status, f.cause, f.fix = Unknown, "valtctl has installed nothing there", "valtctl install"
	case was.Release == wanted:
		f.evidence = []string{wanted + " is installed"}
	default:
		f.status, f.cause = Warn, fmt.Sprintf("it has %s, which is newer than %s", was.Release, wanted)
		f.fix = "an update never goes back; ask for a newer release, or see valtctl rollback"
	}
	return f
}

// judgeWay looks for the releases that the update goes through, and whether the wanted one
// may serve beside what the other hosts have until it is their turn.
func judgeWay(v view) finding {
	o, from := v.in.Offer, v.Facts.Installed.Release
	f := pass(fmt.Sprintf("the way of %s from %s to %s", v.Host.Name, from, o.Wanted))
	way, err := release.Way(from, o.Releases)
	if err != nil {
		f.status, f.cause, f.fix = Fail, err.Error(), "ask the vendor how to get from "+from+" to "+o.Wanted
		return f
	}
	if len(way) > 1 {
		var through []string
		for _, m := range way[:len(way)-1] {
			through = append(through, m.Version)
		}
		f.status, f.cause = Warn, "it goes through "+list(through)+" first"
		f.fix = "valtctl update does so by itself; reckon with a longer window, or begin with: valtctl update --to " + through[0]
	}
	for _, other := range v.in.Hosts {
		if other.Host.Name == v.Host.Name || other.Facts == nil || other.Facts.Installed == nil {
			continue
		}
		for _, role := range other.Host.Roles {
			if err := way[0].AllowsBeside(string(role), other.Facts.Installed.Release); err != nil {
				f.status, f.cause = Fail, err.Error()
				f.fix = "update " + other.Host.Name + " to a release in that range first"
			}
		}
	}
	return f
}

// load is what an update has to bring to a host.
type load struct {
	images, packages int64 // bytes to fetch
	names            []string
	unknown          []string // packages that the host's own lists do not have yet
}

// load reckons what the host lacks of the wanted release. An image that its engine has
// under any of its digests is there.
func (v view) load() (load, bool) {
	m := v.in.Manifest
	if v.Survey.Download == nil {
		return load{}, false
	}
	l := load{packages: v.Survey.Download.Bytes, unknown: v.Survey.Download.Unknown}
	for _, name := range imagesFor(v.Host, v.in.Offer) {
		p, ok := m.Images[name].Platforms["linux/"+v.Facts.Arch]
		has := slices.ContainsFunc([]string{p.Config, p.Manifest, p.Index}, func(d string) bool { return d != "" && slices.Contains(v.Survey.Images, d) })
		if ok && !has {
			l.images += p.Size
			l.names = append(l.names, name)
		}
	}
	return l, true
}

func imagesFor(h site.Host, o Offer) []string {
	var all []string
	for _, role := range h.Roles {
		all = append(all, o.Images[role]...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func judgeDownload(v view) finding {
	f := pass("what " + v.Host.Name + " has to fetch")
	l, ok := v.load()
	if !ok {
		f.status, f.cause, f.fix = Unknown, "apt did not tell what it would fetch", "see the other results about apt on this host"
		return f
	}
	f.evidence = []string{fmt.Sprintf("images: %s (%s)", mib(l.images), orNone(l.names)), "packages: " + mib(l.packages)}
	if len(l.unknown) > 0 {
		f.evidence = append(f.evidence, "not in the host's package lists yet, so not or by an older version in the sum: "+list(l.unknown))
	}
	return f
}

func orNone(words []string) string {
	if len(words) == 0 {
		return "all are there"
	}
	return list(words)
}

func mib(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// judgeSpace wants room for all at once where images and packages share a file system.
func judgeSpace(v view) finding {
	f := pass("space on " + v.Host.Name + " for the update")
	l, ok := v.load()
	if !ok {
		f.status, f.cause, f.fix = Unknown, "it is not known how much would be fetched", "see the other results about apt on this host"
		return f
	}
	root := applicationFolder + "/docker"
	if e := v.Facts.Engine; e != nil && e.Root != "" {
		root = e.Root
	}
	need := map[string]int64{}
	for path, bytes := range map[string]int64{root: l.images, "/var/cache/apt": l.packages} {
		if fs, ok := on(v.Facts.Filesystems, path); ok {
			need[fs.Mount] += bytes * unpacked
		}
	}
	for _, fs := range v.Facts.Filesystems {
		bytes, ok := need[fs.Mount]
		if !ok {
			continue
		}
		f = roomFor(f, fs, bytes+updateLeave)
	}
	return f
}

func roomFor(f finding, fs facts.Filesystem, need int64) finding {
	f.evidence = append(f.evidence, fmt.Sprintf("%s: %s free, about %s wanted", fs.Mount, gib(fs.Free), gib(need)))
	if fs.Free < need {
		f.status, f.cause = Fail, fmt.Sprintf("%s has %s free, and the update wants about %s", fs.Mount, gib(fs.Free), gib(need))
		f.fix = "free space there or enlarge it: sudo du -xh --max-depth=2 " + strings.TrimSuffix(fs.Mount, "/") + "/ | sort -h | tail"
	}
	return f
}
