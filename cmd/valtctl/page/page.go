// Package page writes what valtctl found out as HTML for people: the network list, the
// firewall request and the report of a check, each one file that an IT department can open,
// forward and print. A page asks for nothing beyond itself, runs no script, and says
// nothing by colour alone. What is in it is decided elsewhere; here it is only arranged.
package page

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"ipivs.com/valtctl/installer/check"
	"ipivs.com/valtctl/repos/plain"
)

//go:embed *.html
var files embed.FS

//go:embed style.css
var style string

// frame is what every page shows around its content.
type frame struct {
	Kind  string // "Firewall request"
	Site  string
	Facts []fact
	Jumps []jump // to the page's sections
	Body  any
}

type fact struct{ Name, Value string }

type jump struct{ ID, Title string }

// write fills the template of that name. The policy admits the page's own style by its
// hash and nothing else (Content Security Policy Level 3, section 2.3.1).
func write(w io.Writer, name string, f frame) error {
	sum := sha256.Sum256([]byte(style))
	policy := "default-src 'none'; img-src data:; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
	tmpl, err := template.New(name).Funcs(template.FuncMap{
		"policy": func() string { return policy },
		"style":  func() template.CSS { return template.CSS(style) },
		"word":   word, "date": date, "join": strings.Join, "count": count, "seen": seen,
		"inc": func(i int) int { return i + 1 },
	}).ParseFS(files, "*.html")
	if err != nil {
		return fmt.Errorf("reading the page's template: %w", err)
	}
	out := plain.NewWriter(w) // what turns writing around does so in a browser too
	if err := errors.Join(tmpl.ExecuteTemplate(out, name, f), out.Flush()); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}

func when(t time.Time) string { return t.Format("2 January 2006, 15:04 MST") }

func date(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.Format("2 January 2006")
}

// word is what a status is called beside its mark.
func word(s check.Status) string {
	switch s {
	case check.Fail:
		return "fails"
	case check.Warn:
		return "warning"
	case check.Pass:
		return "works"
	}
	return "not known"
}

// count is "1 flow" or "3 flows".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
