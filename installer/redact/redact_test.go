package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
)

// secret has what encodings change: a quote, a plus, a slash, an at sign, a space.
const secret = `p+W/ss"w0 rd@1&é`

func known() *Redactor { return New([]Secret{{"database-password", []byte(secret + "\n")}}) }

func TestKnownSecretsAreFoundAsProgramsWriteThem(t *testing.T) {
	quoted, err := json.Marshal(secret)
	if err != nil {
		t.Fatal(err)
	}
	twice, err := json.Marshal(string(quoted))
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"raw":               "before " + secret + " after",
		"between words":     "before" + secret + "after",
		"JSON":              `{"m":` + string(quoted) + `}`,
		"JSON in JSON":      `{"m":` + string(twice) + `}`,
		"query":             "https://h/?x=" + url.QueryEscape(secret),
		"path":              "https://h/" + url.PathEscape(secret),
		"query, lower case": "https://h/?x=" + lowerEscapes(url.QueryEscape(secret)),
		"percent":           percent(secret),
		"hex":               hex.EncodeToString([]byte(secret)),
		"base64":            base64.StdEncoding.EncodeToString([]byte(secret)),
		"base64 of a line":  base64.StdEncoding.EncodeToString([]byte(secret + "\n")),
		"base64 of a login": base64.StdEncoding.EncodeToString([]byte("st-marys:" + secret)),
		"base64, one on":    base64.URLEncoding.EncodeToString([]byte("x" + secret + "tail")),
		"base64, two on":    base64.RawURLEncoding.EncodeToString([]byte("xy" + secret + "tail")),
		"wrapped":           "before " + secret[:5] + "\n   " + secret[5:] + " after",
		"wrapped, CR":       "before " + secret[:5] + "\r\n" + secret[5:] + " after",
		"wrapped journal":   "before " + secret[:5] + "\n2026-11-22T02:00:00+0000 valt[17]: " + secret[5:] + " after",
		"wrapped, precise":  "before " + secret[:5] + "\n2026-11-22T02:00:00.123456+00:00 app1 valt.service[17]: " + secret[5:] + " after",
		"wrapped syslog":    "before " + secret[:5] + "\nNov 22 02:00:00 app1 valt[17]: " + secret[5:] + " after",
		"wrapped engine":    "web        2026-11-22T02:00:00.123456789Z before " + secret[:5] + "2026-11-22T02:00:00.123456790Z " + secret[5:] + " after",
		"base64 in lines":   strings.Join([]string{base64.StdEncoding.EncodeToString([]byte("st-marys:" + secret))[:20], base64.StdEncoding.EncodeToString([]byte("st-marys:" + secret))[20:]}, "\n"),
	} {
		got, counts := known().Bytes([]byte(text))
		if counts["database-password"] < 1 {
			t.Errorf("%s: %q, %v", name, got, counts)
		}
		for _, left := range []string{secret, secret[:5], secret[5:]} {
			if bytes.Contains(got, []byte(left)) {
				t.Errorf("%s: %q is left in %q", name, left, got)
			}
		}
		if strings.HasPrefix(text, "before ") && (!bytes.HasPrefix(got, []byte("before [removed:database-password]")) || !bytes.HasSuffix(got, []byte(" after"))) {
			t.Errorf("%s: what is around it changed: %q", name, got)
		}
	}
}

const key = `-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACBrS3bJmGdH2dMpZ3o6cVb1h0m9c1aYkQWc0bXzJ3u3EwAAAJgq0Bq5KtAa
uQAAAAtzc2gtZWQyNTUxOQAAACBrS3bJmGdH2dMpZ3o6cVb1h0m9c1aYkQWc0bXzJ3u3Ew==
-----END OPENSSH PRIVATE KEY-----
`

func TestEachLineOfAKnownKeyIsASecret(t *testing.T) {
	r := New([]Secret{{"ssh-identity", []byte(key)}})
	for i, line := range strings.Split(strings.TrimSpace(key), "\n")[1:4] {
		got, _ := r.Bytes([]byte("Nov 22 02:00:00 app1 x[1]: " + line + "\n"))
		if bytes.Contains(got, []byte(line[10:30])) {
			t.Errorf("line %d is left: %q", i, got)
		}
	}
	if got, counts := r.Bytes([]byte("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")); len(counts) != 0 {
		t.Errorf("a certificate is public: %q", got)
	}
}

