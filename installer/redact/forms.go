package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
)

// piece is how many bytes of a long line are looked for together. A key that is longer is
// found piece by piece, so that what must be held back of a stream stays small.
const piece = 512

// forms are the texts that give a secret away. Of one with several lines, such as a
// private key, each line does.
func forms(value []byte) []string {
	var all []string
	lines := bytes.Split(bytes.ReplaceAll(value, []byte("\r"), nil), []byte("\n"))
	several := len(bytes.Fields(value)) > 1 && len(lines) > 1
	for _, line := range lines {
		line = bytes.TrimSpace(line)
		if len(line) < shortest || several && unimportant(line) {
			continue
		}
		for len(line) > 2*piece {
			all = append(all, encodings(line[:piece])...)
			line = line[piece:]
		}
		all = append(all, encodings(line)...)
	}
	return all
}

// unimportant is a line of a key file that tells nothing: its frame, or too little of it.
// The frame is in public text too, and is judged by its shape.
func unimportant(line []byte) bool {
	return len(line) < 8 || bytes.HasPrefix(line, []byte("-----"))
}

// encodings are one line as programs write it.
func encodings(line []byte) []string {
	text := string(line)
	all := []string{text, hex.EncodeToString(line), strings.ToUpper(hex.EncodeToString(line))}
	for _, html := range []bool{false, true} {
		quoted := jsonText(text, html)
		all = append(all, quoted, jsonText(quoted, false), jsonText(quoted, true), slashed(quoted))
	}
	for _, escaped := range []string{url.QueryEscape(text), url.PathEscape(text), strings.ReplaceAll(url.QueryEscape(text), "+", "%20"), url.UserPassword("", text).String()[1:], percent(text)} {
		all = append(all, escaped, lowerEscapes(escaped), url.QueryEscape(escaped))
	}
	return append(all, base64s(line)...)
}

// slashed is what PHP writes.
func slashed(quoted string) string { return strings.ReplaceAll(quoted, "/", `\/`) }

// jsonText is a text as in a JSON string, perhaps with what HTML needs escaped.
func jsonText(text string, html bool) string {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(html)
	if err := e.Encode(text); err != nil {
		return text // a string always encodes
	}
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(out.String(), "\n"), `"`), `"`)
}

// percent escapes everything but letters and digits.
func percent(text string) string {
	var out strings.Builder
	for _, c := range []byte(text) {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			out.WriteByte(c)
			continue
		}
		out.WriteString("%" + strings.ToUpper(hex.EncodeToString([]byte{c})))
	}
	return out.String()
}

// lowerEscapes writes %3A as %3a.
func lowerEscapes(text string) string {
	out := []byte(text)
	for i := 0; i+2 < len(out); i++ {
		if out[i] == '%' {
			copy(out[i+1:i+3], bytes.ToLower(out[i+1:i+3]))
		}
	}
	return string(out)
}

// base64s are what base64 makes of a line wherever it stands in what was encoded: "user:"
// before it shifts every letter. Only letters that the line alone decides count, and too
// few of them would be in any text.
func base64s(line []byte) []string {
	const fewest = 6
	var all []string
	for shift := range 3 {
		padded := append(make([]byte, shift), line...)
		whole := len(padded) / 3 * 4 // letters of full groups
		text := base64.RawStdEncoding.EncodeToString(padded)
		switch rest := len(padded) % 3; rest {
		case 1, 2:
			whole += rest // the group's last letter depends on what follows
		}
		skip := []int{0, 2, 3}[shift]
		if whole-skip < fewest {
			continue
		}
		core := text[skip:whole]
		all = append(all, core, strings.NewReplacer("+", "-", "/", "_").Replace(core), strings.ReplaceAll(core, "/", `\/`), url.QueryEscape(core))
	}
	return all
}
