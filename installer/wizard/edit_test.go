package wizard

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"ipivs.com/valtctl/installer/site"
)

const annotated = `# St Mary's, since 2024
site: st-marys # never change it
name: 'valt.st-marys.example'   # on the certificate
ssl: true
tls: { certificate: certs/valt.pem, key_file: "certs/valt.key" } # renewed in May

hosts:
  # the one in the basement
  - name: app1
    address: 10.0.4.10 # ask Kim before changing
    roles: [app]
  - name: media1
    address: 10.0.4.21
    roles: [media]
    recordings: /srv/valt
    wowza: { license: electronic, key_file: keys/media1 }
    cameras:
      - 10.0.9.11 # door
      - { name: lobby, address: 10.0.9.12, http: 8080 }
      # the new wing
      - 10.0.9.20-10.0.9.39

# Wi-Fi as well
clients: [10.0.0.0/16,
  10.1.0.0/16] # both buildings
`

func list(items ...string) []string { return items }

// Every edit changes its own lines and no other.
func TestEditsLeaveTheRest(t *testing.T) {
	tests := map[string]struct {
		edit        Edit
		gone, added []string
	}{
		"value with a comment": {Edit{Field: "hosts[0].address", Value: "10.0.4.11"},
			list("    address: 10.0.4.10 # ask Kim before changing"), list("    address: 10.0.4.11 # ask Kim before changing")},
		"quoted value": {Edit{Field: "name", Value: "valt.example.com"},
			list("name: 'valt.st-marys.example'   # on the certificate"), list("name: valt.example.com   # on the certificate")},
		"value in brackets": {Edit{Field: "tls.certificate", Value: "new certs/valt.pem"},
			list(`tls: { certificate: certs/valt.pem, key_file: "certs/valt.key" } # renewed in May`),
			list(`tls: { certificate: "new certs/valt.pem", key_file: "certs/valt.key" } # renewed in May`)},
		"new key among others": {Edit{Field: "registry.username", Value: "st-marys"}, nil,
			list("registry:", "  username: st-marys")},
		"new key of a host": {Edit{Field: "hosts[0].recordings", Value: "/srv/valt"}, nil, list("    recordings: /srv/valt")},
		"key gone from brackets": {Edit{Field: "hosts[1].wowza.key_file", Remove: true},
			list("    wowza: { license: electronic, key_file: keys/media1 }"), list("    wowza: { license: electronic }")},
		"first key gone from brackets": {Edit{Field: "tls.certificate", Remove: true},
			list(`tls: { certificate: certs/valt.pem, key_file: "certs/valt.key" } # renewed in May`), list(`tls: { key_file: "certs/valt.key" } # renewed in May`)},
		"list of several lines grows": {Edit{Field: "clients", IsList: true, List: list("10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/16")},
			list("  10.1.0.0/16] # both buildings"), list("  10.1.0.0/16, 10.2.0.0/16] # both buildings")},
		"cameras keep their ports": {Edit{Field: "hosts[1].cameras", IsList: true, List: list("10.0.9.12", "10.0.9.20-10.0.9.39", "10.0.9.50")},
			list("      - 10.0.9.11 # door"), list("      - 10.0.9.50")},
		"another host": {Edit{Field: "hosts[2].name", Value: "media2"}, nil, list("  - name: media2")},
		"a list where none was": {Edit{Field: "updates.windows", IsList: true, List: list("Sun 02:00-05:00")}, nil,
			list("updates:", `  windows: ["Sun 02:00-05:00"]`)},
		"block gone": {Edit{Field: "clients", Remove: true}, list("clients: [10.0.0.0/16,", "  10.1.0.0/16] # both buildings"), nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Apply([]byte(annotated), []Edit{tt.edit})
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Split(annotated, "\n")
			var gone, added []string
			gone, added = changed(want, strings.Split(string(got), "\n"))
			if d := cmp.Diff([2][]string{tt.gone, tt.added}, [2][]string{gone, added}); d != "" {
				t.Errorf("lines gone and added (-want +got):\n%s\n%s", d, got)
			}
		})
	}
}

// changed compares texts as sets of lines.
func changed(before, after []string) (gone, added []string) {
	count := map[string]int{}
	for _, l := range after {
		count[l]++
	}
	for _, l := range before {
		if count[l]--; count[l] < 0 {
			gone = append(gone, l)
		}
	}
	for _, l := range after {
		if count[l] > 0 {
			count[l]--
			added = append(added, l)
		}
	}
	return gone, added
}

