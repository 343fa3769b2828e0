package check

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"ipivs.com/valtctl/installer/network"
	"ipivs.com/valtctl/installer/probe"
	"ipivs.com/valtctl/repos/release"
)

// here is a machine that is only looked at for being there.
type here struct{ Machine }

func TestVerdictsBecomeAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		verdict probe.Verdict
		basis   network.Basis
		want    Status
	}{
		"works":                        {probe.Works, network.Vendor, Pass},
		"filtered":                     {probe.Filtered, network.Vendor, Fail},
		"filtered, but only advisory":  {probe.Filtered, network.Advisory, Warn},
		"silence that proves nothing":  {probe.Unknown, network.Vendor, Unknown},
		"an advisory row that is fine": {probe.Works, network.Advisory, Pass},
		"a name that does not resolve": {probe.NoName, network.Vendor, Fail},
	} {
		t.Run(name, func(t *testing.T) {
			if got := status(c.verdict, c.basis); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// trialOf is a flow that host by tried with these answers.
func trialOf(f network.Flow, by string, answers ...probe.Outcome) *trial {
	return &trial{flow: f, by: by, asked: make([]probe.Spec, len(answers)), answer: answers}
}

func TestWhereAFilteredFlowIsLost(t *testing.T) {
	s := siteOf(t, threeHosts)
	f := flowNamed(t, s, "app-to-media.rest/app1/media1")
	silence := probe.Outcome{Verdict: probe.Filtered, Cause: "nothing came back", Silent: true, Local: "10.0.4.10:40001"}
	arrives := func(from string) *Listening {
		l := NewListening()
		l.states["media1"] = map[uint16]probe.PortState{8087: {Port: 8087, Ours: true, Watched: true}}
		if from != "" {
			l.arrivals["media1"] = []probe.Arrival{{From: from, Port: 8087}}
		}
		return l
	}
	left, rejected := silence, silence
	left.Lost = probe.AtSource
	rejected.Silent, rejected.Cause, rejected.Lost = false, "rejected by the destination's own firewall", probe.AtDestination
	for name, c := range map[string]struct {
		answer probe.Outcome
		on     *Listening
		want   probe.Place
		cause  string
		fix    string
	}{
		"never left":                {left, arrives(""), probe.AtSource, "nothing came back", "out to 10.0.4.21 in app1's own firewall"},
		"came and was dropped":      {silence, arrives("10.0.4.10:40001"), probe.AtDestination, "it arrives at media1", "in from 10.0.4.10 in media1's own firewall"},
		"came through a NAT":        {silence, arrives("192.0.2.1:40001"), probe.AtDestination, "it arrives at media1", "in from 10.0.4.10 in media1's own firewall"},
		"came and was rejected":     {rejected, arrives("10.0.4.10:40001"), probe.AtDestination, "rejected by", "in from 10.0.4.10 in media1's own firewall"},
		"left and never came":       {silence, arrives("10.0.4.10:40002"), probe.OnTheWay, "it never arrives at media1", "in the network's firewall"},
		"the far end was not asked": {silence, NewListening(), "", "nothing came back", "in the network's firewall"},
	} {
		t.Run(name, func(t *testing.T) {
			r := Prober{Site: s, Hosts: map[string]Machine{"app1": here{}, "media1": here{}}}.judge(trialOf(f, "app1", c.answer), c.on)
			if r.Status != Fail || r.Lost != c.want || !strings.Contains(r.Fix, c.fix) || !strings.Contains(r.Cause, c.cause) {
				t.Errorf("got %s, lost at %q, cause %q, fix %q", r.Status, r.Lost, r.Cause, r.Fix)
			}
		})
	}
}

func TestClosedPortIsOnlyWrongWhereSomethingShouldListen(t *testing.T) {
	s := siteOf(t, threeHosts)
	both := map[string]Machine{"app1": here{}, "media1": here{}}
	refused := probe.Outcome{Verdict: probe.Refused}
	rest, camera := flowNamed(t, s, "app-to-media.rest/app1/media1"), flowNamed(t, s, "camera.rtsp/media1/10.0.9.11")
	busy := NewListening()
	busy.states["media1"] = map[uint16]probe.PortState{8087: {Port: 8087, Err: "address in use"}}
	for name, c := range map[string]struct {
		prober Prober
		flow   network.Flow
		on     *Listening
		want   Status
		cause  string
	}{
		"a camera that streams nothing":   {Prober{Hosts: both}, camera, NewListening(), Fail, ""},
		"nobody may listen":               {Prober{Hosts: both, NoListen: true}, rest, NewListening(), Unknown, "packets get there and back"},
		"the far end is out of reach":     {Prober{Hosts: map[string]Machine{"app1": here{}}}, rest, NewListening(), Unknown, "media1 could not be reached"},
		"we could not listen either":      {Prober{Hosts: both}, rest, busy, Unknown, "address in use"},
		"it is closed although we listen": {Prober{Hosts: both}, rest, NewListening(), Fail, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.prober.Site = s
			r := c.prober.judge(trialOf(c.flow, "app1", refused), c.on)
			if r.Status != c.want || !strings.Contains(r.Cause, c.cause) {
				t.Errorf("got %s, %q", r.Status, r.Cause)
			}
		})
	}
}

func TestWorstOfSeveralAnswersCounts(t *testing.T) {
	s := siteOf(t, threeHosts)
	f := flowNamed(t, s, "updates.docker-registry/app1/docker.ipivs.com")
	r := Prober{Site: s}.judge(trialOf(f, "app1", probe.Outcome{Verdict: probe.Works}, probe.Outcome{Verdict: probe.Intercepted, Cause: "by a proxy"}), NewListening())
	if r.Status != Fail || r.Verdict != probe.Intercepted || r.Cause != "by a proxy" || r.Host != "app1" {
		t.Errorf("got %+v", r)
	}
	r = Prober{Site: s}.judge(trialOf(f, "app1", probe.Outcome{Verdict: probe.Works}, probe.Outcome{}), NewListening())
	if r.Status != Unknown || !strings.Contains(r.Cause, "no answer came back") {
		t.Errorf("an answer that never came: %+v", r)
	}
}

func TestWhereTheBlobsComeFromIsNamed(t *testing.T) {
	s := siteOf(t, threeHosts)
	f := flowNamed(t, s, "updates.docker-registry/app1/docker.ipivs.com")
	led := []string{"cdn.example.net:443"}
	for v, want := range map[probe.Verdict]string{
		probe.Intercepted: "exempt cdn.example.net from TLS inspection", probe.Filtered: "ask for tcp/443 from 10.0.4.10 to cdn.example.net",
		probe.WrongContent: "reach the real cdn.example.net", probe.NoName: "resolve cdn.example.net",
	} {
		r := Prober{Site: s}.judge(trialOf(f, "app1", probe.Outcome{Verdict: probe.Works}, probe.Outcome{Verdict: v, Cause: "x", Elsewhere: led}), NewListening())
		if r.Status != Fail || !strings.Contains(r.Fix, want) || !strings.Contains(r.Fix, "--observed") || !slices.Equal(r.Elsewhere, led) {
			t.Errorf("%s: %s, fix %q, led to %v", v, r.Status, r.Fix, r.Elsewhere)
		}
	}
	r := Prober{Site: s}.judge(trialOf(f, "app1", probe.Outcome{Verdict: probe.Works}, probe.Outcome{Verdict: probe.Unknown, Cause: "it answers 401"}), NewListening())
	if r.Status != Unknown || !strings.Contains(r.Fix, "registry.password_file") {
		t.Errorf("a blob that could not be asked for: %s, fix %q", r.Status, r.Fix)
	}
}

func TestEveryFailureOfEveryFlowNamesAFix(t *testing.T) {
	for _, text := range []string{threeHosts, inTheCloud} {
		for _, f := range network.Flows(siteOf(t, text)) {
			for _, v := range severity {
				for _, lost := range []probe.Place{"", probe.AtSource, probe.OnTheWay, probe.AtDestination} {
					if v != probe.Works && v != probe.Unknown && fix(f, v, lost) == "" {
						t.Errorf("%s, %s, lost at %q: no fix", f.ID, v, lost)
					}
				}
			}
		}
	}
}

func TestFlowsFromClientsAreTriedWhereThatIsPossible(t *testing.T) {
	s := siteOf(t, threeHosts)
	client, admin := flowNamed(t, s, "client.https/clients-10.0.0.0-16/app1"), flowNamed(t, s, "admin.ssh/admins-10.0.99.0-28/app1")
	inside, outside := addrs("10.0.7.7"), addrs("192.0.2.7")
	for name, c := range map[string]struct {
		prober Prober
		flow   network.Flow
		want   string
	}{
		"in the clients' network":             {Prober{Here: here{}, Addresses: inside}, client, controller},
		"elsewhere":                           {Prober{Here: here{}, Addresses: outside}, client, ""},
		"elsewhere, standing in for a client": {Prober{Here: here{}, Addresses: outside, Client: true}, client, controller},
		"a client is no administrator":        {Prober{Here: here{}, Addresses: outside, Client: true}, admin, ""},
		"nothing to ask with":                 {Prober{Addresses: inside}, client, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.prober.Site = s
			if by, _ := c.prober.source(c.flow); by != c.want {
				t.Errorf("tried by %q, want %q", by, c.want)
			}
		})
	}
	r := Prober{Site: s}.judge(&trial{flow: client, why: "x"}, NewListening())
	if r.Status != Unknown || !strings.Contains(r.Fix, "--from client") || !strings.Contains(r.Fix, "-o ps1") {
		t.Errorf("how to try it is not told: %+v", r)
	}
}

func TestHostOutOfReachLeavesItsFlowsUnknown(t *testing.T) {
	s := siteOf(t, threeHosts)
	p := Prober{Site: s, Hosts: map[string]Machine{"app1": here{}}}
	by, why := p.source(flowNamed(t, s, "camera.rtsp/media1/10.0.9.11"))
	if by != "" || !strings.Contains(why, "media1 could not be reached") {
		t.Errorf("tried by %q: %s", by, why)
	}
}

func TestRateSpreadsTheQuestionsOverTheSite(t *testing.T) {
	s := siteOf(t, threeHosts)
	p := Prober{Site: s, Rate: 10, Hosts: map[string]Machine{"app1": here{}, "media1": here{}, "media2": here{}}}
	var trials []*trial
	for _, f := range network.Flows(s) {
		tr := &trial{flow: f}
		tr.by, tr.why = p.source(f)
		trials = append(trials, tr)
	}
	p.ask(trials, NewListening())
	var starts []int64
	for _, tr := range trials {
		for _, q := range tr.asked {
			starts = append(starts, q.After.Milliseconds())
		}
	}
	slices.Sort(starts)
	for i, at := range starts {
		if at != int64(i)*100 {
			t.Fatalf("question %d starts after %d ms, want one each 100 ms", i, at)
		}
	}
	if len(starts) < 30 {
		t.Errorf("only %d questions", len(starts))
	}
}

func TestWhatCannotBeFiledIsAnError(t *testing.T) {
	trials := []*trial{trialOf(network.Flow{}, "app1", probe.Outcome{})}
	for _, id := range []string{"", "1/0", "0/1", "-1/0", "x"} {
		if err := keep(trials, probe.Outcome{ID: id}); err == nil {
			t.Errorf("an outcome for %q was taken", id)
		}
	}
	blame(trials, "app1", errors.New("the link is gone"))
	if got := trials[0].answer[0]; got.Verdict != probe.Unknown || !strings.Contains(got.Cause, "the link is gone") {
		t.Errorf("what was not asked says %+v", got)
	}
}

// A mirror that verifies and lacks what the release names is said to lack it, with what to do.
func TestAMirrorThatLacksPackagesOfTheReleaseIsNamed(t *testing.T) {
	s := siteOf(t, threeHosts)
	f := flowNamed(t, s, "updates.ivs-apt/app1/apt.ipivs.com")
	p := Prober{Site: s, Hosts: map[string]Machine{"app1": here{}}}
	r := p.judge(trialOf(f, "app1", probe.Outcome{Verdict: probe.WrongContent, Cause: "the index is older than the release needs", Lacks: []string{"valt-host=6.4.2-1"}}), NewListening())
	if r.Status != Fail || !strings.Contains(r.Fix, "up to date") || !strings.Contains(r.Fix, "valt-host=6.4.2-1") || !strings.Contains(r.Fix, "network.endpoints") {
		t.Errorf("%+v", r)
	}
}

func TestTheVendorsIndexIsAskedForWhatTheReleaseNames(t *testing.T) {
	s := siteOf(t, threeHosts)
	a := asker{site: s, codename: "noble", manifest: &release.Manifest{
		Apt: []release.AptSource{{Name: "valt", URI: "https://apt.ipivs.com/ubuntu", Suites: []string{"{codename}"}, Key: "k"},
			{Name: "docker", URI: "https://download.docker.com/linux/ubuntu", Suites: []string{"{codename}"}, Key: "k"}},
		Packages: []release.Package{{Name: "nftables"}, {Name: "valt-host", Version: "6.4.2-1"}, {Name: "docker-ce", Version: "5:29", Engine: true}}}}
	if got := a.questions(flowNamed(t, s, "updates.ivs-apt/app1/apt.ipivs.com"))[0]; !slices.Equal(got.Offers, []string{"valt-host=6.4.2-1"}) {
		t.Errorf("%+v", got)
	}
	if got := a.questions(flowNamed(t, s, "updates.docker-apt/app1/download.docker.com"))[0]; got.Offers != nil {
		t.Errorf("%+v", got)
	}
}

// The row is ours: it warns, and says so.
func TestNTSIsAdvisoryAndOurs(t *testing.T) {
	s := siteOf(t, threeHosts)
	all := network.Further(s, map[string][]string{"media1": {"1.ntp.ubuntu.com"}, "nobody": {"2.ntp.ubuntu.com"}})
	if len(all) != 1 || all[0].ID != "advisory.nts/media1/1.ntp.ubuntu.com" || all[0].Port != 4460 || all[0].Protocol != network.TCP || all[0].Basis != network.Advisory {
		t.Fatalf("%+v", all)
	}
	if got := (asker{site: s}).questions(all[0])[0]; got.Host != "1.ntp.ubuntu.com" || got.Port != 4460 {
		t.Errorf("asked as %+v", got)
	}
	p := Prober{Site: s, Hosts: map[string]Machine{"media1": here{}}}
	r := p.judge(trialOf(all[0], "media1", probe.Outcome{Verdict: probe.Filtered, Cause: "nothing came back", Silent: true}), NewListening())
	if r.Status != Warn || !strings.Contains(r.Fix, "tcp/4460") || !strings.Contains(r.Fix, "not the vendor's") || !strings.Contains(r.Fix, "1.ntp.ubuntu.com") {
		t.Errorf("%+v", r)
	}
	for _, f := range network.Flows(s) {
		if slices.Contains(f.Rows, "advisory.nts") {
			t.Errorf("the site file alone makes %s", f.ID)
		}
	}
}
