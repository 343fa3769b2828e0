package site

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/invopop/jsonschema"
)

// Schema is the JSON Schema (2020-12) of the site file, for editors. It knows the keys and
// the kinds of values; Parse alone judges the rest.
func Schema() ([]byte, error) {
	text := reflect.TypeFor[encoding.TextMarshaler]()
	r := jsonschema.Reflector{
		Anonymous: true, DoNotReference: true, ExpandedStruct: true, RequiredFromJSONSchemaTags: true,
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			if t.Implements(text) {
				return &jsonschema.Schema{Type: "string"}
			}
			return nil
		},
	}
	schema := r.Reflect(&Site{})
	schema.Title = "The site file of valtctl"
	out, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the site file's schema: %w", err)
	}
	return append(out, '\n'), nil
}