func TestTextFromNothing(t *testing.T) {
	got, err := Apply([]byte("# Written by valtctl init.\n"), []Edit{
		{Field: "site", Value: "st-marys"}, {Field: "ssl", Value: "true"}, {Field: "tls.certificate", Value: "a b.pem"}, {Field: "tls.key_file", Value: "k"},
		{Field: "hosts[0].name", Value: "app1"}, {Field: "hosts[0].roles", IsList: true, List: list("app")}, {Field: "hosts[0].address", Value: "10.0.4.10"},
		{Field: "hosts[1].name", Value: "media1"}, {Field: "hosts[1].wowza.license", Value: "physical"}, {Field: "ssh.user", Value: "valt"},
		{Field: "clients", IsList: true, List: list("10.0.0.0/16")},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `# Written by valtctl init.
site: st-marys
ssl: true
tls:
  certificate: "a b.pem"
  key_file: k
ssh:
  user: valt
hosts:
  - name: app1
    address: 10.0.4.10
    roles: [app]
  - name: media1
    wowza:
      license: physical
clients: [10.0.0.0/16]
`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// What a file lacks goes where it would have been written: the name of a site comes first,
// and a comment stays above what it is about.
func TestMissingKeysGoToTheirPlaces(t *testing.T) {
	got, err := Apply([]byte("# St Mary's\n\n# a mirror\nrelease: { channel: stable }\nclients: [10.0.0.0/8]\n"), []Edit{
		{Field: "site", Value: "st-marys"}, {Field: "ssl", Value: "true"}, {Field: "hosts[0].name", Value: "app1"}, {Field: "updates.source", Value: "bundle"},
	})
	want := "# St Mary's\n\nsite: st-marys\nssl: true\n# a mirror\nrelease: { channel: stable }\nhosts:\n  - name: app1\nclients: [10.0.0.0/8]\nupdates:\n  source: bundle\n"
	if d := cmp.Diff(want, string(got)); err != nil || d != "" {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
}

// A text in a form that cannot be edited is refused, and never spoilt.
func TestOddFormsAreRefusedOrRight(t *testing.T) {
	for name, text := range map[string]string{
		"anchors":        "a: &x [1]\nssl: *x\n",
		"two documents":  "a: 1\n---\nb: 2\n",
		"a list":         "- a\n",
		"comment within": "clients: [a, # one\n  b]\n",
		"no newline":     "site: a",
		"windows lines":  "site: a\r\nclients: [a]\r\n",
		"empty value":    "site:\nclients:\n  - a\n",
		"literal":        "site: a\nname: |\n  abc\nssl: true\n",
		"tabs":           "site:\ta\n",
		"unicode":        "name: é # ü\nsite: x # é\n",
	} {
		for _, e := range []Edit{{Field: "site", Value: "b"}, {Field: "clients", IsList: true, List: list("c")}, {Field: "ssl", Remove: true}, {Field: "tls.key_file", Value: "k"}, {Field: "name", Value: "b"}} {
			got, err := Apply([]byte(text), []Edit{e})
			if err != nil {
				continue
			}
			if err := prove([]byte(text), got, e); err != nil {
				t.Errorf("%s, %s: %v:\n%s", name, e.Field, err, got)
			}
		}
	}
}

// Every sample site file can be edited at every field that is asked for.
func TestSamplesCanBeEdited(t *testing.T) {
	files, err := filepath.Glob("../../testdata/sites/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("finding the samples: %v", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Apply(text, []Edit{
			{Field: "name", Value: "new.example.com"}, {Field: "hosts[0].address", Value: "10.77.0.1"}, {Field: "clients", IsList: true, List: list("10.78.0.0/16")},
			{Field: "network.proxy", Value: "http://proxy:3128"}, {Field: "ssh.user", Value: "kim"}, {Field: "updates.timezone", Value: "Europe/Berlin"},
		})
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		s, err := site.Parse(file, got, "/home/kim")
		if err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if s.Name != "new.example.com" || s.Network.Proxy != "http://proxy:3128" || s.Updates.Timezone != "Europe/Berlin" || s.SSH.User != "kim" {
			t.Errorf("%s: edits are not in it:\n%s", file, got)
		}
	}
}

// The form in which an editor wrote a file outlives an edit, on the new lines as well.
func TestAnEditedFileKeepsTheFormOfItsEditor(t *testing.T) {
	edits := []Edit{{Field: "hosts[0].address", Value: "10.0.4.11"}, {Field: "hosts[2].name", Value: "media2"}, {Field: "firewall", Value: "off"}}
	want, err := Apply([]byte(annotated), edits)
	if err != nil {
		t.Fatal(err)
	}
	crlf := func(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }
	wide := func(text string, order binary.AppendByteOrder) string {
		var raw []byte
		for _, u := range utf16.Encode([]rune("\ufeff" + text)) {
			raw = order.AppendUint16(raw, u)
		}
		return string(raw)
	}
	for name, form := range map[string]func(string) string{
		"CRLF":             crlf,
		"byte order mark":  func(text string) string { return "\ufeff" + text },
		"mark and CRLF":    func(text string) string { return "\ufeff" + crlf(text) },
		"UTF-16 and CRLF":  func(text string) string { return wide(crlf(text), binary.LittleEndian) },
		"UTF-16, big ends": func(text string) string { return wide(text, binary.BigEndian) },
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Apply([]byte(form(annotated)), edits)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != form(string(want)) {
				t.Errorf("got %q\nwant %q", got, form(string(want)))
			}
			g, err := New([]byte(form(annotated)), here)
			if err != nil || g.Value("name") != "valt.st-marys.example" || !g.Found() {
				t.Errorf("the questions begin with %q: %v", g.Value("name"), err)
			}
		})
	}
	if _, err := Apply([]byte("name: caf\xe9\n"), edits); err == nil || !strings.Contains(err.Error(), "line 1, column 10") {
		t.Errorf("what is no text is edited: %v", err)
	}
}

