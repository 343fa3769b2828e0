package page

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"ipivs.com/valtctl/installer/check"
	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/updater"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func parse(t *testing.T, text string) *site.Site {
	t.Helper()
	s, err := site.Parse("site.yaml", []byte(text), "")
	if err != nil {
		t.Fatalf("parsing the site: %v", err)
	}
	return s
}

// bigSite is one application server, eight media servers and 200 cameras.
func bigSite(t *testing.T) *site.Site {
	var hosts strings.Builder
	for i := range 8 {
		fmt.Fprintf(&hosts, "  - {name: media%d, address: 10.0.4.%d, roles: [media], cameras: [10.0.%d.11-10.0.%d.35]}\n", i+1, 21+i, 20+i, 20+i)
	}
	return parse(t, `site: st-marys
ssl: true
clients: [10.0.0.0/16, 10.1.0.0/16]
admins: [10.0.99.0/28]
beam: {devices: [10.0.90.0/24]}
network: {dns: [10.0.0.53], ntp: [10.0.0.1], proxy: "http://proxy.st-marys.example:3128"}
hosts:
  - {name: app1, address: 10.0.4.10, roles: [app]}
`+hosts.String())
}

func cloudSite(t *testing.T) *site.Site {
	return parse(t, `site: clinic
ssl: true
clients: [10.0.0.0/16]
cloud: {app: valt.example.com, tunnel: vpn.example.com}
hosts:
  - {name: media1, address: 10.0.4.21, roles: [media], cameras: [10.0.9.11-10.0.9.14, {name: "</svg><script>alert(1)</script>", address: 10.0.9.20}]}
`)
}

// reportOn tries every flow of a site on paper: the clients' are unknown, every n-th of the
// others fails, and there are some results of hosts.
func reportOn(s *site.Site, n int) *check.Report {
	r := &check.Report{Site: s.ID, Time: noon, Topics: []check.Topic{check.Network, check.Hosts, check.Expiry}, Release: "6.4.2", Listened: []string{"media1: 444, 8000"}}
	for i, f := range network.Flows(s) {
		one := check.Result{ID: f.ID, Topic: check.Network, Subject: fmt.Sprintf("%s → %s, %s/%d", f.Source.Name, f.Destination.Address, f.Protocol, f.Port), Status: check.Pass, Flow: &f, Verdict: probe.Works}
		switch {
		case f.Source.Kind == network.KindNetwork:
			one.Status, one.Verdict, one.Cause = check.Unknown, probe.Unknown, "this machine is not in "+f.Source.Address
			one.Fix = "run valtctl check --from client on a computer there, or the script of valtctl network -o ps1"
		case i%n == n-1 && f.Basis == network.Advisory:
			one.Status, one.Cause = check.Warn, "no answer within 3 s"
		case i%n == n-1:
			one.Status, one.Verdict, one.Lost, one.Cause = check.Fail, probe.Filtered, probe.OnTheWay, "filtered: the packet left "+f.Source.Name+" and never came"
			one.Fix = fmt.Sprintf("allow %s from %s to %s", f.Protocol, f.Source.Address, f.Destination.Address)
			one.Evidence = []string{"sent 3 SYN, no answer within 3 s", "nothing came to " + f.Destination.Address}
		}
		r.Results = append(r.Results, one)
	}
	until := noon.AddDate(0, 2, 0)
	r.Results = append(r.Results,
		check.Result{ID: "hosts/media1/disk", Topic: check.Hosts, Host: "media1", Subject: "free space on /srv/valt of media1", Status: check.Warn, Cause: "12 GB are free, a day of recording takes 80 GB", Fix: "add a disk"},
		check.Result{ID: "hosts/media1/ubuntu", Topic: check.Hosts, Host: "media1", Subject: "Ubuntu on media1", Status: check.Pass, Evidence: []string{"Ubuntu 24.04.1 LTS"}},
		check.Result{ID: "expiry/site/certificate", Topic: check.Expiry, Subject: "certificate of valt.st-marys.example", Status: check.Warn, Cause: "ends in 61 days", Until: &until},
	)
	return r
}

