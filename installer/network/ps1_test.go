package network

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// psLiteral reads a single-quoted literal as PowerShell's tokenizer does: any of its five
// quotes ends it unless another follows, and then stands for the second one.
func psLiteral(s string) (value, rest string, ok bool) {
	runes := []rune(s)
	isQuote := func(i int) bool { return i < len(runes) && strings.ContainsRune("'\u2018\u2019\u201a\u201b", runes[i]) }
	if !isQuote(0) {
		return "", "", false
	}
	var out []rune
	for i := 1; i < len(runes); i++ {
		if isQuote(i) {
			if !isQuote(i + 1) {
				return string(out), string(runes[i+1:]), true
			}
			i++
		}
		out = append(out, runes[i])
	}
	return "", "", false
}

func FuzzNamesNeverBreakOutOfTheirQuotes(f *testing.F) {
	for _, seed := range []string{"", "app1", "o'hara", "’; Remove-Item x; ‘", "$(Get-Date)", "`n", "a\nb", "''"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if !utf8.ValidString(name) {
			return
		}
		value, rest, ok := psLiteral(psQuote(name) + "; Address")
		if !ok || rest != "; Address" || strings.ContainsAny(value, "\r\n") {
			t.Errorf("%q was written %s and is read as %q, then %q", name, psQuote(name), value, rest)
		}
		if !strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) && value != name {
			t.Errorf("%q is read as %q", name, value)
		}
	})
}

func TestTheScriptTriesWhatAPersonsAndAnAdministratorsPCNeed(t *testing.T) {
	s := parse(t, change("clients: [10.0.0.0/16]", "clients: [10.0.0.0/16, 10.1.0.0/16]"))
	script := string(PowerShell(s, Flows(s)))
	if !strings.HasPrefix(script, "\ufeff") || strings.Contains(strings.ReplaceAll(script, "\r\n", ""), "\n") {
		t.Error("want a byte order mark, and CRLF at the end of every line")
	}
	tests := regexp.MustCompile(`For = '(\w+)'; Name = '([\w.]+)'; Address = '([\w.]+)'; Port = (\d+);`).FindAllStringSubmatch(script, -1)
	var got []string
	for _, m := range tests {
		got = append(got, strings.Join(m[1:], " "))
	}
	want := []string{
		"people app1 10.0.4.10 443", "people app1 10.0.4.10 444", "people media1 10.0.4.21 444", "people app1 10.0.4.10 8000", "people media1 10.0.4.21 8000",
		"administration app1 10.0.4.10 22", "administration media1 10.0.4.21 22", "administration app1 10.0.4.10 8088", "administration media1 10.0.4.21 8088",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestScriptsOfTheSampleSites(t *testing.T) {
	sites := sampleSites(t)
	for _, name := range []string{"sites-full", "sites-single", "sites-cloud"} {
		script := PowerShell(sites[name], Flows(sites[name]))
		golden(t, "../../testdata/papers/"+name+".ps1", script)
		if open, shut := bytes.Count(script, []byte("{")), bytes.Count(script, []byte("}")); open != shut {
			t.Errorf("%s: %d braces opened, %d shut", name, open, shut)
		}
	}
}