// A certificate that comes as PKCS#12 takes the place of one in PEM, and back.
func TestACertificateChangesItsForm(t *testing.T) {
	for _, c := range []struct{ base, answer, want string }{
		{"tls: { certificate: a.pem, key_file: a.key } # renewed\n", "b.pfx", "tls: { pkcs12: b.pfx } # renewed\n"},
		{"tls:\n  pkcs12: a.pfx\n  password_file: a.txt\n", "b.p12", "tls:\n  pkcs12: b.p12\n  password_file: a.txt\n"},
		{"tls: { pkcs12: a.pfx }\n", "b.pem", "tls: { certificate: b.pem }\n"},
	} {
		g, err := New([]byte("site: a\nssl: true\n"+c.base), here)
		if err != nil {
			t.Fatal(err)
		}
		if g.Value("tls.certificate") == "" {
			t.Errorf("%q: the file's own certificate is not offered", c.base)
		}
		g.answer[layout], g.answer["tls.certificate"] = Several, c.answer
		delete(g.answer, "tls.key_file")
		text, err := g.Text()
		if err != nil {
			t.Fatalf("%q: %v", c.base, err)
		}
		if !strings.Contains(string(text), c.want) {
			t.Errorf("%q and %s make\n%s", c.base, c.answer, text)
		}
	}
}

// Whatever the text, an edit does what it says and nothing else, or is refused.
func FuzzApply(f *testing.F) {
	f.Add(annotated, "hosts[0].address", "10.0.4.11")
	f.Add("a: {b: 1}\n", "a.c", "x y")
	f.Add("\ufeffa: 1\r\nb:\r\n  - c: 2\r\n", "b[1].c", "3")
	f.Add("\xff\xfea\x00:\x00 \x001\x00\n\x00", "b", "2")
	f.Fuzz(func(t *testing.T, text, field, value string) {
		if len(segments(field)) == 0 || value == "" {
			return
		}
		e := Edit{Field: field, Value: value}
		got, err := Apply([]byte(text), []Edit{e})
		if err != nil {
			return
		}
		if err := prove([]byte(text), got, e); err != nil {
			t.Fatalf("%v", err)
		}
	})
}

// Every key of the site file has its place, so that a new one of it does not come last.
func TestOrderHoldsEveryKey(t *testing.T) {
	var schema struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	if err := json.Unmarshal(site.Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	for key := range schema.Properties {
		if rank(key) < 0 {
			t.Errorf("order() lacks %q", key)
		}
	}
}