func TestShapesOfSecrets(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"a\n" + key + "b\n", "a\n[removed:private-key]\nb\n"},
		{`{"k":"` + strings.ReplaceAll(key, "\n", `\n`) + `"}`, `{"k":"[removed:private-key]\n"}`},
		{key[60:] + "b", "[removed:private-key]\nb"}, // its beginning was cut off
		{"Authorization: Basic dXNlcjpwYXNz\nHost: h\n", "Authorization: [removed:header]\nHost: h\n"},
		{"proxy-authorization:Digest username=\"a\", response=\"b\"\nHost: h", "proxy-authorization:[removed:header]\nHost: h"},
		{`{"Authorization":["Bearer abc"],"Host":"h"}`, `{"Authorization":["[removed:header]"],"Host":"h"}`},
		{"map[Authorization:[Basic abc] Host:[h]]", "map[Authorization:[[removed:header]] Host:[h]]"},
		{`{"m":"GET / Cookie: a=b; c=d","n":1}`, `{"m":"GET / Cookie: [removed:header]","n":1}`},
		{"sent Bearer abcDEF123456 to h", "sent Bearer [removed:authorization] to h"},
		{"basic authentication is off", "basic authentication is off"},
		{"via http://proxy:s3cr3t@proxy.example:3128/ now", "via http://[removed:url-login]@proxy.example:3128/ now"},
		{`"http:\/\/u:p@ss@h\/x"`, `"http:\/\/[removed:url-login]@h\/x"`},
		{"?next=https%3A%2F%2Fu%3Ap%40h%2F", "?next=https%3A%2F%2F[removed:url-login]%40h%2F"},
		{"at https://h/p@x and me@h", "at https://h/p@x and me@h"},
		{"MYSQL_ROOT_PASSWORD=hunter2 USER=root", "MYSQL_ROOT_PASSWORD=[removed:password] USER=root"},
		{"  password: 'a b''c'\n  user: x", "  password: '[removed:password]''c'\n  user: x"},
		{`{"password":"a\"b","user":"x"}`, `{"password":"[removed:password]","user":"x"}`},
		{`{"m":"{\"password\":\"ab\",\"user\":\"x\"}"}`, `{"m":"{\"password\":\"[removed:password]\",\"user\":\"x\"}"}`},
		{`'db_pass' => 'abc', 'host' => 'h'`, `'db_pass' => '[removed:password]', 'host' => 'h'`},
		{`{"passwords":["a","b"],"n":2}`, `{"passwords":["[removed:password]","[removed:password]"],"n":2}`},
		{`{"secrets":["db","app"]}`, `{"secrets":["db","app"]}`},
		{"secrets: [db, app]\nsecrets: { db: { file: /etc/x } }", "secrets: [db, app]\nsecrets: { db: { file: /etc/x } }"},
		{`"a:\n  secrets:\n    db: {file: /etc/x}\n"`, `"a:\n  secrets:\n    db: {file: /etc/x}\n"`},
		{`{"token":17,"token2":"x7"}`, `{"token":17,"token2":"[removed:token]"}`},
		{`{"password":null,"secret":{"file":"/etc/x"}}`, `{"password":null,"secret":{"file":"/etc/x"}}`},
		{"password_file: ~/.config/registry", "password_file: ~/.config/registry"},
		{"Failed password for root from 10.0.0.1 port 22", "Failed password for root from 10.0.0.1 port 22"},
		{"mysql --user root --password hunter2 -h db", "mysql --user root --password [removed:password] -h db"},
		{"registry-secret is a word", "registry-secret is a word"},
		{"curl --token=abc h", "curl --token=[removed:token] h"},
		{"CREATE USER 'a'@'%' IDENTIFIED BY 'hunter2';", "CREATE USER 'a'@'%' IDENTIFIED BY '[removed:password]';"},
		{"apiKey = abcdef", "apiKey = [removed:password]"},
		{"AGE-SECRET-KEY-1QQPQQPQQPQQPQQP x", "[removed:age-key] x"},
		{"t eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N x", "t [removed:token] x"},
		{"root:$6$salt$0123456789abcdefghij./:1:", "root:[removed:password-hash]:1:"},
		{"key EDEV4-aaaaa-bbbbb-ccccc-ddddd-eeeee-fffffffffff x", "key [removed:licence-key] x"},
		{"02:00:00 a: b = c, d: e", "02:00:00 a: b = c, d: e"},
	} {
		got, _ := New(nil).Bytes([]byte(c.text))
		if string(got) != c.want {
			t.Errorf("%q\n  became %q\n  wanted %q", c.text, got, c.want)
		}
		again, counts := New(nil).Bytes(got)
		if !bytes.Equal(again, got) || len(counts) != 0 {
			t.Errorf("a second time: %q became %q, %v", got, again, counts)
		}
	}
}

