package check

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"ipivs.com/valtctl/installer/survey"
)

// How long before its end a thing is spoken of.
const (
	certificateNotice = 30 * day
	keyNotice         = 90 * day
)

// expiring collects what ends.
type expiring struct {
	now time.Time
	all []Result
}

// ending is one thing that ends.
type ending struct {
	host, name, subject string
	until               time.Time
	notice              time.Duration
	fix                 string
	evidence            []string
}

// add judges one thing that ends.
func (x *expiring) add(e ending) {
	about := e.host
	if about == "" {
		about = whole
	}
	until := e.until.UTC()
	r := Result{ID: id(Expiry, about, e.name), Topic: Expiry, Host: e.host, Subject: e.subject, Status: Pass, Until: &until, Evidence: e.evidence}
	left := until.Sub(x.now)
	switch {
	case left <= 0:
		r.Status, r.Cause, r.Fix = Fail, "it ended on "+date(until), e.fix
	case left <= e.notice:
		r.Status, r.Cause, r.Fix = Warn, fmt.Sprintf("it ends on %s, in %s", date(until), days(left)), e.fix
	}
	x.all = append(x.all, r)
}

func days(d time.Duration) string {
	switch n := int(d / day); n {
	case 0:
		return "less than a day"
	case 1:
		return "1 day"
	default:
		return fmt.Sprintf("%d days", n)
	}
}

// unknown notes what could not be looked at.
func (x *expiring) unknown(host, name, subject, cause, fix string) {
	about := host
	if about == "" {
		about = whole
	}
	x.all = append(x.all, Result{ID: id(Expiry, about, name), Topic: Expiry, Host: host, Subject: subject, Status: Unknown, Cause: cause, Fix: fix})
}

// JudgeExpiry answers the topic expiry, the soonest end first; what has none comes last.
func JudgeExpiry(in Input) []Result {
	x := &expiring{now: in.Now}
	x.site(in)
	x.metadata(in)
	for _, h := range in.Hosts {
		v, missing := seen(in, h, Expiry)
		x.all = append(x.all, missing...)
		if h.Survey != nil && h.Facts != nil {
			x.host(v)
		}
	}
	slices.SortStableFunc(x.all, func(a, b Result) int {
		switch {
		case a.Until == nil && b.Until == nil:
			return 0
		case a.Until == nil:
			return 1
		case b.Until == nil:
			return -1
		}
		return a.Until.Compare(*b.Until)
	})
	return x.all
}

// site adds the certificates that no host tells of.
func (x *expiring) site(in Input) {
	const renew = "have it renewed, put it in the old one's place, and run valtctl install"
	if in.Site.SSL && in.Site.Cloud == nil {
		subject := "the certificate for " + in.Site.Name
		leaf, err := in.Certificate.leaf()
		if err != nil {
			x.unknown("", "certificate", subject, err.Error(), "put the file there, or name another under tls: in the site file")
		} else {
			x.add(ending{name: "certificate", subject: subject, until: leaf.NotAfter, notice: certificateNotice, fix: renew, evidence: []string{in.Site.TLS.Certificate}})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(in.Endpoints)) {
		x.add(ending{name: "endpoint/" + name, subject: "the certificate that " + name + " shows", until: in.Endpoints[name], notice: certificateNotice,
			fix: "tell whoever runs " + name + "; without it updates stop"})
	}
}

// metadata adds the roles of the release repository.
func (x *expiring) metadata(in Input) {
	ends := in.Metadata.Expiries()
	if len(ends) == 0 {
		cause := "nothing is known of it"
		if in.MetadataErr != nil {
			cause = in.MetadataErr.Error()
		}
		x.unknown("", "release", "the release repository's metadata", cause, "run valtctl check again where the release repository can be reached")
		return
	}
	for _, e := range ends {
		x.add(ending{name: "release/" + e.Role, subject: "the release repository's " + e.Role + " metadata", until: e.Expires, notice: e.Notice(),
			fix: "ask the vendor to sign it again; no new release can be installed after its end, all else goes on"})
	}
}

// host adds what one host tells of.
func (x *expiring) host(v view) {
	name := v.Host.Name
	for _, c := range v.Survey.Certificates {
		at, subject := "certificate"+c.Path, fmt.Sprintf("the certificate %s on %s", c.Path, name)
		switch {
		case c.Missing && v.Facts.Installed == nil:
		case c.Missing:
			x.unknown(name, at, subject, "it is not there", "run valtctl install")
		case c.Err != "" || c.NotAfter == nil:
			x.unknown(name, at, subject, c.Err, "run valtctl install")
		default:
			x.add(ending{name, at, subject, *c.NotAfter, certificateNotice, "have it renewed, put it into tls.certificate, and run valtctl install", nil})
		}
	}
	x.keys(v)
	for _, l := range v.Survey.Lists {
		if l.ValidUntil != nil {
			// apt fetches a new one every day: only a past end tells anything.
			x.add(ending{name, "apt-index/" + l.Name, fmt.Sprintf("the apt index %s on %s", l.Name, name), *l.ValidUntil, 0, "on the host: sudo apt-get update", nil})
		}
	}
	if s := v.Survey.Support; s != nil {
		evidence := []string{"says " + s.Source}
		if !s.Paid.IsZero() {
			evidence = append(evidence, "with Ubuntu Pro until "+date(s.Paid))
		}
		x.add(ending{name, "ubuntu", fmt.Sprintf("support of %s on %s", v.Facts.OS.Pretty, name), s.Until, supportNotice, "plan the move to a newer LTS release that VALT is made for", evidence})
	}
	for _, q := range []survey.Question{survey.AskCertificates, survey.AskKeys, survey.AskLists, survey.AskSupport} {
		if why, failed := v.Survey.Problems[q]; failed {
			x.unknown(name, "question/"+string(q), fmt.Sprintf("what ends on %s (%s)", name, q), why, "run valtctl check again")
		}
	}
}

// keys adds apt's keyrings, each by the last of its keys: an old key beside its successor
// is how keys are changed. What has no end is left out.
func (x *expiring) keys(v view) {
	files := map[string][]survey.Key{}
	for _, k := range v.Survey.Keys {
		files[k.File] = append(files[k.File], k)
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		subject := fmt.Sprintf("the apt keys in %s on %s", file, v.Host.Name)
		until, endless, evidence := lastOf(files[file])
		used := files[file][0].Used
		const fix = "get the publisher's new key, or run valtctl install if the source is the release's"
		switch {
		case endless:
		case until.IsZero() && used:
			x.unknown(v.Host.Name, "apt-key"+file, subject, list(evidence), fix)
		case until.IsZero():
		case !used && until.Before(x.now):
			// It lies there from old times, and no source names it.
		default:
			x.add(ending{v.Host.Name, "apt-key" + file, subject, until, keyNotice, fix, evidence})
		}
	}
}

// lastOf is when the last usable key of a file ends.
func lastOf(keys []survey.Key) (until time.Time, endless bool, evidence []string) {
	for _, k := range keys {
		switch {
		case k.Err != "":
			evidence = append(evidence, k.Err)
		case k.Revoked:
			evidence = append(evidence, k.Owner+": revoked")
		case k.Expires == nil:
			endless = true
		default:
			evidence = append(evidence, fmt.Sprintf("%s: %s", k.Owner, date(*k.Expires)))
			if k.Expires.After(until) {
				until = *k.Expires
			}
		}
	}
	return until, endless, evidence
}
