package check

import (
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/site"
)

// NameQuestion asks each name server that a host itself uses for every name that the site
// needs. The flows show whether a name resolves at all; this, whether every server knows
// it: the second one answers when the first is being restarted.
func NameQuestion(s *site.Site) probe.Spec {
	return probe.Spec{ID: "names", Ask: probe.AskDNS, Protocol: "udp", Names: asker{site: s}.names()}
}

// judgeNames is about the answers. A server that is silent is a warning, since others may
// answer; one that does not know a name, or invents answers, fails what needs the name.
func judgeNames(v view) finding {
	if v.Names == nil {
		return finding{}
	}
	f := finding{subject: "the names that " + v.Host.Name + " needs, at each of its name servers", evidence: v.Names.Evidence, cause: v.Names.Cause}
	switch v.Names.Verdict {
	case probe.Works:
		f.status = Pass
	case probe.Unknown, "":
		f.status, f.fix = Unknown, "run valtctl check again"
	case probe.Filtered, probe.Refused:
		f.status, f.fix = Warn, "allow udp/53 and tcp/53 from the host to its name servers, or take the silent one out of its settings"
	default:
		f.status, f.fix = Fail, "have every name server of the host resolve these names, or use others: network.dns in the site file"
	}
	return f
}
