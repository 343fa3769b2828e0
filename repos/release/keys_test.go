package release_test

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ipivs.com/valtctl/repos/release"
)

// anything are the manifest's keys of which no value is refused, and why that is right.
func anything() map[string]string {
	return map[string]string{
		"apt[].key":                 "both or neither of the two are refused as keyring; the text is for apt to read",
		"packages[].engine":         "yes or no",
		"roles.*.health[].contains": "any text may be looked for, and none",
		"roles.*.files[].content":   "a file may hold any text; its places are filled in when a host is planned",
		"settings.*.default":        "the containers' own",
		"settings.*.description":    "words for people",
		"drain.method":              "one that is not known is a newer release's, and refused when a host is drained",
		"migrates_database":         "yes or no",
	}
}

// keysOf lists the keys of a type's JSON that hold values, not more keys. A * stands for any
// name, and [] for each of several.
func keysOf(t reflect.Type, at string) []string {
	switch t.Kind() {
	case reflect.Map:
		return keysOf(t.Elem(), at+".*")
	case reflect.Slice, reflect.Pointer:
		if elem := t.Elem(); elem.Kind() == reflect.Struct {
			return keysOf(elem, at+"[]")
		}
	case reflect.Struct:
		var all []string
		for field := range t.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			all = append(all, keysOf(field.Type, strings.TrimPrefix(at+"."+name, "."))...)
		}
		return all
	}
	return []string{at}
}

// refused says whether a mistake in a field is one of a value of the key, or of a name on
// the way to it.
func refused(key, field string) bool {
	pattern := strings.NewReplacer(`\[\]`, `\[\d+\]`, `\*`, `[^.]+`).Replace(regexp.QuoteMeta(key))
	return regexp.MustCompile(`^` + pattern + `(\[\d+\])?$`).MatchString(field)
}

// A key of the manifest is judged before a host acts on it, and a vendor can read of it.
func TestEveryKeyOfTheManifestIsJudgedAndDescribed(t *testing.T) {
	docs, err := os.ReadFile("../../docs/releases.md")
	if err != nil {
		t.Fatal(err)
	}
	keys := keysOf(reflect.TypeFor[release.Manifest](), "")
	for _, known := range []string{"ubuntu", "beside.*", "apt[].uri", "images.*.platforms.*.size", "roles.*.health[].within"} {
		if !slices.Contains(keys, known) {
			t.Fatalf("found the keys %q", keys)
		}
	}
	for _, key := range keys {
		takes := anything()[key] != ""
		judged := false
		for _, m := range mistakes() {
			judged = judged || refused(key, m.field)
		}
		switch {
		case judged && takes:
			t.Errorf("manifest key %s is in anything() of repos/release/keys_test.go, and a mistake in it is refused: take it out there", key)
		case !judged && !takes:
			t.Errorf("manifest key %s is not judged: refuse what a host could not use in repos/release/validate.go and add the case to repos/release/mistakes_test.go, or say in anything() of keys_test.go why it takes all", key)
		}
		if !strings.Contains(string(docs), "\n| `"+key+"` |") {
			t.Errorf("manifest key %s is not described: add its row to the table \"The manifest, key by key\" of docs/releases.md", key)
		}
	}
	for key := range anything() {
		if !slices.Contains(keys, key) {
			t.Errorf("anything() of repos/release/keys_test.go names %s, which is no key of the manifest", key)
		}
	}
}
