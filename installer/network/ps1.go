package network

import (
	"bytes"
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/plain"
)

// What stands around the list of tests in the script.
var (
	//go:embed client_head.ps1
	psHead string
	//go:embed client_tail.ps1
	psTail string
)

// PowerShell writes a script that tries the clients' and administrators' flows from a
// Windows PC with Test-NetConnection, which knows TCP alone; those rows are all TCP. Everything of
// the site file stands in single quotes. The file has a byte order mark, without which
// Windows PowerShell 5.1 reads it in the PC's code page (about_Character_Encoding), and CRLF.
func PowerShell(s *site.Site, flows []Flow) []byte {
	var out bytes.Buffer
	out.WriteString("\ufeff")
	out.WriteString(psHead)
	fmt.Fprintf(&out, "$site = %s\n$tests = @(\n", psQuote(s.ID))
	for _, t := range psTests(flows) {
		fmt.Fprintf(&out, "    [pscustomobject]@{ For = %s; Name = %s; Address = %s; Port = %d; Service = %s; Purpose = %s; Id = %s }\n",
			psQuote(t.who), psQuote(t.Destination.Name), psQuote(t.Destination.Address), t.Port, psQuote(t.Service), psQuote(t.explain().Purpose), psQuote(strings.Join(t.ids, ", ")))
	}
	out.WriteString(")\n")
	out.WriteString(psTail)
	return bytes.ReplaceAll(out.Bytes(), []byte("\n"), []byte("\r\n"))
}

// psTest is one destination and port, whichever networks use it.
type psTest struct {
	Flow
	who string // "people" or "administration"
	ids []string
}

func psTests(flows []Flow) []psTest {
	var tests []psTest
	for _, f := range flows {
		who := psWho(f)
		if who == "" {
			continue
		}
		at := slices.IndexFunc(tests, func(t psTest) bool {
			return t.who == who && t.Destination.Address == f.Destination.Address && t.Port == f.Port
		})
		if at >= 0 {
			tests[at].ids = append(tests[at].ids, f.ID)
			continue
		}
		tests = append(tests, psTest{Flow: f, who: who, ids: []string{f.ID}})
	}
	return tests
}

// FromPC says whether a PC of the site's people or administrators can try the flow, and
// so stands in the script.
func (f Flow) FromPC() bool { return psWho(f) != "" }

// psWho is whose PC a flow can be tried from; empty: no PC's.
func psWho(f Flow) string {
	has := func(prefix string) bool {
		return slices.ContainsFunc(f.Rows, func(r string) bool { return strings.HasPrefix(r, prefix) })
	}
	switch {
	case f.Protocol != TCP:
		return ""
	case has("client."):
		return "people"
	case has("admin."):
		return "administration"
	}
	return ""
}

// psQuote writes a literal that PowerShell expands nothing in. PowerShell takes the
// typographic quotes for quotes too (about_Quoting_Rules; its tokenizer's IsSingleQuote), so each is doubled.
func psQuote(s string) string {
	quoted := plain.Line(s)
	for _, quote := range []string{"'", "\u2018", "\u2019", "\u201a", "\u201b"} {
		quoted = strings.ReplaceAll(quoted, quote, quote+quote)
	}
	return "'" + quoted + "'"
}
