package textfile

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"
)

// utf16Of writes text as Windows' editors do.
func utf16Of(text string, mark, big bool) []byte {
	if mark {
		text = "\ufeff" + text
	}
	var raw []byte
	for _, u := range utf16.Encode([]rune(text)) {
		low, high := byte(u), byte(u>>8)
		if big {
			low, high = high, low
		}
		raw = append(raw, low, high)
	}
	return raw
}

func TestAFileIsReadInEveryFormAndKeepsIt(t *testing.T) {
	const text = "name: Größe 🎥\nssl: true\n"
	crlf := strings.ReplaceAll(text, "\n", "\r\n")
	for name, raw := range map[string][]byte{
		"plain":                     []byte(text),
		"CRLF":                      []byte(crlf),
		"byte order mark":           []byte("\ufeff" + text),
		"byte order mark and CRLF":  []byte("\ufeff" + crlf),
		"UTF-16, little end":        utf16Of(text, true, false),
		"UTF-16, big end":           utf16Of(text, true, true),
		"UTF-16 with CRLF":          utf16Of(crlf, true, false),
		"UTF-16 without mark":       utf16Of(crlf, false, false),
		"UTF-16, big, without mark": utf16Of(text, false, true),
	} {
		t.Run(name, func(t *testing.T) {
			got, form, err := Decode(raw)
			if err != nil || string(got) != text {
				t.Fatalf("read as %q: %v", got, err)
			}
			if again := form.Encode(got); !bytes.Equal(again, raw) {
				t.Errorf("written as %q, was %q", again, raw)
			}
			edited := form.Encode(append(got, "firewall: off\n"...))
			if after, _, err := Decode(edited); err != nil || string(after) != text+"firewall: off\n" {
				t.Errorf("an added line makes %q of it: %v", after, err)
			}
		})
	}
}

func TestEndsOfLinesThatDifferStayAsTheyAre(t *testing.T) {
	raw := []byte("a: 1\r\nb: 2\nc: 3\r\n")
	got, form, err := Decode(raw)
	if err != nil || !bytes.Equal(got, raw) || !bytes.Equal(form.Encode(got), raw) {
		t.Errorf("read as %q, written as %q: %v", got, form.Encode(got), err)
	}
}

func TestWhatIsNoTextIsNamedByItsPlace(t *testing.T) {
	for name, c := range map[string]struct {
		raw  []byte
		want string
		text string
	}{
		"Latin-1":               {[]byte("a: 1\nname: St. \xc9tienne\n"), `line 2, column 11: the byte 0xC9 is not UTF-8; in Latin-1 it is 'É'`, "a: 1\nname: St. Étienne\n"},
		"half a pair":           {append(utf16Of("ab\nc", true, false), 0x3d, 0xd8), "line 2, column 2: 0xD83D is half a character of UTF-16", "ab\nc\ufffd"},
		"half a pair, then one": {append(append(utf16Of("a", true, false), 0x3d, 0xd8), utf16Of("b", false, false)...), "line 1, column 2: 0xD83D is half", "a\ufffdb"},
		"an odd number":         {append(utf16Of("ab", true, true), 0), "line 1, column 3: half a character of UTF-16 ends the file", "ab"},
	} {
		t.Run(name, func(t *testing.T) {
			text, _, err := Decode(c.raw)
			var odd *Odd
			if !errors.As(err, &odd) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
			if string(text) != c.text {
				t.Errorf("what can be read of it is %q, want %q", text, c.text)
			}
		})
	}
}

func TestAFileHasALimit(t *testing.T) {
	file := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(file, []byte("\ufeff12345\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := Read(file, 10); err != nil || string(got) != "12345\n" {
		t.Errorf("at its limit: %q, %v", got, err)
	}
	for path, limit := range map[string]int64{file: 9, "/dev/zero": 1 << 20} {
		if _, err := Read(path, limit); err == nil || !strings.Contains(err.Error(), "has more than") {
			t.Errorf("%s beyond %d bytes: %v", path, limit, err)
		}
	}
	if err := os.WriteFile(file, []byte{0xff}, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(file, 10); err == nil || !strings.Contains(err.Error(), "line 1, column 1: it is not text in UTF-8") {
		t.Errorf("what is no text: %v", err)
	}
	if _, err := Read(file+".none", 10); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// Whatever is read: no crash, UTF-8, and a text without anything odd is written as it was.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("a: 1\r\nb: 2\r\n"))
	f.Add([]byte("\ufeffa\r\r\n"))
	f.Add([]byte("\xff\xfe\x3d\xd8\x00"))
	f.Add(utf16Of("a\r\nb\r\n", false, true))
	f.Add([]byte("caf\xe9"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		text, form, err := Decode(raw)
		if !bytes.Equal(bytes.ToValidUTF8(text, nil), text) {
			t.Errorf("%q is read as %q, which is not UTF-8", raw, text)
		}
		if again := form.Encode(text); err == nil && !bytes.Equal(again, raw) {
			t.Errorf("%q is read as %q and written as %q", raw, text, again)
		}
	})
}
