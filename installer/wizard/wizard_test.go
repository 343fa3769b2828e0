package wizard

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"ipivs.com/valtctl/installer/site"
	"ipivs.com/valtctl/repos/problem"
)

var update = flag.Bool("update", false, "write the golden files")

var here = Surroundings{File: "site.yaml", Home: "/home/kim", Timezone: "America/Chicago"}

func start(t *testing.T, text string, around Surroundings) *Guide {
	t.Helper()
	g, err := New([]byte(text), around)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// walk answers every question from answers, and with Enter where they have none.
func walk(t *testing.T, g *Guide, answers map[string]string) (asked []string) {
	t.Helper()
	for {
		q, open := g.Next()
		if !open {
			return asked
		}
		if len(asked) > 100 {
			t.Fatalf("the questions do not end: %v", asked)
		}
		text, ok := answers[q.Field]
		if !ok {
			text = g.Default(q)
		}
		if err := g.Check(q, text); err != nil {
			t.Fatalf("%s, %q: %v", q.Field, text, err)
		}
		if q.Explain == "" || q.Ask == "" || q.Flag == "" || !q.Optional && q.Kind != Choice && q.Suggest == "" && q.Example == "" {
			t.Errorf("%s lacks words: %+v", q.Field, q)
		}
		if !isRead(q) {
			t.Errorf("%s is asked, and not read from a site file that is there: list it in fields() of installer/wizard/wizard.go, or of its role in installer/wizard/role_<name>.go", q.Field)
		}
		if word, ok := strings.CutPrefix(q.Flag, "--server … "); ok && serverKeys()[strings.TrimSuffix(word, "=")] == "" {
			t.Errorf("%s is asked, and --server does not know %s: add it to serverKeys() of installer/wizard/fill.go", q.Field, word)
		}
		g.Answer(q, text)
		asked = append(asked, q.Field)
	}
}

// isRead says whether what answers a question is looked for in a site file.
func isRead(q Question) bool {
	if strings.Contains(q.Field, "+") {
		return true // it stands in none
	}
	if q.Server < 0 {
		return slices.Contains(fields(), q.Field)
	}
	return slices.Contains(hostFields(), strings.TrimPrefix(q.Field, ofHost(q.Server, "")))
}

var paths = map[string]map[string]string{
	"single": {"+layout": "single", "site": "interview", "name": "valt.police.example", "ssl": "false", "updates.source": "bundle",
		"hosts[0].address": "10.0.0.10", "hosts[0].wowza.license": "physical", "hosts[0].cameras": "10.0.0.101 - 10.0.0.104", "clients": "10.0.0.0/24"},
	"several": {"+layout": "several", "site": "st-marys", "name": "valt.st-marys.example", "tls.certificate": "certs/valt.pem", "tls.key_file": "certs/valt.key",
		"registry.username": "st-marys", "registry.password_file": "registry-password", "ssh.user": "valt", "ssh.jump": "ops@bastion:22",
		"hosts[0].address": "10.0.4.10", "hosts[1].address": "10.0.4.21", "hosts[1].+more": "yes", "hosts[1].cameras": "10.0.9.11\r\n10.0.9.12;10.0.9.20-10.0.9.39\n",
		"hosts[2].address": "10.0.4.22", "hosts[2].cameras": "10.0.9.40", "clients": "10.0.0.0/16, 10.1.0.0/16", "admins": "10.0.99.0/28",
		"+beam": "yes", "beam.devices": "10.0.20.0/24", "network.proxy": "http://proxy.example.com:3128", "updates.windows": "Sun 02:00-05:00, Wed 23:30-01:00"},
	"cloud": {"+layout": "cloud", "site": "clinic", "cloud.app": "valt.example.com", "registry.username": "clinic", "registry.password_file": "~/registry",
		"hosts[0].address": "10.0.4.21", "hosts[0].cameras": "10.0.9.11", "clients": "10.0.0.0/16"},
}

// Every path ends in a site file that is right, and reads as a person would have written it.
func TestPathsEndInASite(t *testing.T) {
	for name, answers := range paths {
		t.Run(name, func(t *testing.T) {
			g := start(t, "", here)
			walk(t, g, answers)
			text, err := g.Text()
			if err != nil {
				t.Fatal(err)
			}
			s, err := site.Parse("site.yaml", text, "/home/kim")
			if err != nil {
				t.Fatalf("%v\n%s", err, text)
			}
			golden(t, name+".txt", string(text)+"\n"+Table(s)+"\n"+Picture(s))
		})
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("../../testdata/guided/text", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s (-want +got):\n%s", name, d)
	}
}

// An answer that will not do is told in the words of the site file's own mistakes.
func TestWrongAnswers(t *testing.T) {
	tests := map[string]struct{ field, text, what string }{
		"short name":        {"site", "St Mary", `"St Mary" is not a short name`},
		"nothing":           {"site", " ", "it needs an answer"},
		"unknown choice":    {"+layout", "singel", `did you mean "single"?`},
		"IPv6":              {"hosts[0].address", "2001:db8::1", "IPv4"},
		"range":             {"hosts[0].cameras", "10.0.0.9-10.0.0.1", "ends before it starts"},
		"camera twice":      {"hosts[0].cameras", "10.0.0.9, 10.0.0.9", "stands twice"},
		"host bits":         {"clients", "10.0.0.1/24", "host bits"},
		"same address":      {"hosts[1].address", "10.0.4.10", "is also the address of app1"},
		"same name":         {"hosts[1].name", "app1", "is also the name of the host at "},
		"login in a proxy":  {"network.proxy", "http://me:secret@proxy:3128", "no secret stands in a site file"},
		"window":            {"updates.windows", "Sunday at two", "is not a weekly window"},
		"time zone":         {"updates.timezone", "Chicago", "is not a time zone"},
		"a key, not a file": {"tls.key_file", "-----BEGIN PRIVATE KEY-----", "it is a file's content"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			answers := paths["several"]
			if strings.Contains(tt.field, "[0].cam") {
				answers = paths["single"]
			}
			g := start(t, "", here)
			for {
				q, open := g.Next()
				if !open {
					t.Fatalf("%s is never asked", tt.field)
				}
				if q.Field != tt.field {
					text, ok := answers[q.Field]
					if !ok {
						text = g.Default(q)
					}
					g.Answer(q, text)
					continue
				}
				err := g.Check(q, tt.text)
				if err == nil || !strings.Contains(err.Error(), tt.what) {
					t.Errorf("got %v, want %q in it", err, tt.what)
				}
				return
			}
		})
	}
}

// Back reopens the question before, with its answer; what was answered behind it stays.
func TestBack(t *testing.T) {
	g := start(t, "", here)
	for range 4 {
		q, _ := g.Next()
		text := paths["several"][q.Field]
		if text == "" {
			text = g.Default(q)
		}
		g.Answer(q, text)
	}
	at, _ := g.Next()
	if at.Field != "tls.certificate" {
		t.Fatalf("at %s", at.Field)
	}
	for _, want := range []string{"ssl", "name", "site", "+layout"} {
		if !g.Back(at) {
			t.Fatalf("no way back from %s", at.Field)
		}
		if at, _ = g.Next(); at.Field != want {
			t.Fatalf("back at %s, want %s", at.Field, want)
		}
	}
	if g.Back(at) {
		t.Error("there is a way back from the first question")
	}
	g.Answer(at, Cloud)
	if q, _ := g.Next(); q.Field != "site" || g.Default(q) != "st-marys" {
		t.Errorf("then %s with %q, want site with st-marys", q.Field, g.Default(q))
	}
}

// Answers are kept and gone on with, unless the file has become another.
func TestDraft(t *testing.T) {
	g := start(t, annotated, here)
	q, _ := g.Next()
	g.Answer(q, g.Default(q))
	q, _ = g.Next()
	g.Answer(q, "another")
	text, err := g.Draft()
	if err != nil {
		t.Fatal(err)
	}
	again := start(t, annotated, here)
	if err := again.Restore(text); err != nil {
		t.Fatal(err)
	}
	if q, _ := again.Next(); q.Field != "name" || again.Value("site") != "another" || again.Answered() != 2 {
		t.Errorf("goes on at %s with site %q, %d answered", q.Field, again.Value("site"), again.Answered())
	}
	if err := start(t, annotated+"# more\n", here).Restore(text); !errors.Is(err, ErrChanged) {
		t.Errorf("about another file: %v, want ErrChanged", err)
	}
	if err := again.Restore([]byte("{}")); err == nil {
		t.Error("a file that is none was read")
	}
}

// Going through an existing file with Enter alone changes no byte of it.
func TestEnterKeepsTheFile(t *testing.T) {
	files, err := filepath.Glob("../../testdata/sites/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("finding the samples: %v", err)
	}
	texts := map[string]string{"annotated": annotated}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		texts[f] = string(data)
	}
	for name, text := range texts {
		g := start(t, text, here)
		walk(t, g, missingRegistry(g))
		got, err := g.Text()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		gone, added := changed(strings.Split(text, "\n"), strings.Split(string(got), "\n"))
		added = slices.DeleteFunc(added, func(l string) bool { return strings.Contains("registry:\n  username: u\n  password_file: p", l) })
		if len(gone)+len(added) > 0 {
			t.Errorf("%s: lines gone %q, added %q", name, gone, added)
		}
	}
}

