package reliability

import (
	"fmt"
	"path/filepath"
	"strings"

	"ipivs.com/valtctl/repos/durable"
)

// Document is where the document is, from the module's root.
const Document = "docs/reliability.md"

const head = `# Reliability

A recording is evidence: an update that cuts one is worse than no update. This page says what valtctl promises of
a bad day, where each promise is tried, how often, and what is not covered. It is made by ` + "`make reliability`" + ` from
` + "`testdata/promises.yaml`" + `, from the table of mistakes and from what the last whole runs showed
(` + "`make campaign`" + `); a test holds it against them.

- A **test** runs in ` + "`make test`" + `; one that draws what it disturbs tries everything, or thousands of stories, in a
  campaign: its count is given.
- A **scenario** runs on the practice site, on real servers with real sshd, systemd, apt, dpkg, nftables and Docker.
- A **mistake** is one line of the product that was broken on purpose; a test has to notice.

`

// Write writes the document.
func (in Inputs) Write() error {
	text, err := in.Text()
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(in.Root, Document), []byte(text), 0o644)
}

// Text is the document. The error names a promise that nothing holds.
func (in Inputs) Text() (string, error) {
	all, err := in.read()
	if err != nil {
		return "", err
	}
	shown, err := in.shown()
	if err != nil {
		return "", err
	}
	var out strings.Builder
	out.WriteString(head)
	overview(&out, all, shown)
	for _, p := range all {
		chapter(&out, p, shown)
	}
	return out.String(), nil
}

// overview is a line for each promise.
func overview(out *strings.Builder, all []Promise, shown Shown) {
	if n := shown.Mistakes[""]; n.Of > 0 {
		fmt.Fprintf(out, "Of %d mistakes tests noticed %d (%s).\n\n", n.Of, n.Noticed, n.On)
	}
	fmt.Fprintf(out, "| promise | tests | scenarios passed whole | mistakes noticed |\n|---|---:|---:|---:|\n")
	for _, p := range all {
		passed, sum := 0, Noticed{}
		for _, s := range p.Scenarios {
			if shown.Scenarios[s].On != "" {
				passed++
			}
		}
		for _, m := range p.Mistakes {
			sum.Noticed, sum.Of = sum.Noticed+shown.Mistakes[m].Noticed, sum.Of+shown.Mistakes[m].Of
		}
		fmt.Fprintf(out, "| [%s](#%s) | %d | %s | %s |\n", p.Promise, anchor(p.Promise), len(p.Tests),
			orNone(len(p.Scenarios), fmt.Sprintf("%d of %d", passed, len(p.Scenarios))), orNone(sum.Of, fmt.Sprintf("%d of %d", sum.Noticed, sum.Of)))
	}
}

func orNone(n int, text string) string {
	if n == 0 {
		return ""
	}
	return text
}

// anchor is what a heading's link is named by those who show Markdown.
func anchor(heading string) string {
	kept := strings.Map(func(r rune) rune {
		if strings.ContainsRune(",.:'", r) {
			return -1
		}
		return r
	}, strings.ToLower(heading))
	return strings.ReplaceAll(kept, " ", "-")
}

// chapter is one promise: what it means, where it is tried and what is not covered.
func chapter(out *strings.Builder, p Promise, shown Shown) {
	fmt.Fprintf(out, "\n## %s\n\n%s\n\n| tried by | shown | again with |\n|---|---|---|\n", p.Promise, p.Means)
	for _, t := range p.Tests {
		dir, name, _ := strings.Cut(t, " ")
		tried := "each `make test`"
		if c, ok := shown.Tests[t]; ok {
			tried = fmt.Sprintf("%d of %d %s, %s", c.Times, c.Times, c.What, c.On)
		}
		fmt.Fprintf(out, "| test `%s` | %s | `go test ./%s -run '^%s$'` |\n", name, tried, dir, name)
	}
	for _, s := range p.Scenarios {
		tried := "samples alone so far"
		if passed, ok := shown.Scenarios[s]; ok {
			tried = fmt.Sprintf("whole, seed %d, %s", passed.Seed, passed.On)
		}
		fmt.Fprintf(out, "| scenario `%s` | %s | `bin/valtlab scenario run %s` |\n", s, tried, s)
	}
	for _, m := range p.Mistakes {
		noticed := "not run whole yet"
		if n, ok := shown.Mistakes[m]; ok {
			noticed = fmt.Sprintf("%d of %d noticed, %s", n.Noticed, n.Of, n.On)
		}
		fmt.Fprintf(out, "| mistakes `%s` | %s | `bin/valtlab mutants --only '^%s\\.'` |\n", m, noticed, m)
	}
	if len(p.Not) > 0 {
		out.WriteString("\nNot covered:\n\n")
	}
	for _, n := range p.Not {
		fmt.Fprintf(out, "- %s\n", n)
	}
}