// A step names the secret that it needs; that is no secret.
func TestTheNameOfASecretStays(t *testing.T) {
	text := `{"password_secret":"registry-password","key_secret":"another"}`
	got, _ := New([]Secret{{"registry-password", []byte("hunter22")}}).Bytes([]byte(text))
	if want := `{"password_secret":"registry-password","key_secret":"[removed:password]"}`; string(got) != want {
		t.Errorf("%s", got)
	}
}

// What a log has wrapped is one line, whose value goes on in the next.
func TestAValueGoesOnAfterAWrap(t *testing.T) {
	long := strings.Repeat("x", wrapsAt)
	for name, wrap := range map[string]string{
		"journal": "\n2026-11-22T02:00:00+0000 valt[17]: ",
		"engine":  "2026-11-22T02:00:00.123456790Z ",
	} {
		got, counts := New(nil).Bytes([]byte(long + " password=abc" + wrap + "def user=x"))
		if bytes.Contains(got, []byte("abc")) || bytes.Contains(got, []byte("def")) || !bytes.HasSuffix(got, []byte(" user=x")) || counts["password"] != 1 {
			t.Errorf("%s: %q, %v", name, got[len(long):], counts)
		}
	}
	if got, _ := New(nil).Bytes([]byte("password=abc\nuser x")); string(got) != "password=[removed:password]\nuser x" {
		t.Errorf("a short line is not wrapped: %q", got)
	}
}

// Wherever a border between two reads or two windows falls, what is there is found.
func TestNothingHidesOnABorder(t *testing.T) {
	for _, c := range []border{
		{"known", secret, secret[3:9]},
		{"wrapped", secret[:7] + "\n2026-11-22T02:00:00+0000 valt[17]: " + secret[7:], secret[7:]},
		{"password", `"password": "abcdefgh"`, "defg"},
		{"key", key, "Z3o6cVb1h0m9"},
		{"login", "https://user:abcdefgh@host/", "defg"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, at := range []int{window - overlap, window, 2*window - 2*overlap} {
				for back := 0; back <= len(c.text)+1; back += 1 + len(c.text)/16 {
					c.found(t, at, back)
				}
			}
		})
	}
}

// border is a text that lies across one, and a part of it that must not be left.
type border struct{ name, text, left string }

// found puts the text a few bytes before a border and wants it to be found, once.
func (c border) found(t *testing.T, at, back int) {
	t.Helper()
	var out bytes.Buffer
	w := known().Writer(&out)
	if _, err := io.Copy(w, strings.NewReader(fill(at-back)+c.text+fill(100))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), c.left) || !strings.Contains(out.String(), marker) || !strings.HasSuffix(out.String(), fill(100)) {
		t.Fatalf("%d bytes before %d: it is left, or what follows is not", back, at)
	}
	if n := w.Counts(); len(n) != 1 {
		t.Fatalf("%d bytes before %d: %v", back, at, n)
	}
}

// fill is n bytes of lines that are not wrapped.
func fill(n int) string {
	text := strings.Repeat("all is well here and nothing to see\n", n/36+1)
	return text[len(text)-n:]
}

