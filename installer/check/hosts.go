package check

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/facts"
	"ipivs.com/valtctl/installer/survey"
)

// whole stands for the site in the ids of what is about no single host.
const whole = "site"

// view is one host as its checks see it; of the whole site, Host is empty.
type view struct {
	in Input
	HostSeen
	Facts  facts.Facts
	Survey survey.Reply
}

// finding is what one check found. Without a status the check does not apply.
type finding struct {
	subject  string
	status   Status
	cause    string
	fix      string
	evidence []string
}

// hostCheck is one check of one host. The questions are those of the survey that it rests
// on: where one could not be answered, nothing is a pass.
type hostCheck struct {
	name      string
	judge     func(v view) finding
	questions []survey.Question
}

// hostChecks lists every check of a host. A new one is a function and a line here.
func hostChecks() []hostCheck {
	type q = []survey.Question
	return []hostCheck{
		{"ubuntu", judgeUbuntu, nil},
		{"support", judgeSupport, q{survey.AskSupport}},
		{"architecture", judgeArchitecture, nil},
		{"virtualization", judgeVirtualization, nil},
		{"cpus", judgeCPUs, nil},
		{"memory", judgeMemory, nil},
		{"disk", judgeDisk, nil},
		{"boot", judgeBoot, nil},
		{"inodes", judgeInodes, q{survey.AskInodes}},
		{"recordings", judgeRecordings, nil},
		{"write-speed", judgeWriteSpeed, q{survey.AskWrites}},
		{"clock", judgeClock, nil},
		{"vendor-clock", judgeVendorClock, nil},
		{"time-service", judgeTimeService, q{survey.AskTime}},
		{"resolvers", judgeResolvers, q{survey.AskResolvers}},
		{"names", judgeNames, nil},
		{"ports", judgePorts, q{survey.AskListeners}},
		{"tenants", judgeTenants, nil},
		{"packages", judgePackages, q{survey.AskPackages}},
		{"sources", judgeSources, q{survey.AskSources}},
		{"package-variants", judgeVariants, q{survey.AskSources}},
		{"snap-docker", judgeSnap, nil},
		{"address-pools", judgePools, q{survey.AskRoutes, survey.AskNetworks}},
		{"proxy", judgeProxy, q{survey.AskProxy}},
		{"reboot", judgeReboot, q{survey.AskReboot}},
		{"automatic-reboot", judgeAutomaticReboot, q{survey.AskReboot}},
		{"automatic-engine", judgeAutomaticEngine, q{survey.AskReboot}},
		{"firewall", judgeFirewall, q{survey.AskFirewall}},
		{"forwarding", judgeForward, q{survey.AskForward}},
		{"container-names", judgeInside, q{survey.AskInside}},
		{"engine-current", judgeEngineCurrent, q{survey.AskOutdated}},
		{"replaced-files", judgeOutdated, q{survey.AskOutdated}},
		{"control-groups", judgeCgroups, q{survey.AskCgroups}},
		{"dongle", judgeDongle, nil},
	}
}

// siteChecks lists what is asked once of a site.
func siteChecks() []hostCheck {
	return []hostCheck{
		{"certificate", judgeCertificate, nil},
		{"clocks", judgeClocks, nil},
		{"clones", judgeClones, nil},
		{"cameras", judgeCameras, nil},
	}
}

// JudgeHosts answers the topic hosts: the whole site first, then host by host.
func JudgeHosts(in Input) []Result {
	var all []Result
	for _, c := range siteChecks() {
		all = c.add(all, Hosts, view{in: in})
	}
	for _, h := range in.Hosts {
		all = append(all, judgeHost(in, h, Hosts, hostChecks())...)
	}
	return all
}

// judgeHost runs checks of one host. A host that told nothing gets one result for all.
func judgeHost(in Input, h HostSeen, topic Topic, checks []hostCheck) []Result {
	v, all := seen(in, h, topic)
	if h.Facts == nil {
		return all
	}
	for _, c := range checks {
		if h.Survey == nil && len(c.questions) > 0 {
			continue
		}
		all = c.add(all, topic, v)
	}
	return all
}

// seen is a host as checks see it, and what there is to say about its not being seen.
func seen(in Input, h HostSeen, topic Topic) (view, []Result) {
	v := view{in: in, HostSeen: h}
	var all []Result
	missing := func(name, what string, err error) {
		if err == nil {
			err = errors.New("it was not asked")
		}
		all = append(all, Result{ID: id(topic, h.Host.Name, name), Topic: topic, Host: h.Host.Name, Status: Unknown,
			Subject: what + " " + h.Host.Name, Cause: err.Error(), Fix: "run valtctl check again when " + h.Host.Name + " can be reached"})
	}
	if h.Facts == nil {
		missing("facts", "what is known of", h.FactsErr)
		return v, all
	}
	v.Facts = *h.Facts
	if h.Survey == nil {
		missing("survey", "ports, packages, disks and settings of", h.SurveyErr)
		return v, all
	}
	v.Survey = *h.Survey
	return v, all
}

// add runs the check and adds its result, if it applies.
func (c hostCheck) add(all []Result, topic Topic, v view) []Result {
	f := c.judge(v)
	if f.status == "" {
		return all
	}
	for _, q := range c.questions {
		why, failed := v.Survey.Problems[q]
		if !failed {
			continue
		}
		if f.status == Pass {
			f = finding{subject: f.subject, status: Unknown, cause: "it could not be looked at: " + why,
				fix: "run valtctl check again; if it stays so, look at the host's log with valtctl logs"}
			continue
		}
		f.evidence = append(f.evidence, "not all could be looked at: "+why)
	}
	about := v.Host.Name
	if about == "" {
		about = whole
	}
	return append(all, Result{ID: id(topic, about, c.name), Topic: topic, Host: v.Host.Name, Subject: f.subject,
		Status: f.status, Cause: f.cause, Evidence: f.evidence, Fix: f.fix})
}

func id(topic Topic, host, name string) string { return fmt.Sprintf("%s/%s/%s", topic, host, name) }

// pass is a finding that is as it should be.
func pass(subject string, evidence ...string) finding {
	return finding{subject: subject, status: Pass, evidence: slices.DeleteFunc(evidence, func(s string) bool { return s == "" })}
}

// gib writes bytes for people.
func gib(n int64) string { return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30)) }

// list joins words for people.
func list(words []string) string { return strings.Join(words, ", ") }
