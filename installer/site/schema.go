package site

import (
	_ "embed"
	"slices"
)

// schemaText is made of the types of the site file by a test of this package, so that what makes it is not part
// of the program: go test ./installer/site -run Schema -update
//
//go:embed schema.json
var schemaText []byte

// Schema is the JSON Schema (2020-12) of the site file, for editors. It knows the keys and
// the kinds of values; Parse alone judges the rest.
func Schema() []byte { return slices.Clone(schemaText) }
