package site

import (
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// colonText puts a value such as ops@bastion:22 together again. YAML has it as one value:
// a colon ends a key only before a space (YAML 1.2.2, section 7.3.3). The parser splits it
// all the same in a list in brackets within braces.
func colonText(n ast.Node) (string, bool) {
	pair, ok := n.(*ast.MappingValueNode)
	if m, isMap := n.(*ast.MappingNode); isMap && len(m.Values) == 1 {
		pair, ok = m.Values[0], true
	}
	if !ok {
		return "", false
	}
	key, colon, value := pair.Key.GetToken(), pair.GetToken(), pair.Value.GetToken()
	if !plain(key) || !plain(value) || !adjacent(key, colon) || !adjacent(colon, value) {
		return "", false
	}
	return key.Value + ":" + value.Value, true
}

// plain says that the token is a scalar without quotes.
func plain(t *token.Token) bool {
	if t == nil || t.Position == nil {
		return false
	}
	switch t.Type {
	case token.StringType, token.IntegerType, token.FloatType, token.OctetIntegerType, token.HexIntegerType, token.BinaryIntegerType:
		return true
	}
	return false
}

// adjacent says that b begins where a ends.
func adjacent(a, b *token.Token) bool {
	return b != nil && b.Position != nil && a.Position.Line == b.Position.Line &&
		a.Position.Column+utf8.RuneCountInString(a.Value) == b.Position.Column
}