func sorted(lines ...string) []string { return slices.Sorted(slices.Values(lines)) }

// missingRegistry answers what some samples lack.
func missingRegistry(g *Guide) map[string]string {
	if g.Value("registry.username") != "" {
		return nil
	}
	return map[string]string{"registry.username": "u", "registry.password_file": "p"}
}

// A server is added later behind the others, and nothing else is asked or changed.
func TestAddServer(t *testing.T) {
	g := start(t, annotated, here)
	g.Keep()
	if q, open := g.Next(); !open || q.Field != "registry.username" {
		t.Fatalf("asks for %q, want what the file lacks", q.Field)
	}
	i := g.AddServer()
	asked := walk(t, g, map[string]string{"registry.username": "u", "registry.password_file": "p", "hosts[2].address": "10.0.4.22", "hosts[2].cameras": "10.0.9.60"})
	want := list("registry.username", "registry.password_file", "hosts[2].name", "hosts[2].address", "hosts[2].+look",
		"hosts[2].recordings", "hosts[2].wowza.license", "hosts[2].wowza.key_file", "hosts[2].cameras", "hosts[2].+more")
	if d := cmp.Diff(want, asked); i != 2 || d != "" {
		t.Errorf("server %d, asked (-want +got):\n%s", i, d)
	}
	text, err := g.Text()
	if err != nil {
		t.Fatal(err)
	}
	gone, added := changed(strings.Split(annotated, "\n"), strings.Split(string(text), "\n"))
	slices.Sort(added)
	if d := cmp.Diff(sorted("registry:", "  username: u", "  password_file: p", "  - name: media2", "    address: 10.0.4.22", "    roles: [media]", "    recordings: /srv/valt",
		"    wowza:", "      key_file: keys/media2", "    cameras: [10.0.9.60]"), added); d != "" || gone != nil {
		t.Errorf("gone %q, added (-want +got):\n%s", gone, d)
	}
}

