package plain

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// hostile are words that act on what shows them, and how they are shown.
var hostile = map[string]struct{ text, shown string }{
	"a title":                {"\x1b]0;root@app1\a", `\x1b]0;root@app1\x07`},
	"the clipboard":          {"\x1b]52;c;cm0K\x1b\\", `\x1b]52;c;cm0K\x1b\`},
	"a link":                 {"\x1b]8;;http://x\x1b\\y", `\x1b]8;;http://x\x1b\y`},
	"a device control":       {"\x1bP+q\x1b\\", `\x1bP+q\x1b\`},
	"the screen":             {"\x1b[2J\x1b[1;1H", `\x1b[2J\x1b[1;1H`},
	"an eight-bit control":   {"\x9b2J", `\x9b2J`},
	"the same as UTF-8":      {"\u009b2J\u0085", `\u009b2J\u0085`},
	"over the line":          {"FAIL\rok", `FAIL\rok`},
	"backspaces":             {"no\b\bok\x7f", `no\x08\x08ok\x7f`},
	"a null":                 {"a\x00b", `a\x00b`},
	"the other direction":    {"a\u202Eb\u2066c\u200Fd\u061C", `a\u202eb\u2066c\u200fd\u061c`},
	"nothing to see":         {"a\u200Bb\uFEFFc\u2060d\u00AD", `a\u200bb\ufeffc\u2060d\u00ad`},
	"tags":                   {"a\U000E0041\U000E007F", `a\U000e0041\U000e007f`},
	"fillers and selectors":  {"a\u3164b\uFE0Fc\U000E0101", `a\u3164b\ufe0fc\U000e0101`},
	"ends of lines":          {"a\u2028b\u2029c\vd\fe", `a\u2028b\u2029c\x0bd\x0ce`},
	"broken characters":      {"a\xc3\x28\xff\xe2\x80", `a\xc3(\xff\xe2\x80`},
	"a surrogate":            {"\xed\xa0\x80", `\xed\xa0\x80`},
	"private and unassigned": {"\ue000\u0378", `\ue000\u0378`},
}

func TestWhatActsIsShown(t *testing.T) {
	for name, c := range hostile {
		if got := Text(c.text); got != c.shown {
			t.Errorf("%s: %q is shown as %q, want %q", name, c.text, got, c.shown)
		}
		if got := Line(c.text); got != c.shown {
			t.Errorf("%s: on a line %q is shown as %q, want %q", name, c.text, got, c.shown)
		}
	}
}

func TestWhatPeopleWriteStays(t *testing.T) {
	for _, text := range []string{"", "media1: done", "Zürich, 東京, Ελλάδα, עברית", "✓ → … ─ │ ▸ 🙂", "C:\\valt \\x1b", "a\u00a0b", "e\u0301"} {
		if Text(text) != text || Line(text) != text {
			t.Errorf("%q is shown as %q", text, Text(text))
		}
	}
	if got := Text("a\tb\nc"); got != "a\tb\nc" {
		t.Errorf("lines and columns become %q", got)
	}
	if got := Line("a\tb\nc"); got != `a\tb\nc` {
		t.Errorf("on one line they are %q", got)
	}
}

// A host that says several lines does not make one of ours.
func TestFurtherLinesAreMovedIn(t *testing.T) {
	if got := Under("E: broken\nvaltctl: all hosts are updated\nhint: none\n"); got != "E: broken\n  valtctl: all hosts are updated\n  hint: none" {
		t.Errorf("got %q", got)
	}
}

// However the bytes are cut, the writer shows what Text does.
func TestTheWriterTakesPieces(t *testing.T) {
	var all, want strings.Builder
	for _, c := range hostile {
		all.WriteString(c.text + " 東🙂\n")
		want.WriteString(Text(c.text+" 東🙂") + "\n")
	}
	for _, size := range []int{1, 2, 3, 7, most - 1, most + 1} {
		text := strings.Repeat(all.String(), 1+size/400)
		var out bytes.Buffer
		w := NewWriter(&out)
		for left := text; left != ""; {
			n := min(size, len(left))
			if got, err := io.WriteString(w, left[:n]); got != n || err != nil {
				t.Fatal(got, err)
			}
			left = left[n:]
		}
		if err := w.Flush(); err != nil || out.String() != strings.Repeat(want.String(), 1+size/400) {
			t.Errorf("in pieces of %d bytes something else is shown (%v)", size, err)
		}
	}
}

func TestAWriterThatFails(t *testing.T) {
	full := errors.New("full")
	if n, err := NewWriter(failing{full}).Write([]byte("x")); n != 0 || !errors.Is(err, full) {
		t.Errorf("%d, %v", n, err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestJSONSaysTheSame(t *testing.T) {
	for name, c := range hostile {
		raw, err := json.Marshal(map[string]string{"text": c.text, c.text: "key"})
		if err != nil {
			t.Fatal(err)
		}
		got := JSON(raw)
		var before, after map[string]string
		if err := errors.Join(json.Unmarshal(raw, &before), json.Unmarshal(got, &after)); err != nil || before["text"] != after["text"] || len(before) != len(after) {
			t.Errorf("%s: %s becomes %s (%v)", name, raw, got, err)
		}
		if acts(string(got)) {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := JSON([]byte("{\"a\":\"\xff\"}")); string(got) != `{"a":"\ufffd"}` {
		t.Errorf("got %s", got)
	}
}

func TestCellsAreNoFormulas(t *testing.T) {
	for text, want := range map[string]string{
		`=HYPERLINK("http://x","y")`: `'=HYPERLINK("http://x","y")`,
		"+1+cmd|'/c calc'!A0":        "'+1+cmd|'/c calc'!A0",
		"-2+3":                       "'-2+3",
		"@SUM(A1)":                   "'@SUM(A1)",
		"\t=1":                       `\t=1`,
		"\r=1":                       `\r=1`,
		" =1":                        " '=1",
		"＝1+1":                       "'＝1+1",
		"lobby;=1+1":                 "lobby;'=1+1",
		`lobby";"=1+1`:               `lobby";"'=1+1`,
		"a|@b":                       "a|'@b",
		"443":                        "443",
		"-1.5":                       "-1.5",
		"+1":                         "+1",
		"-":                          "-",
		"":                           "",
		"client.https/clients/app1+client.wss/clients/app1": "client.https/clients/app1+client.wss/clients/app1",
		"10.0.0.0/16": "10.0.0.0/16",
		"front-door":  "front-door",
	} {
		if got := Cell(text); got != want {
			t.Errorf("%q becomes the cell %q, want %q", text, got, want)
		}
	}
}

func TestLinesHaveALimit(t *testing.T) {
	for _, size := range []int{1, 3, 100} {
		var got []string
		l := Lines{Most: 8, Each: func(line []byte) error { got = append(got, string(line)); return nil }}
		for left := "one\r\n12345678\n123456789\n\nlast"; left != ""; {
			n := min(size, len(left))
			if _, err := io.WriteString(&l, left[:n]); err != nil {
				t.Fatal(err)
			}
			left = left[n:]
		}
		if err := errors.Join(l.Flush(), l.Flush()); err != nil {
			t.Fatal(err)
		}
		if want := "one|12345678|12345678 …|9||last"; strings.Join(got, "|") != want {
			t.Errorf("in pieces of %d: %q", size, got)
		}
	}
	full := errors.New("full")
	l := Lines{Most: 8, Each: func([]byte) error { return full }}
	if _, err := io.WriteString(&l, "123456789"); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

// acts says that something in text is hidden or acts, judged by the categories of Unicode alone.
func acts(text string) bool {
	return !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool {
		return r != '\n' && r != '\t' && unicode.In(r, unicode.C, unicode.Zl, unicode.Zp)
	})
}

func FuzzNothingActs(f *testing.F) {
	for _, c := range hostile {
		f.Add(c.text, 3)
	}
	f.Add("=1;+2\n\t", 1)
	f.Fuzz(func(t *testing.T, text string, cut int) {
		for name, got := range map[string]string{"text": Text(text), "line": Line(text), "under": Under(text), "cell": Cell(text)} {
			if acts(got) {
				t.Errorf("the %s of %q is %q", name, text, got)
			}
		}
		if strings.ContainsAny(Line(text)+Cell(text), "\n\t\r") {
			t.Errorf("%q has more than one line", Line(text))
		}
		if Text(Text(text)) != Text(text) {
			t.Errorf("what is plain is changed: %q", Text(text))
		}
		var out bytes.Buffer
		w := NewWriter(&out)
		at := min(max(cut, 0), len(text))
		_, _ = io.WriteString(w, text[:at])
		_, _ = io.WriteString(w, text[at:])
		if err := w.Flush(); err != nil || out.String() != Text(text) {
			t.Errorf("in two pieces %q is shown as %q", text, out.String())
		}
		raw, err := json.Marshal(text)
		var before, after string
		if err = errors.Join(err, json.Unmarshal(raw, &before), json.Unmarshal(JSON(raw), &after)); err != nil || before != after || acts(string(JSON(raw))) {
			t.Errorf("%s becomes %s (%v)", raw, JSON(raw), err)
		}
		if cell := Cell(text); cell != "" && cell != "-" && strings.ContainsRune(formula, []rune(strings.TrimLeft(cell, ` "`) + " ")[0]) && !isNumber(text) {
			t.Errorf("%q becomes the formula %q", text, cell)
		}
		rows, err := csv.NewReader(strings.NewReader(row(Cell(text), "x"))).ReadAll()
		if err != nil || len(rows) != 1 || rows[0][0] != Cell(text) {
			t.Errorf("the row of %q is %q (%v)", text, rows, err)
		}
	})
}

func isNumber(text string) bool {
	_, err := strconv.ParseFloat(text, 64)
	return err == nil
}

func row(cells ...string) string {
	var out strings.Builder
	w := csv.NewWriter(&out)
	_ = w.Write(cells)
	w.Flush()
	return out.String()
}
