package site

import (
	"encoding"
	"encoding/json"
	"os"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/invopop/jsonschema"
)

// What is embedded must be what the types say.
func TestSchemaIsThatOfTheTypes(t *testing.T) {
	want, err := json.MarshalIndent(schema(), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile("schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(want), string(Schema())); diff != "" {
		t.Errorf("schema.json (+) is not that of the types (-); run the test with -update:\n%s", diff)
	}
}

func schema() *jsonschema.Schema {
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
	s := r.Reflect(&Site{})
	s.Title = "The site file of valtctl"
	return s
}

func words[T ~string](all ...T) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string"}
	for _, w := range all {
		s.Enum = append(s.Enum, string(w))
	}
	return s
}

// JSONSchema lists the words.
func (Role) JSONSchema() *jsonschema.Schema { return words(Roles()...) }

// JSONSchema lists the words.
func (License) JSONSchema() *jsonschema.Schema { return words(Electronic, Physical) }

// JSONSchema lists the words.
func (Source) JSONSchema() *jsonschema.Schema { return words(Online, Bundle) }

// JSONSchema lists the words.
func (Firewall) JSONSchema() *jsonschema.Schema { return words(FirewallOff, FirewallManaged) }

// JSONSchema lists the words.
func (MailSecurity) JSONSchema() *jsonschema.Schema { return words(MailStartTLS, MailTLS, MailPlain) }

// JSONSchema is a share or a number.
func (Wave) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{
		{Type: "string", Pattern: "^[0-9]+%$"},
		{Type: "integer", Minimum: "1"},
	}}
}

// JSONSchemaExtend allows an address or a range in place of the mapping.
func (Camera) JSONSchemaExtend(s *jsonschema.Schema) {
	mapping := *s
	*s = jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "string"}, &mapping}}
}

// JSONSchemaExtend names the endpoints that may be replaced.
func (Network) JSONSchemaExtend(s *jsonschema.Schema) {
	if endpoints, ok := s.Properties.Get("endpoints"); ok {
		endpoints.PropertyNames = words(EndpointNames()...)
	}
}
