// Package wizard leads a person from nothing to a site file, question by question: which
// question comes next, what it means, whether an answer will do, and what the site file says
// then. It exists apart from the terminal that asks, so that the same questions can be
// answered by flags and tried without anybody. It asks nobody, contacts no host and writes no
// file. Whether a value is right is installer/site's to say; an existing file is edited so
// that nothing else in it changes.
package wizard

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"ipivs.com/valtctl/installer/site"
)

// Surroundings is what there is to know of where the questions are asked.
type Surroundings struct {
	File      string   // the site file
	Home      string   // what ~ stands for
	Addresses []string // this machine's own
	Root      bool     // it may be installed by itself
	Timezone  string   // its time zone's name, where it is known
}

// Guide holds the questions about one site and the answers so far.
type Guide struct {
	around Surroundings
	base   []byte
	loaded map[string]string // what the file said, by field
	answer map[string]string
	done   map[string]bool
}

// Wrong says why an answer will not do.
type Wrong struct{ What, Fix string }

func (w *Wrong) Error() string {
	if w.Fix == "" {
		return w.What
	}
	return w.What + "; " + w.Fix
}

// header begins a file that is written from nothing.
const header = "# Written by valtctl init, and yours to edit: init keeps what you write, comments included.\n" +
	"# valtctl site schema lists every key.\n"

// New starts from a site file's text, which may be empty or not whole yet.
func New(base []byte, around Surroundings) (*Guide, error) {
	g := &Guide{around: around, base: base, loaded: map[string]string{}, answer: map[string]string{}, done: map[string]bool{}}
	d, err := read(base)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", around.File, err)
	}
	g.load(d)
	return g, nil
}

// fields are those of the site file that are asked for; hostFields those of each server.
func fields() []string {
	return []string{"site", "name", "ssl", "tls.certificate", "tls.key_file", "tls.password_file", "registry.username", "registry.password_file",
		"ssh.user", "ssh.identity", "ssh.jump", "ssh.sudo_password_file", "clients", "admins", "beam.devices", "cloud.app",
		"network.proxy", "updates.source", "updates.windows", "updates.timezone"}
}

func hostFields() []string {
	all := []string{"name", "address", "roles"}
	for _, g := range roleGuides() {
		all = append(all, g.fields...)
	}
	return all
}

func (g *Guide) load(d *document) {
	keep := func(field string) {
		n := d.find(field)
		text := textOf(n)
		if items := itemsOf(n); items != nil {
			if strings.HasSuffix(field, "roles") {
				slices.Sort(items)
			}
			text = strings.Join(items, ", ")
		}
		if text != "" {
			g.loaded[field] = text
		}
	}
	for _, f := range fields() {
		keep(f)
	}
	if pfx := textOf(d.find(pkcs12Field)); pfx != "" {
		g.loaded["tls.certificate"] = pfx
	}
	hosts := len(itemsOf(d.find("hosts")))
	for i := range hosts {
		for _, f := range hostFields() {
			keep(ofHost(i, f))
		}
		g.loaded[ofHost(i, Look)] = "kept"
		g.loaded[ofHost(i, more)] = answerOf(i < hosts-1)
	}
	switch {
	case d.find("cloud") != nil:
		g.loaded[layout] = Cloud
	case hosts == 1 && hasRoles(g.loaded[ofHost(0, "roles")], singleRoles()):
		g.loaded[layout] = Single
	case hosts > 0:
		g.loaded[layout] = Several
	}
	if hosts > 0 || d.find("beam") != nil {
		g.loaded[beam] = answerOf(d.find("beam") != nil)
	}
	for f, text := range g.loaded {
		g.answer[f] = text
	}
}

func ofHost(i int, key string) string { return fmt.Sprintf("hosts[%d].%s", i, key) }

