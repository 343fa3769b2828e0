package plain

import (
	"strconv"
	"strings"
)

// formula begins what a spreadsheet computes instead of showing it (OWASP, "CSV Injection"),
// the wide forms that East Asian ones take for the same included.
const formula = "=+-@＝＋－＠"

// Cell is s as a cell of a CSV file: on one line, and never a formula. A spreadsheet that was
// set up for another country may take a semicolon, a bar or a tab for the end of a cell, so
// what stands behind one is no formula either. Numbers, and a dash alone, stay as they are.
func Cell(s string) string {
	if _, err := strconv.ParseFloat(s, 64); err == nil || s == "-" {
		return s
	}
	s = Line(s)
	out, begin := strings.Builder{}, true
	for _, r := range s {
		if begin && strings.ContainsRune(formula, r) {
			out.WriteByte('\'')
		}
		begin = r == ';' || r == '|' || begin && (r == ' ' || r == '"')
		out.WriteRune(r)
	}
	return out.String()
}