func TestHowAStreamIsReadChangesNothing(t *testing.T) {
	text := strings.Repeat(fill(5000)+secret+" token=abc "+key, 60)
	whole, counts := known().Bytes([]byte(text))
	var out bytes.Buffer
	w := known().Writer(&out)
	if _, err := io.Copy(w, iotest.HalfReader(iotest.OneByteReader(strings.NewReader(text)))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), whole) || fmt.Sprint(w.Counts()) != fmt.Sprint(counts) {
		t.Errorf("%d bytes and %d, %v and %v", out.Len(), len(whole), w.Counts(), counts)
	}
	if want := (Counts{"database-password": 60, "token": 60, "private-key": 60}); fmt.Sprint(counts) != fmt.Sprint(want) {
		t.Errorf("%v", counts)
	}
}

func TestOverlappingSecretsGoWhole(t *testing.T) {
	r := New([]Secret{{"a", []byte("abcab")}, {"b", []byte("cabxyz")}, {"a", []byte("aaaa")}})
	for text, want := range map[string]string{
		"-abcabcab-": "-[removed:a]-",
		"-abcabxyz-": "-[removed:a]-",
		"-" + strings.Repeat("a", 3*window) + "-": "-[removed:a]-",
	} {
		if got, _ := r.Bytes([]byte(text)); string(got) != want {
			t.Errorf("%.20q became %.60q, wanted %q", text, got, want)
		}
	}
}

func TestWhatIsTooShortIsToldAndLeft(t *testing.T) {
	r := New([]Secret{{"sudo-password", []byte("ab\n")}, {"none", nil}})
	if got, counts := r.Bytes([]byte("about tables")); string(got) != "about tables" || len(counts) != 0 {
		t.Errorf("%q", got)
	}
	if got := fmt.Sprint(r.TooShort()); got != "[sudo-password]" {
		t.Error(got)
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestAFailedWriteIsTold(t *testing.T) {
	w := known().Writer(full{})
	if _, err := w.Write([]byte(fill(3 * window))); err == nil {
		t.Error("a disk that is full takes everything")
	}
	if w.Close() == nil {
		t.Error("closing forgets it")
	}
}

func FuzzNoKnownSecretIsLeft(f *testing.F) {
	f.Add("before ", "s3cret-value", " after", uint(3))
	f.Add("a\n", "p w\"d'\\", "\nb", uint(7))
	f.Add("https://u:", "abcd%41", "@h/", uint(1))
	f.Add("password=", "[removed", "", uint(200))
	f.Fuzz(func(t *testing.T, before, value, after string, size uint) {
		value = strings.TrimSpace(value)
		if len(value) < shortest || len(value) > 200 || strings.ContainsAny(value, "\r\n") || strings.Contains("[removed:the-secret][removed:password][removed:token][removed:header][removed:private-key][removed:url-login][removed:authorization][removed:licence-key][removed:age-key]", value) {
			return // not a secret that can be told from what stands in its place
		}
		r := New([]Secret{{"the-secret", []byte(value)}})
		text := before + value + after + base64.StdEncoding.EncodeToString([]byte(value)) + url.QueryEscape(value)
		whole, _ := r.Bytes([]byte(text))
		if bytes.Contains(whole, []byte(value)) {
			t.Fatalf("%q is left in %q", value, whole)
		}
		var out bytes.Buffer
		w := r.Writer(&out)
		for rest := []byte(text); len(rest) > 0; {
			n := min(len(rest), int(size%300)+1)
			if _, err := w.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil || !bytes.Equal(out.Bytes(), whole) {
			t.Fatalf("read in pieces of %d it becomes %q, not %q: %v", size, out.Bytes(), whole, err)
		}
	})
}

func BenchmarkALog(b *testing.B) {
	r := New([]Secret{{"ssh-identity", []byte(key)}, {"database-password", []byte(secret)}, {"registry-password", []byte("registry-secret")}})
	text := []byte(strings.Repeat("2026-11-22T02:00:00.123456+00:00 app1 valt.service[17]: GET /api/cameras?id=17&name=lobby 200 \"Mozilla/5.0 (X11)\" took=12ms bytes=4711\n", 7000))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		w := r.Writer(io.Discard)
		_, _ = w.Write(text)
		_ = w.Close()
	}
}