// A single server grows into a site of several.
func TestSingleServerGrows(t *testing.T) {
	text, err := os.ReadFile("../../testdata/sites/single.yaml")
	if err != nil {
		t.Fatal(err)
	}
	g := start(t, string(text), here)
	g.Keep()
	g.AddServer()
	walk(t, g, map[string]string{"hosts[1].address": "10.0.0.11", "hosts[1].wowza.license": "physical"})
	s, err := g.Site()
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Hosts) != 2 || !s.Hosts[0].Has(site.App) || !s.Hosts[1].Has(site.Media) {
		t.Errorf("%s", Picture(s))
	}
}

func TestFill(t *testing.T) {
	tests := map[string]struct {
		base    string
		servers []string
		flags   Given
		wrong   []string // in the problems; none: it ends in a site
	}{
		"all there": {servers: list("app1 address=10.0.4.10", "media1 address=10.0.4.21 recordings=/srv/valt key-file=k cameras=10.0.9.1,10.0.9.5-10.0.9.9"),
			flags: Given{"site": {"--id", "x"}, "name": {"--name", "v.example"}, "ssl": {"--ssl", "false"}, "updates.source": {"--source", "bundle"}, "clients": {"--clients", "10.0.0.0/8"}}},
		"nothing": {flags: Given{}, wrong: list("--id is missing", "--name is missing", "--certificate is missing", "--registry-user is missing", "--server is missing")},
		"a server without an address": {servers: list("valt recordings=/srv/valt"), flags: Given{"site": {"--id", "x"}},
			wrong: list("--server … address= is missing", "--clients is missing", "--server … key-file= is missing")},
		"wrong ones": {servers: list("app1 address=10.0.4.300 rols=app", "=x"), flags: Given{"site": {"--id", "X"}},
			wrong: list(`--id: "X" is not a short name`, `address=: "10.0.4.300" is not`, `did you mean roles=?`, "does not begin with")},
		"not asked for": {base: annotated, flags: Given{"ssl": {"--ssl", "false"}, "tls.certificate": {"--certificate", "x"}, "registry.username": {"", "u"}, "registry.password_file": {"", "p"}},
			wrong: list("--certificate: the other answers leave nothing to ask there")},
		"another server": {base: annotated, servers: list("media2 address=10.0.4.22 recordings=/srv/valt license=physical"),
			flags: Given{"registry.username": {"--registry-user", "u"}, "registry.password_file": {"--registry-password-file", "p"}}},
		"beam and cloud": {servers: list("media1 address=10.0.4.21 recordings=/srv/valt key-file=k"),
			flags: Given{"site": {"--id", "x"}, "cloud.app": {"--cloud", "v.example"}, "updates.source": {"--source", "bundle"}, "clients": {"--clients", "10.0.0.0/8"}, "beam.devices": {"--beam", "10.9.0.0/16"}}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			g := start(t, tt.base, here)
			g.Keep()
			err := errors.Join(g.Servers(tt.servers, tt.flags), g.Fill(tt.flags, func(Question, string) error { return nil }))
			if len(tt.wrong) == 0 {
				if err != nil {
					t.Fatal(err)
				}
				s, err := g.Site()
				if err != nil {
					t.Fatal(err)
				}
				if tt.base != "" && len(s.Hosts) != 3 {
					t.Errorf("%d servers", len(s.Hosts))
				}
				return
			}
			all := problem.All(err)
			var said []string
			for _, p := range all {
				if p.Kind != problem.Input {
					t.Errorf("%v is of kind %v", p, p.Kind)
				}
				said = append(said, p.Error()+"; "+p.Fix)
			}
			for _, want := range tt.wrong {
				if !strings.Contains(strings.Join(said, "\n"), want) {
					t.Errorf("nothing says %q:\n%s", want, strings.Join(said, "\n"))
				}
			}
		})
	}
}

// A server is looked at before the rest of the site is known.
func TestSketch(t *testing.T) {
	g := start(t, "", here)
	for {
		q, open := g.Next()
		if !open {
			t.Fatal("no server is looked at")
		}
		if q.Aspect == AsHost {
			s, h, err := g.Sketch(q.Server)
			if err != nil {
				t.Fatal(err)
			}
			if want := "media1"; q.Server == 1 {
				if s.ID != "st-marys" || h.Name != want || h.Address != "10.0.4.21" || h.SSH.User != "valt" {
					t.Errorf("%s %+v", s.ID, h)
				}
				return
			}
		}
		text, ok := paths["several"][q.Field]
		if !ok {
			text = g.Default(q)
		}
		g.Answer(q, text)
	}
}