// pages are those that the browser looks at, by name.
func pages(t *testing.T) map[string][]byte {
	t.Helper()
	big, cloud := bigSite(t), cloudSite(t)
	all := map[string][]byte{}
	add := func(name string, write func(*bytes.Buffer) error) {
		var out bytes.Buffer
		if err := write(&out); err != nil {
			t.Fatalf("writing %s: %v", name, err)
		}
		all[name] = out.Bytes()
	}
	add("check", func(b *bytes.Buffer) error { return Check(b, reportOn(big, 10), big) })
	add("check-cloud", func(b *bytes.Buffer) error { return Check(b, reportOn(cloud, 3), cloud) })
	add("check-hosts", func(b *bytes.Buffer) error {
		r := reportOn(big, 10)
		r.Results = r.Results[len(r.Results)-3:]
		return Check(b, r, big)
	})
	add("request", func(b *bytes.Buffer) error {
		return Request(b, big, network.Request(big, network.Flows(big), nil), nil, noon)
	})
	add("request-cloud", func(b *bytes.Buffer) error {
		return Request(b, cloud, network.Request(cloud, network.Flows(cloud), []string{"media1"}), []string{"media1"}, noon)
	})
	add("rollout", func(b *bytes.Buffer) error { return Rollout(b, haltedRollout()) })
	add("network", func(b *bytes.Buffer) error { return Network(b, big, network.Flows(big), noon) })
	return all
}

// haltedRollout is one that stopped at its second wave.
func haltedRollout() *updater.Report {
	gate := func(name, text string, passed bool) updater.Gate {
		return updater.Gate{Name: name, Text: text, Passed: passed, Time: noon}
	}
	host := func(name string, o updater.HostOutcome, wave int, reason string, gates ...updater.Gate) updater.HostRecord {
		return updater.HostRecord{Host: name, Outcome: o, Wave: wave, Reason: reason, From: "6.4.1", To: "6.4.2", Transaction: "20261123T120000Z-abcdef",
			Started: noon, Ended: noon.Add(4 * time.Minute), Downtime: 2600 * time.Millisecond, Gates: gates}
	}
	return &updater.Report{
		About: updater.About{Run: "20261123T120000Z-abcdef", Kind: updater.KindUpdate, Site: "st-marys", From: "6.4.1", To: "6.4.2", Who: "pat@laptop",
			PlanDigest: strings.Repeat("5e", 32), Images: map[string]string{"engine linux/amd64": "sha256:" + strings.Repeat("ab", 32)}},
		Started: noon, Ended: noon.Add(20 * time.Minute), Halted: "1 host failed, and 0 may: the last one was media2",
		Hosts: []updater.HostRecord{
			host("media1", updater.Updated, 1, "", gate("drain", "two readings without a recording", true), gate("health", "200 from app1", true)),
			host("media2", updater.RolledBack, 2, "its health check answered 500 <script>alert(1)</script>", gate("health", "500 from app1", false)),
			host("media3", updater.NotStarted, 0, "the rollout was halted"),
			host("app1", updater.NotStarted, 0, "the rollout was halted"),
		},
		Notes: []updater.Note{{Host: "media2", When: updater.Before, Text: "1 recorder, 4 streams", Time: noon}},
		Chain: &updater.Chain{Records: 17, Head: strings.Repeat("0c", 32)},
	}
}

// checkPageOfASmallSite is for a picture in docs/.
func checkPageOfASmallSite(t *testing.T) []byte {
	t.Helper()
	s := parse(t, `site: st-marys
ssl: true
clients: [10.0.0.0/16]
admins: [10.0.99.0/28]
network: {dns: [10.0.0.53], ntp: [10.0.0.1]}
hosts:
  - {name: app1, address: 10.0.4.10, roles: [app]}
  - {name: media1, address: 10.0.4.21, roles: [media], cameras: [10.0.9.11-10.0.9.24]}
  - {name: media2, address: 10.0.4.22, roles: [media], cameras: [10.0.9.31-10.0.9.48]}
`)
	var out bytes.Buffer
	if err := Check(&out, reportOn(s, 30), s); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