func answerOf(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// Whole says that the file was a whole site before any question.
func (g *Guide) Whole() bool {
	wrong, _ := site.Mistakes(g.around.File, g.base, g.around.Home)
	return len(g.base) > 0 && len(wrong) == 0
}

// Found says that there was a file.
func (g *Guide) Found() bool { return len(strings.TrimSpace(string(g.base))) > 0 }

// Next is the first question that has no answer yet.
func (g *Guide) Next() (Question, bool) {
	for _, q := range g.Questions() {
		if !g.done[q.Field] {
			return q, true
		}
	}
	return Question{}, false
}

// Value is the answer to a field so far, or what the file says there.
func (g *Guide) Value(field string) string { return g.answer[field] }

// Default is what Enter stands for: the answer from before, or else a suggestion.
func (g *Guide) Default(q Question) string {
	if text, ok := g.answer[q.Field]; ok {
		return text
	}
	return q.Suggest
}

// Answer keeps an answer that Check has found right.
func (g *Guide) Answer(q Question, text string) {
	if q.key() == "address" && g.answer[q.Field] != q.Normal(text) {
		look := ofHost(q.Server, Look) // it is another server now
		delete(g.answer, look)
		g.done[look] = false
	}
	g.answer[q.Field], g.done[q.Field] = q.Normal(text), true
}

// Back reopens the question before this one; false at the first.
func (g *Guide) Back(from Question) bool {
	var before []Question
	for _, q := range g.Questions() {
		if q.Field == from.Field {
			break
		}
		if q.fixed == "" && g.done[q.Field] {
			before = append(before, q)
		}
	}
	if len(before) == 0 {
		return false
	}
	g.done[before[len(before)-1].Field] = false
	return true
}

// Reopen asks a question again.
func (g *Guide) Reopen(field string) { g.done[field] = false }

// Keep takes what the file says, and leaves out what it leaves out, as answers.
func (g *Guide) Keep() {
	for again := true; again; {
		again = false
		for _, q := range g.Questions() {
			text, has := g.answer[q.Field]
			if !has {
				text = q.implied
			}
			if !g.done[q.Field] && (has || q.Optional || q.implied != "") && g.Check(q, text) == nil {
				g.Answer(q, text)
				again = true
			}
		}
	}
}

// AddServer opens the questions about one more server, and says under which index.
func (g *Guide) AddServer() int {
	for i := 0; ; i++ {
		if g.answer[ofHost(i, more)] != "yes" {
			g.answer[ofHost(i, more)], g.done[ofHost(i, more)] = "yes", true
			if g.answer[layout] == Single {
				g.answer[layout] = Several
				g.done[ofHost(i, "roles")] = true
			}
			return i + 1
		}
	}
}

// Path is where a file of an answer is: a relative one starts at the site file's folder.
func (g *Guide) Path(text string) string {
	if rest, ok := strings.CutPrefix(text, "~/"); ok && g.around.Home != "" {
		return filepath.Join(g.around.Home, rest)
	}
	if filepath.IsAbs(text) {
		return text
	}
	return filepath.Join(filepath.Dir(g.around.File), text)
}

// Check says whether an answer will do, in the words that the site file's own mistakes are
// told in. The error is a *Wrong.
func (g *Guide) Check(q Question, text string) error {
	text = q.Normal(text)
	switch {
	case text == "" && !q.Optional:
		return &Wrong{"it needs an answer", q.Example}
	case text == "":
		return nil
	case q.Kind == Choice && q.fixed == "" && !slices.ContainsFunc(q.Choices, func(o Option) bool { return o.Value == text }):
		return unknown(q, text)
	case strings.HasPrefix(q.key(), "+"):
		return nil
	}
	try := *g
	try.answer, try.done = map[string]string{q.Field: text}, map[string]bool{}
	for f, a := range g.answer {
		if f != q.Field {
			try.answer[f] = a
		}
	}
	after, err := try.Text()
	if err != nil {
		return &Wrong{err.Error(), "edit the file by hand"}
	}
	wrong, _ := site.Mistakes(g.around.File, after, g.around.Home)
	for _, m := range wrong {
		if below(m.Field, q.Field) {
			return &Wrong{m.What, m.Fix}
		}
	}
	return nil
}

// Odd is what the answers make odd about a field without being wrong.
func (g *Guide) Odd(field string) []string {
	text, err := g.Text()
	if err != nil {
		return nil
	}
	_, odd := site.Mistakes(g.around.File, text, g.around.Home)
	var all []string
	for _, m := range odd {
		if below(m.Field, field) {
			all = append(all, (&Wrong{m.What, m.Fix}).Error())
		}
	}
	return all
}

// Site is what the answers make.
func (g *Guide) Site() (*site.Site, error) {
	text, err := g.Text()
	if err != nil {
		return nil, err
	}
	return site.Parse(g.around.File, text, g.around.Home)
}

// Sketch is a site of the answers so far, as far as it takes to reach server i over SSH.
func (g *Guide) Sketch(i int) (*site.Site, site.Host, error) {
	text, err := g.Text()
	if err == nil {
		text, err = sketch(text, i)
	}
	if err != nil {
		return nil, site.Host{}, err
	}
	s, err := site.Parse(g.around.File, text, g.around.Home)
	if err != nil {
		return nil, site.Host{}, fmt.Errorf("reading the answers so far: %w", err)
	}
	return s, s.Hosts[i], nil
}

// sketch fills in what is not known yet with what changes nothing about a connection.
func sketch(text []byte, i int) ([]byte, error) {
	d, err := read(text)
	if err != nil {
		return nil, err
	}
	if d.find(ofHost(i, "address")) == nil {
		return nil, errors.New("the server has no address yet")
	}
	var edits []Edit
	fill := func(field string, e Edit) {
		if d.find(field) == nil {
			e.Field = field
			edits = append(edits, e)
		}
	}
	fill("ssl", Edit{Value: "true"})
	fill("clients", Edit{List: []string{"192.0.2.1"}, IsList: true})
	var taken []string
	for n := 0; n <= i; n++ {
		taken = append(taken, itemsOf(d.find(ofHost(n, "roles")))...)
	}
	for n := 0; n <= i; n++ {
		role := site.RolesThat(func(s site.RoleSpec) bool {
			return !(s.InCloud && d.find("cloud") != nil) && !(s.One && (n > 0 || slices.Contains(taken, string(s.Role))))
		})[0]
		fill(ofHost(n, "roles"), Edit{List: []string{string(role)}, IsList: true})
	}
	return Apply(text, edits)
}
