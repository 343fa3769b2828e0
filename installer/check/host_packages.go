package check

import (
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/facts"
)

func judgePackages(v view) finding {
	f := pass("apt and dpkg of " + v.Host.Name)
	p := v.Survey.Packages
	held := v.heldOfRelease()
	switch {
	case len(p.Damage) > 0:
		f.status, f.cause, f.evidence = Fail, "an installation was left half done: "+p.Damage[0], p.Damage
		f.fix = "on the host: sudo dpkg --configure -a, then sudo apt-get -f install"
	case p.Broken != "":
		f.status, f.cause, f.evidence = Fail, "packages lack what they need", slices.Collect(strings.Lines(p.Broken))
		f.fix = "on the host: sudo apt-get -f install, after reading what it would change"
	case len(held) > 0:
		f.status, f.cause = Fail, "somebody told dpkg to leave packages of the release as they are: "+list(held)
		f.fix = "on the host: sudo apt-mark unhold " + strings.Join(held, " ")
	case p.Lock != "":
		f.status, f.cause = Warn, "another program installs or updates packages now: "+p.Lock
		f.fix = "let it finish; valtctl waits for it as well"
	case len(p.Held) > 0:
		f.evidence = []string{"left as they are by somebody's wish: " + list(p.Held)}
	}
	for i := range f.evidence {
		f.evidence[i] = strings.TrimSpace(f.evidence[i])
	}
	return f
}

// heldOfRelease lists the held packages that the release would change.
func (v view) heldOfRelease() []string {
	var all []string
	if v.in.Manifest == nil {
		return nil
	}
	for _, p := range v.in.Manifest.Packages {
		if slices.Contains(v.Survey.Packages.Held, p.Name) {
			all = append(all, p.Name)
		}
	}
	return all
}

func judgeSnap(v view) finding {
	f := pass("Docker as a snap on " + v.Host.Name)
	if v.Facts.SnapDocker == "" {
		f.evidence = []string{"there is none"}
		return f
	}
	return finding{subject: f.subject, status: Fail, cause: "Docker is installed as a snap, which cannot see /etc and /srv and updates itself whenever it likes",
		evidence: []string{v.Facts.SnapDocker}, fix: facts.SnapFix}
}
