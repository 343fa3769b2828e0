package cases

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"ipivs.com/valtctl/cmd/valtlab/scenario"
)

const checkSample = `{"exit": 3, "result": {"connecting": 1500000000, "results": [
	{"id": "a.one/h/x+a.two/h/x", "status": "pass", "verdict": "works"},
	{"id": "b.one/h/y", "status": "fail", "verdict": "filtered", "lost": "way", "cause": "It never Arrives at y", "fix": "open it"},
	{"id": "c.one/h/z", "status": "fail", "verdict": "filtered", "cause": "it never arrives"}]}}`

func sampleReport(t *testing.T) report {
	t.Helper()
	var r report
	if err := json.Unmarshal([]byte(checkSample), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestCaseWantsStatusVerdictPlaceCauseAndFix(t *testing.T) {
	r := sampleReport(t)
	for _, c := range []struct {
		verdictCase
		wrong string // what the error says; empty: none
	}{
		{verdictCase{"merged", "a.two/h/x", pass, works, "", nil}, ""},
		{verdictCase{"words in any case", "b.one/h/y", fail, "filtered", "way", []string{"never arrives"}}, ""},
		{verdictCase{"not there", "a.three/h/x", pass, works, "", nil}, "says nothing about"},
		{verdictCase{"another verdict", "b.one/h/y", fail, "refused", "way", []string{"arrives"}}, `verdict "filtered" instead of "refused"`},
		{verdictCase{"another place", "b.one/h/y", fail, "filtered", "source", []string{"arrives"}}, `lost "way" instead of "source"`},
		{verdictCase{"another cause", "b.one/h/y", fail, "filtered", "way", []string{"firewall"}}, `lacks "firewall"`},
		{verdictCase{"a cause for nothing", "b.one/h/y", fail, "filtered", "way", nil}, "should not"},
		{verdictCase{"no fix", "c.one/h/z", fail, "filtered", "", []string{"arrives"}}, "what to do"},
	} {
		_, err := c.judge(r)
		if (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

func TestEveryPairIsCompared(t *testing.T) {
	a := netip.MustParseAddr("10.0.0.1")
	pairs := []pair{{a, 1, answers, ""}, {a, 2, "", "drop"}, {a, 3, "", ""}}
	e, theirs := newEnv(scenario.NewEnv(nil, scenario.Options{Out: &strings.Builder{}})), map[string]string{"10.0.0.1:1": "open", "10.0.0.1:2": "filtered", "10.0.0.1:3": "closed"}
	if err := e.compare(pairs, theirs, map[string]string{"10.0.0.1:1": nmapWord("wrong-content"), "10.0.0.1:2": nmapWord("filtered"), "10.0.0.1:3": nmapWord("refused")}); err != nil {
		t.Error(err)
	}
	err := e.compare(pairs, theirs, map[string]string{"10.0.0.1:1": "open", "10.0.0.1:2": "closed"})
	for _, want := range []string{`10.0.0.1:2 (closed, drop): nmap says "filtered", valtctl "closed"`, `nmap says "closed", valtctl ""`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	if err := e.compare(pairs[:1], map[string]string{}, map[string]string{}); err == nil {
		t.Error("a pair that nobody said anything about is the same")
	}
}

func TestNmapsReportIsReadByAddressAndPort(t *testing.T) {
	got, err := nmapStates([]byte(`<?xml version="1.0"?><nmaprun><host><status state="up"/>
		<address addr="10.0.0.1" addrtype="ipv4"/><address addr="02:42:0A:7F:00:FE" addrtype="mac"/>
		<ports><port protocol="tcp" portid="80"><state state="open" reason="syn-ack"/></port>
		<port protocol="tcp" portid="81"><state state="filtered" reason="no-response"/></port></ports></host></nmaprun>`))
	if err != nil || len(got) != 2 || got["10.0.0.1:80"] != "open" || got["10.0.0.1:81"] != "filtered" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := nmapStates([]byte("<nmaprun>")); err == nil {
		t.Error("a report that is cut off was read")
	}
}
